"""The connection to Kubeflow Pipelines: what is refused, and in what words; tokens that are sent and never shown."""

import json
import logging
import socket
import ssl
import time

import pytest

from pipeline.kubeflow.client import ClusterError, connect
from pipeline.kubeflow.connection import Connection
from tests.support import kfp_api
from tests.support.certificates import Authority
from tests.support.kfp_api import Fault

TOKEN = "a-token.that-nobody-may.see"


@pytest.fixture
def api():
    with kfp_api.serving() as server:
        yield server


@pytest.fixture
def token_file(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return tmp_path / "token"


def refusal(connection, error=ClusterError):
    with pytest.raises(error) as raised:
        connect(connection).experiment("faces", create=True)
    message = str(raised.value)
    assert "\n" not in message and TOKEN not in message and "Connection(" not in message and "Pool(" not in message
    return message


@pytest.mark.parametrize(
    "host",
    ["", "kubeflow", "ftp://kubeflow", "https://", "http://a b", "http://h:99999", "http://[::1", "http:///path"],
)
def test_what_is_no_address_is_refused(host):
    with pytest.raises(ValueError, match=r"host: must be an http:// or https:// address, got .*Write e\.g\. https://"):
        Connection(host)


def test_an_address_with_a_password_is_refused_without_showing_it():
    with pytest.raises(ValueError, match=r"host: must hold no user or password.*`token_file`") as raised:
        Connection("https://me:secret@kubeflow")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("host", ["http://h/pipeline/#/runs", "http://h/?a=b"])
def test_an_address_copied_from_the_page_is_refused_with_the_fix(host):
    with pytest.raises(ValueError, match=r"host: must end with its path, got .*Leave out"):
        Connection(host)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "found nothing"),
        (b"one two", "found several words or lines"),
        (b"\xff\xfe", "found other bytes"),
        (b"a\x00b", "found several words or lines"),
    ],
)
def test_a_file_that_holds_no_token_is_refused(tmp_path, content, problem):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ValueError, match=rf"token_file: .*token: .*{problem}"):
        Connection("http://h", token_file=tmp_path / "token")


def test_a_file_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for file in ("ca.pem", "absent.pem"):
        with pytest.raises(ValueError, match=rf"authority: .*{file}: must be a PEM file of certificates"):
            Connection("https://h", authority=tmp_path / file)


def test_an_empty_namespace_is_refused():
    with pytest.raises(ValueError, match="namespace: must not be empty"):
        Connection("https://h", namespace="")


def test_nobody_there_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    message = refusal(Connection(address))
    assert message.startswith(f"{address}: cannot be reached: ") and "Connection refused" in message
    assert "Correct `host`" in message
    assert time.monotonic() - begin < 5


def test_a_name_that_nobody_has_is_told():
    message = refusal(Connection("http://nobody.invalid"))
    assert message.startswith("http://nobody.invalid: cannot be reached: ")


def test_without_a_token_the_message_says_how_to_name_one(api):
    api.token = TOKEN
    begin = time.monotonic()
    message = refusal(Connection(api.address))
    assert "must be shown a valid token, got none (401: Unauthenticated" in message
    assert "Name one by `token_file`" in message
    assert time.monotonic() - begin < 2  # the client alone would try for 25 s


def test_a_wrong_token_is_told_by_its_file(api, tmp_path):
    api.token = "another"
    (tmp_path / "token").write_text(TOKEN)
    assert f"got that of {tmp_path / 'token'} (401" in refusal(Connection(api.address, token_file=tmp_path / "token"))


@pytest.mark.parametrize("by", ["option", "variable"])
def test_the_token_is_sent_with_every_request_and_shown_nowhere(api, token_file, monkeypatch, caplog, capfd, by):
    caplog.set_level(logging.DEBUG)
    api.token = TOKEN
    if by == "variable":
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token_file))
    connection = Connection(api.address, token_file=token_file if by == "option" else None)
    cluster = connect(connection)
    cluster.experiment("faces", create=True)
    api.faults.append(Fault("GET .*/experiments", 403))
    with pytest.raises(ClusterError) as raised:
        cluster.experiment("faces", create=True)
    assert len(api.requests) >= 4
    assert {request.headers["authorization"] for request in api.requests} == {f"Bearer {TOKEN}"}
    shown = capfd.readouterr()
    for text in (str(raised.value), repr(connection), caplog.text, shown.out, shown.err):
        assert TOKEN not in text
    assert shown.out == ""  # standard output is the commands'


