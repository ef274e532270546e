"""Proxies of the environment: loopback never goes through one, and errors name the one that other hosts go through.

Source: gRPC's http_proxy_mapper.cc (grpc_proxy, https_proxy, http_proxy, in this order, in small letters); Python's
urllib.request.getproxies.
"""

import ipaddress
import os
import socket
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

_GRPC_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback")
_LONGEST = 80


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its name or address.

    Args:
        host: Name or address, with or without the brackets of IPv6; 0.0.0.0 and :: connect to this machine as well.
    """
    name = host.strip("[]").rstrip(".").partition("%")[0].lower()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _is_short_loopback(name)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def _is_short_loopback(name: str) -> bool:
    """Return whether a name is a loopback address in one of the forms that connect all the same: 127.1, 0x7f000001."""
    try:
        return name[:1].isdigit() and ipaddress.IPv4Address(socket.inet_aton(name)).is_loopback
    except OSError:
        return False


def grpc_host(address: str) -> str:
    """Return the host of a gRPC address: "host:port", "[::1]:port", "ipv4:127.0.0.1:port", "dns:host:port"."""
    without_port = address.rpartition(":")[0]
    for scheme in ("dns:", "ipv4:", "ipv6:"):
        without_port = without_port.removeprefix(scheme)
    return without_port


def grpc_hint(address: str) -> str:
    """Return a sentence on the proxy that gRPC sends requests for an address through; "" if there is none."""
    host = grpc_host(address)
    if is_loopback(host) or urllib.request.proxy_bypass(host.strip("[]")):
        return ""
    return _hint(_GRPC_VARIABLES, "is set, and gRPC goes through it: add the host to no_proxy if it should not")


def direct_hint(url: str) -> str:
    """Return a sentence on a proxy that is set, for a client that uses none; "" for loopback, or if none is set."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if is_loopback(parts.hostname or ""):
        return ""
    return _hint(_variables(parts.scheme), "is set, but this client connects directly: it uses no proxy")


def open_url_hint(url: str) -> str:
    """Return a sentence on the proxy that `open_url` goes through; "" if there is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return ""
    return _hint(
        _variables(parts.scheme), "is set, and requests go through it: add the host to no_proxy if it should not"
    )


def url_opener(url: str) -> urllib.request.OpenerDirector:
    """Return an opener for a URL: without a proxy for loopback, with the environment's for any other host."""
    if is_loopback(urlsplit(url).hostname or ""):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


def _variables(scheme: str) -> tuple[str, ...]:
    return (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")


def _hint(variables: Sequence[str], effect: str) -> str:
    for variable in variables:
        if value := os.environ.get(variable):
            return f" {variable}={_without_password(value)} {effect}."
    return ""


def _without_password(proxy: str) -> str:
    """Return a proxy's URL without user and password, which must not stand in a log."""
    scheme, separator, rest = proxy.rpartition("//")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"[:_LONGEST]
