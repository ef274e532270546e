"""Clients while the environment names a proxy: loopback goes around it, errors about other hosts name it."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.rollout.models_file import ModelsFileError
from pipeline.rollout.server_status import Servers
from serving.client import ClientOptions, ServerError, async_client, open_predictor
from serving.client.proxies import direct_hint, grpc_hint, grpc_host, is_loopback, open_url_hint

REPOSITORY = Path(__file__).resolve().parents[3]
VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.fixture
def proxy(monkeypatch):
    """A proxy that refuses everything, named by every variable, and the requests that it got."""
    got = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        got.append(connection.recv(4096))
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        for variable in VARIABLES:
            monkeypatch.setenv(variable, f"http://user:secret@127.0.0.1:{listening.getsockname()[1]}")
        for variable in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(variable, raising=False)
        yield got
        listening.shutdown(socket.SHUT_RDWR)


def test_every_client_asks_loopback_directly(server, images, proxy):
    for way in ({"grpc": server.grpc}, {"rest": server.rest}):
        with open_predictor(**way) as predictor:
            assert predictor.predict(images[:1])[0].verdict == "real"

        async def ask(way=way):
            async with async_client(**way) as client:
                return await client.predict(images[:1])

        assert asyncio.run(ask())[0].verdict == "real"
    statuses = Servers([server.rest]).statuses("generator_attribution", 3)
    assert statuses[server.rest].state == "AVAILABLE"
    assert not proxy


def test_predict_by_grpc_asks_loopback_directly_in_a_process_of_its_own(server, images, proxy, tmp_path):
    (tmp_path / "a.png").write_bytes(images[0])
    command = [sys.executable, "-m", "pipeline.cli.main", "predict", str(tmp_path), "--grpc", server.grpc, "--json"]
    done = subprocess.run(command, capture_output=True, cwd=REPOSITORY, check=False)
    assert json.loads(done.stdout)["verdict"] == "real", done.stderr
    assert not proxy


def test_an_unreachable_host_is_reported_with_the_proxy_and_without_its_password(proxy):
    options = (
        ClientOptions(deadline=3.0, attempts=1) if hasattr(ClientOptions, "attempts") else ClientOptions(deadline=3.0)
    )
    with open_predictor(grpc="models.example:8500", options=options) as predictor, pytest.raises(ServerError) as error:
        predictor.predict([b"x"])
    assert "grpc_proxy=http://127.0.0.1:" in str(error.value)
    assert "no_proxy" in str(error.value)
    assert "secret" not in str(error.value)
    assert proxy[0].startswith(b"CONNECT models.example:8500")


def test_the_rollout_reports_the_proxy(proxy):
    with pytest.raises(ModelsFileError, match=r"http_proxy=http://127\.0\.0\.1:\d+ is set, and requests go through it"):
        Servers(["http://models.example:8501"]).statuses("m", 1)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST.", "a.localhost", "::1", "[::1]", "0.0.0.0", "::",
     "::ffff:127.0.0.1", "ip6-localhost", "127.1", "0x7f000001", "2130706433"],
)  # fmt: skip
def test_loopback_is_known_by_name_and_address(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "example.com", "localhost.example.com", "2001:db8::1", "128.0.0.1", "", "10.1", "1"]
)
def test_other_hosts_are_not(host):
    assert not is_loopback(host)


def test_the_host_of_a_grpc_address():
    addresses = ["h:1", "[::1]:1", "ipv4:127.0.0.1:1", "dns:h:1", "ipv6:[::1]:1"]
    assert [grpc_host(address) for address in addresses] == ["h", "[::1]", "127.0.0.1", "h", "[::1]"]


def test_hints_stand_for_hosts_that_a_proxy_is_set_for(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert grpc_hint("h:1") == direct_hint("http://h") == open_url_hint("http://h") == ""
    monkeypatch.setenv("http_proxy", "user:secret@proxy:3128")
    assert grpc_hint("h:1").startswith(" http_proxy=proxy:3128 is set, and gRPC goes through it")
    assert direct_hint("http://h:8501").startswith(" http_proxy=proxy:3128 is set, but this client connects directly")
    assert open_url_hint("http://h").startswith(" http_proxy=proxy:3128 is set, and requests go through it")
    assert direct_hint("https://h") == open_url_hint("https://h") == ""
    assert grpc_hint("[::1]:1") == direct_hint("localhost:1") == open_url_hint("http://127.0.0.1") == ""
    monkeypatch.setenv("no_proxy", "h")
    assert open_url_hint("http://h") == grpc_hint("h:1") == ""