def test_a_token_that_was_renewed_is_read_again(api, token_file):
    api.token = TOKEN
    cluster = connect(Connection(api.address, token_file=token_file))
    api.token = "renewed"
    token_file.write_text("renewed")
    assert cluster.experiment("faces", create=True)


def test_what_is_forbidden_is_told_with_the_namespace(api):
    api.faults.append(Fault("GET .*/experiments", 403))
    message = refusal(Connection(api.address, namespace="team-a"))
    assert "does not allow us looking up the experiment in namespace 'team-a' (403: told to fail)" in message
    assert "Ask for the role, or correct `namespace` or `token_file`" in message


def test_a_server_of_kubeflow_pipelines_1_is_told_to_be_too_old(api):
    api.health = False
    message = refusal(Connection(api.address))
    assert "/apis/v2beta1/healthz: must answer (Kubeflow Pipelines 2.4 or newer), got 404. Upgrade it" in message
    assert "/pipeline" in message


def test_a_login_page_is_not_taken_for_kubeflow_pipelines(api):
    api.faults.append(Fault("GET", "login page", times=9))
    message = refusal(Connection(api.address))
    assert "must answer with JSON, got something else, probably a login page" in message
    assert "`token_file`" in message


def test_a_login_page_in_the_middle_is_told_too(api):
    cluster = connect(Connection(api.address))
    api.faults.append(Fault("POST .*/experiments", "login page"))
    with pytest.raises(ClusterError, match="does not list it"):
        cluster.experiment("faces", create=True)


def test_several_users_need_a_namespace_and_it_goes_with_what_is_made(api):
    api.multi_user = True
    message = refusal(Connection(api.address), error=ValueError)
    assert message.startswith(f"namespace: is missing, and {api.address} has several users.")
    connect(Connection(api.address, namespace="team-a")).experiment("faces", create=True)
    connect(Connection(api.address, namespace="kubeflow")).experiment("faces", create=True)
    assert [item["namespace"] for item in api.experiments.values()] == ["team-a", "kubeflow"]


def test_a_failing_server_is_told_with_its_message(api):
    api.faults.append(Fault("POST .*/experiments", 500))
    message = refusal(Connection(api.address))
    assert "refused making the experiment 'faces' (500: told to fail). Call again later." in message


def test_a_request_that_broke_off_is_told_to_be_done_or_not(api):
    api.faults.append(Fault("POST .*/experiments", "lose the answer"))
    assert "broke off while making the experiment 'faces', so that it may be done or not" in refusal(
        Connection(api.address)
    )
    assert connect(Connection(api.address)).experiment("faces", create=True)
    assert len(api.experiments) == 1


def test_a_server_that_hangs_is_given_up(api, monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow.client._TIMEOUT", (1, 0.2))
    api.before = lambda request: time.sleep(0.6 if request.method == "POST" else 0)
    assert "broke off while making the experiment" in refusal(Connection(api.address))


def test_https_needs_an_authority_that_we_trust(tmp_path):
    authority = Authority(tmp_path, "ours")
    certificate, key = authority.issue("server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with kfp_api.serving(tls) as api:
        message = refusal(Connection(api.address))
        assert "must show a certificate that we trust: " in message and "Name its authority by `authority`" in message
        cluster = connect(Connection(api.address, authority=authority.certificate))
        assert cluster.experiment("faces", create=True)
    with kfp_api.serving() as plain:
        wrong = plain.address.replace("http:", "https:")
        assert wrong in refusal(Connection(wrong))


def test_nothing_is_written_into_the_home_folder(api, tmp_path, monkeypatch):
    import kfp.client

    context = tmp_path / "kfp" / "context.json"
    monkeypatch.setattr(kfp.client.Client, "_LOCAL_KFP_CONTEXT", str(context))
    connect(Connection(api.address)).experiment("faces", create=True)
    assert list(tmp_path.iterdir()) == []


def test_a_slash_at_the_end_of_the_address_makes_no_difference(api):
    cluster = connect(Connection(f"{api.address}/"))
    assert cluster.link("runs/details/1") == f"{api.address}/#/runs/details/1"
    assert json.dumps([request.path for request in api.requests]) == '["/apis/v2beta1/healthz"]'
