"""Ports of a server: their addresses, and whether they are free, found out before anything is loaded."""

import errno
import socket

from serving.errors import ServerStartError
from serving.server.configuration.options import ServerOptions


def address_of(host: str, port: int) -> str:
    """Return "host:port", with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_error(host: str, name: str, port: int, error: Exception) -> ServerStartError:
    """Return the error that names the option, the address and what to do."""
    return ServerStartError(
        f"{name}: cannot listen on {address_of(host, port)} ({error}). "
        "Stop what listens there, or choose another port; 0 takes any that is free."
    )


def require_free_ports(options: ServerOptions) -> None:
    """Check that both ports can be had now: loading a model takes seconds, or minutes.

    Args:
        options: Host and ports; port 0 needs no check.

    Raises:
        ServerStartError: If a port is in use, or the host is none of this machine.
    """
    for name in ("grpc_port", "rest_port"):
        port = getattr(options, name)
        try:
            _bind(options.host, port)
        except OSError as error:
            raise port_error(options.host, name, port, error) from error


def _bind(host: str, port: int) -> None:
    """Bind every address of a host once; of several addresses it is enough that one exists and none is in use."""
    failure: OSError | None = None
    bound = 0
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                bound += 1
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            failure = error
    if not bound and failure is not None:
        raise failure
