"""The four clients and a server with TLS: whom they trust, whom it trusts, and what is said if either does not."""

import time

import pytest

from serving.client import ServerError
from serving.server.lifecycle import running_server
from serving.server.options import ServerOptions
from serving.server.parameters import TlsFiles
from tests.certificates import Authority
from tests.clients import KINDS, opened_client

# Far more than any refusal takes, and far less than the deadline: who repeats what cannot pass would be late.
SOON, DEADLINE = 15.0, 60.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("server")


@pytest.fixture(scope="module")
def secure(model_base, certificate):
    with running_server(ServerOptions(model_base, grpc_port=0, rest_port=0, tls=TlsFiles(*certificate))) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def mutual(model_base, certificate, authority):
    tls = TlsFiles(*certificate, client_authority=authority.certificate, require_client=True)
    with running_server(ServerOptions(model_base, grpc_port=0, rest_port=0, tls=tls)) as addresses:
        yield addresses


def shown(issued):
    """The options of a client that has a certificate and its key."""
    return {"tls_certificate": issued[0], "tls_key": issued[1]}


def refusal(kind, addresses, images, **options):
    """Returns what a client says that cannot get through, and holds it to saying so soon."""
    start = time.monotonic()
    with opened_client(kind, addresses.grpc, addresses.rest, deadline=DEADLINE, **options) as client:
        with pytest.raises(ServerError) as caught:
            client.predict(images)
        assert time.monotonic() - start < SOON
        return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_trusts_the_authority_is_answered(kind, secure, authority, images, verdicts):
    with opened_client(kind, secure.grpc, secure.rest, tls_ca=authority.certificate) as client:
        assert [answer.verdict for answer in client.predict(images)] == verdicts
        assert client.is_ready()


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_trusts_another_authority_says_that_tls_failed(kind, secure, stranger, images):
    error = refusal(kind, secure, images, tls_ca=stranger.certificate)
    print(kind, repr(error), getattr(error, "__notes__", None))
    assert "tls_ca" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_trusts_only_this_machines_authorities_says_that_tls_failed(kind, secure, images):
    error = refusal(kind, secure, images, tls=True)
    print(kind, repr(error), getattr(error, "__notes__", None))
    assert "tls_ca" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_without_tls_gets_a_named_error(kind, secure, images):
    error = refusal(kind, secure._replace_rest if False else secure, images) if False else None
    from dataclasses import replace
    plain = replace(secure, rest=secure.rest.replace("https", "http"))
    error = refusal(kind, plain, images)
    print(kind, repr(error), getattr(error, "__notes__", None))


@pytest.mark.parametrize("kind", KINDS)
def test_tls_to_plain(kind, server, images, authority):
    from dataclasses import replace
    plain = replace(server, rest=server.rest.replace("http", "https"))
    error = refusal(kind, plain, images, tls_ca=authority.certificate)
    print(kind, repr(error), getattr(error, "__notes__", None))


@pytest.mark.parametrize("kind", KINDS)
def test_a_required_certificate_is_shown(kind, mutual, authority, images, verdicts):
    own = shown(authority.issue("client"))
    with opened_client(kind, mutual.grpc, mutual.rest, tls_ca=authority.certificate, **own) as client:
        assert [answer.verdict for answer in client.predict(images)] == verdicts


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_required_certificate_nothing_is_answered(kind, mutual, authority, images):
    error = refusal(kind, mutual, images, tls_ca=authority.certificate)
    print(kind, repr(error), getattr(error, "__notes__", None))
    assert "tls_certificate" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_a_stranger_is_refused(kind, mutual, authority, stranger, images):
    own = shown(stranger.issue("client"))
    error = refusal(kind, mutual, images, tls_ca=authority.certificate, **own)
    print(kind, repr(error), getattr(error, "__notes__", None))
    assert "tls_certificate" in error.message
