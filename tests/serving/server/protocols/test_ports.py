"""Ports are checked before a model is loaded."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving.errors import ServerStartError
from serving.server.configuration.options import ServerOptions
from serving.server.protocols.ports import require_free_ports

REPOSITORY = Path(__file__).resolve().parents[4]


def options(**values):
    return ServerOptions(**{"model_base_path": Path("models"), "grpc_port": 0, "rest_port": 0, **values})


@pytest.mark.parametrize("name", ["grpc_port", "rest_port"])
def test_a_port_in_use_is_refused_by_its_option(name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerStartError, match=rf"{name}: cannot listen on 127\.0\.0\.1:{port} .*in use"):
            require_free_ports(options(**{name: port}))
    require_free_ports(options(**{name: port}))


def test_a_host_that_is_not_of_this_machine_is_refused():
    with pytest.raises(ServerStartError, match=r"grpc_port: cannot listen on 192\.0\.2\.1"):
        require_free_ports(options(host="192.0.2.1"))
    with pytest.raises(ServerStartError, match=r"grpc_port: cannot listen on no\.such\.host\.invalid"):
        require_free_ports(options(host="no.such.host.invalid"))


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
def test_hosts_of_several_addresses_are_taken(host):
    require_free_ports(options(host=host))


def test_serve_names_the_port_before_tensorflow_is_imported(model_base):
    code = (
        "import sys; from pipeline.cli.main import main; code = main(sys.argv[1:]);"
        "sys.exit(9 if 'tensorflow' in sys.modules else code)"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in (
            [sys.executable, "-c", code, "serve", str(model_base), "--grpc-port", "0", "--rest-port", port],
            [sys.executable, "-m", "serving.server", "--model-base-path", str(model_base), "--grpc-port", port],
        ):
            done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
            assert done.returncode == 1, done.stderr
            assert "cannot listen on 127.0.0.1" in done.stderr
