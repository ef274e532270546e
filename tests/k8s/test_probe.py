"""The startup and readiness probe as the manifest holds it, run by bash against servers in every state."""

import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest

from serving import contract
from serving.server.configuration.options import ServerOptions
from tests.support.kustomize_builds import container, documents
from tests.support.servers import running_server

MODEL = contract.DEFAULT_MODEL_NAME


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """The command of the manifest, with the script where the ConfigMap has it, for a port of our own."""
    objects = documents(("gpu",))
    server = container(objects, "Deployment", "generator-attribution-serving", "tensorflow-serving")
    assert server["readinessProbe"]["exec"] == server["startupProbe"]["exec"]
    shell, script, model, port = server["readinessProbe"]["exec"]["command"]
    assert (model, port) == (MODEL, "8501")
    (config,) = [each for each in objects if each["metadata"]["name"].startswith("serving-scripts-")]
    path = tmp_path_factory.mktemp("scripts") / script.removeprefix("/scripts/")
    path.write_text(config["data"][path.name])

    def run(port, mark="/nonexistent/draining"):
        environment = {"PATH": os.environ["PATH"], "DRAIN_MARK": str(mark)}
        command = [shell, str(path), model, str(port)]
        timeout = server["readinessProbe"]["timeoutSeconds"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)

    return run


@contextlib.contextmanager
def answering(answer, stay_open=False):
    """A server that reads a request, sends the answer and, unless it stays open, closes the connection."""
    requests = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                request = b""
                # bash writes line by line; a server answers when it has them all.
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(65536)
                requests.append(request)
                connection.sendall(answer)
                if stay_open:
                    kept.append(connection)
                else:
                    connection.close()

    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], requests
    for connection in kept:
        connection.close()


def status_page(*states, status="200 OK", indent=True):
    """What a server says of a model's versions, newest first; TF Serving indents it."""
    versions = [
        f'{{"version": "{len(states) - place}", "state": "{state}", "status": {{"error_code": "OK"}}}}'
        for place, state in enumerate(states)
    ]
    body = '{"model_version_status": [' + ", ".join(versions) + "]}"
    if indent:
        body = body.replace(", ", ",\n  ").replace("{", "{\n ") + "\n"
    head = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@pytest.mark.parametrize("indent", [True, False], ids=["indented", "one line"])
@pytest.mark.parametrize(
    "states", [("AVAILABLE",), ("LOADING", "AVAILABLE"), ("AVAILABLE", "END"), ("END", "AVAILABLE")]
)
def test_ready_when_a_version_is_available(probe, states, indent):
    with answering(status_page(*states, indent=indent)) as (port, _):
        done = probe(port)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("indent", [True, False], ids=["indented", "one line"])
@pytest.mark.parametrize(
    "states",
    [(), ("START",), ("LOADING",), ("UNLOADING",), ("END",), ("UNKNOWN",), ("END", "LOADING"), ("UNAVAILABLE",)],
)
def test_not_ready_while_none_is(probe, states, indent):
    with answering(status_page(*states, indent=indent)) as (port, _):
        done = probe(port)
    assert done.returncode == 1
    assert done.stdout == f"no version of model {MODEL} is AVAILABLE\n"


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "503 Service Unavailable"])
def test_an_error_is_not_ready_whatever_it_says(probe, status):
    with answering(status_page("AVAILABLE", status=status)) as (port, _):
        done = probe(port)
    assert done.returncode == 1
    assert status in done.stdout


def test_asks_for_the_models_status_page(probe):
    with answering(status_page("AVAILABLE")) as (port, requests):
        probe(port)
    assert requests[0].split(b"\r\n")[0] == f"GET /v1/models/{MODEL} HTTP/1.0".encode()
    assert requests[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.0 200", b"\x16\x03\x01\x02\x00"], ids=["nothing", "half a line", "TLS"]
)
def test_what_is_no_answer_is_not_ready(probe, answer):
    with answering(answer) as (port, _):
        assert probe(port).returncode == 1


def test_a_server_that_keeps_the_connection_open_is_ready_at_once(probe):
    started = time.monotonic()
    with answering(status_page("AVAILABLE"), stay_open=True) as (port, _):
        assert probe(port).returncode == 0
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("answer", [b"", status_page("LOADING", indent=False)], ids=["silent", "loading"])
def test_a_server_that_does_not_go_on_is_given_up_before_the_kubelet_gives_up(probe, answer):
    with answering(answer, stay_open=True) as (port, _):
        assert probe(port).returncode == 1  # subprocess.run would raise after timeoutSeconds


def test_a_port_where_nothing_listens_is_not_ready(probe):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = probe(port)
    assert done.returncode == 1
    assert f"nothing listens on port {port}" in done.stdout


def test_a_server_that_drains_is_not_ready_although_it_answers(probe, tmp_path):
    mark = tmp_path / "draining"
    with answering(status_page("AVAILABLE")) as (port, requests):
        assert probe(port, mark).returncode == 0
        mark.touch()
        done = probe(port, mark)
    assert (done.returncode, done.stdout) == (1, "draining\n")
    assert len(requests) == 1


@pytest.mark.e2e
def test_the_embedded_server_is_ready_by_the_same_probe(probe, tmp_path):
    from tests.support.small_servable import VERSION, export_servable

    model_base = tmp_path / MODEL
    export_servable(model_base / str(VERSION))
    with running_server(ServerOptions(model_base, grpc_port=0, rest_port=0)) as addresses:
        port = addresses.rest.rsplit(":", 1)[1]
        done = probe(port)
        assert (done.returncode, done.stdout) == (0, "")
    assert probe(port).returncode == 1
