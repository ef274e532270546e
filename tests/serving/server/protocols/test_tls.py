"""TLS of both ports, with certificates made here and clients that check them."""

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import aiohttp
import grpc
import pytest
from aiohttp import web

from serving.errors import ServerStartError
from serving.server.configuration.parameters import TlsFiles
from serving.server.protocols.tls import grpc_credentials, ssl_context
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ours", "ours")


@pytest.fixture
def stranger(tmp_path):
    return Authority(tmp_path / "strangers", "strangers")


@pytest.fixture
def files(authority):
    return TlsFiles(*authority.issue("server"))


@pytest.fixture
def mutual(authority):
    return TlsFiles(*authority.issue("server"), client_authority=authority.certificate, require_client=True)


def echo_over_grpc(files, **client):
    """Returns the answer to one call over a channel with these client credentials."""
    handler = grpc.method_handlers_generic_handler(
        "Echo", {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request)}
    )
    server = grpc.server(ThreadPoolExecutor(1), handlers=[handler])
    port = server.add_secure_port("127.0.0.1:0", grpc_credentials(files))
    server.start()
    try:
        with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(**client)) as channel:
            return channel.unary_unary("/Echo/Say")(b"hello", timeout=10)
    finally:
        server.stop(0).wait()


def echo_over_https(files, client_context):
    """Returns the body of one GET with this client context."""

    async def run():
        app = web.Application()
        app.router.add_get("/", lambda request: asyncio.sleep(0, web.Response(text="hello")))
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context(files)).start()
            url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
            timeout = aiohttp.ClientTimeout(10)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=client_context) as got:
                return await got.text()
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def client_context(authority, certificate=None, key=None):
    context = ssl.create_default_context(cafile=authority.certificate)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


@contextmanager
def refused_by_grpc():
    with pytest.raises(grpc.RpcError) as refused:
        yield
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_grpc_answers_a_client_that_trusts_the_authority(files, authority):
    assert echo_over_grpc(files, root_certificates=authority.certificate.read_bytes()) == b"hello"


def test_grpc_is_refused_by_a_client_that_trusts_another_authority(files, stranger):
    with refused_by_grpc():
        echo_over_grpc(files, root_certificates=stranger.certificate.read_bytes())


def test_grpc_with_required_certificates_answers_a_client_that_has_one(mutual, authority):
    certificate, key = authority.issue("client")
    answer = echo_over_grpc(
        mutual,
        root_certificates=authority.certificate.read_bytes(),
        private_key=key.read_bytes(),
        certificate_chain=certificate.read_bytes(),
    )
    assert answer == b"hello"


def test_grpc_with_required_certificates_refuses_a_client_without(mutual, authority):
    with refused_by_grpc():
        echo_over_grpc(mutual, root_certificates=authority.certificate.read_bytes())


def test_grpc_with_required_certificates_refuses_one_of_a_stranger(mutual, authority, stranger):
    certificate, key = stranger.issue("client")
    with refused_by_grpc():
        echo_over_grpc(
            mutual,
            root_certificates=authority.certificate.read_bytes(),
            private_key=key.read_bytes(),
            certificate_chain=certificate.read_bytes(),
        )


def test_https_answers_a_client_that_trusts_the_authority(files, authority):
    assert echo_over_https(files, client_context(authority)) == "hello"


def test_https_is_refused_by_a_client_that_trusts_another_authority(files, stranger):
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        echo_over_https(files, client_context(stranger))


def test_https_with_required_certificates_answers_a_client_that_has_one(mutual, authority):
    assert echo_over_https(mutual, client_context(authority, *authority.issue("client"))) == "hello"


def test_https_with_required_certificates_refuses_a_client_without(mutual, authority):
    with pytest.raises(aiohttp.ClientError):
        echo_over_https(mutual, client_context(authority))


def test_https_with_required_certificates_refuses_one_of_a_stranger(mutual, authority, stranger):
    with pytest.raises(aiohttp.ClientError):
        echo_over_https(mutual, client_context(authority, *stranger.issue("client")))


def test_https_with_optional_certificates_answers_a_client_without(authority):
    files = TlsFiles(*authority.issue("server"), client_authority=authority.certificate)
    assert echo_over_https(files, client_context(authority)) == "hello"


def test_nothing_older_than_tls_1_2_is_spoken(files):
    assert ssl_context(files).minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("make", [ssl_context, grpc_credentials])
@pytest.mark.parametrize("which", ["certificate", "key", "client_authority"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), (b"\x30\x82\x01", "PEM format"), (b"", "PEM format")],
)
def test_a_file_that_is_missing_or_not_pem_is_named(mutual, tmp_path, make, which, content, complaint):
    path = tmp_path / "wrong.pem"
    if content is not None:
        path.write_bytes(content)
    given = {name: getattr(mutual, name) for name in ("certificate", "key", "client_authority")} | {which: path}
    with pytest.raises(ServerStartError, match=complaint) as refused:
        make(TlsFiles(**given))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("make", [ssl_context, grpc_credentials])
def test_a_damaged_certificate_is_named(files, make):
    pem = files.certificate.read_bytes().splitlines()
    files.certificate.write_bytes(b"\n".join([pem[0], pem[1][:20], pem[-1]]))
    with pytest.raises(ServerStartError, match=str(files.certificate)):
        make(files)


@pytest.mark.parametrize("make", [ssl_context, grpc_credentials])
def test_a_key_of_another_certificate_is_named(files, authority, make):
    _, other = authority.issue("other")
    with pytest.raises(ServerStartError, match="is not the private key of") as refused:
        make(TlsFiles(files.certificate, other))
    assert str(other) in str(refused.value)


def test_certificate_and_key_given_for_one_another_are_refused(files):
    with pytest.raises(ServerStartError, match="holds no certificate") as refused:
        ssl_context(TlsFiles(files.key, files.certificate))
    assert str(files.key) in str(refused.value)


def test_an_encrypted_key_is_refused_instead_of_asking_for_its_password(authority):
    files = TlsFiles(*authority.issue("server", password=b"secret"))
    with pytest.raises(ServerStartError, match="encrypted"):
        ssl_context(files)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)])
def test_a_key_that_others_can_read_is_warned_of(files, caplog, mode, warned):
    files.key.chmod(mode)
    with caplog.at_level("WARNING"):
        ssl_context(files)
    assert ("can be read by others" in caplog.text) == warned
