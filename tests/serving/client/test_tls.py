"""The four clients and a server with TLS: whom they trust, whom it trusts, and what is said if either does not."""

import time
from dataclasses import replace

import pytest

from serving.client import ServerError
from serving.server.configuration.options import ServerOptions
from serving.server.configuration.parameters import TlsFiles
from tests.support.certificates import Authority
from tests.support.clients import KINDS, opened_client
from tests.support.servers import running_server

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
    limits = {"deadline": DEADLINE, "connect_deadline": 1.0}
    with opened_client(kind, addresses.grpc, addresses.rest, **limits, **options) as client:
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
    assert error.code == "UNAUTHENTICATED"
    assert "TLS failed" in error.message
    assert "tls_ca" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_trusts_only_this_machines_authorities_says_that_tls_failed(kind, secure, images):
    error = refusal(kind, secure, images, tls=True)
    assert error.code == "UNAUTHENTICATED"
    assert "tls_ca" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_speaks_no_tls_is_told_that_the_server_may(kind, secure, images):
    error = refusal(kind, replace(secure, rest=secure.rest.replace("https:", "http:")), images)
    assert error.code == "UNAVAILABLE"
    assert "TLS" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_tls_to_a_server_without_is_told_as_such(kind, server, authority, images):
    asked = replace(server, rest=server.rest.replace("http:", "https:"))
    error = refusal(kind, asked, images, tls_ca=authority.certificate)
    assert error.code == "UNAUTHENTICATED"
    assert "TLS failed" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_required_certificate_is_shown(kind, mutual, authority, images, verdicts):
    own = shown(authority.issue("client"))
    with opened_client(kind, mutual.grpc, mutual.rest, tls_ca=authority.certificate, **own) as client:
        assert [answer.verdict for answer in client.predict(images)] == verdicts


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_required_certificate_the_error_names_the_option(kind, mutual, authority, images):
    error = refusal(kind, mutual, images, tls_ca=authority.certificate)
    assert "tls_certificate" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_certificate_of_a_stranger_the_error_names_the_option(kind, mutual, authority, stranger, images):
    error = refusal(kind, mutual, images, tls_ca=authority.certificate, **shown(stranger.issue("client")))
    assert "tls_certificate" in error.message


@pytest.mark.parametrize("way", ["rest", "async rest"])
def test_an_http_url_is_refused_where_tls_was_asked_for(way, server, authority):
    refused = pytest.raises(ValueError, match=r"^url: must start with https://")
    with refused, opened_client(way, rest=server.rest, tls_ca=authority.certificate):
        pass
