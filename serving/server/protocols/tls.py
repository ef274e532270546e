"""TLS for both ports, from the same certificate and key."""

import logging
import re
import ssl
import stat
import tempfile
from pathlib import Path

import grpc

from serving.errors import ServerStartError
from serving.server.configuration.parameters import TlsFiles

_LOGGER = logging.getLogger(__name__)

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)


def grpc_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Returns what a gRPC port shows to its clients.

    Raises:
        ServerStartError: naming the file that cannot be used, and why.
    """
    ssl_context(files)  # gRPC would accept anything here and refuse every client later, without saying why
    authority = None if files.client_authority is None else _read("client_authority", files.client_authority)
    return grpc.ssl_server_credentials(
        [(_read("key", files.key), _read("certificate", files.certificate))],
        root_certificates=authority,
        require_client_auth=files.require_client,
    )


def ssl_context(files: TlsFiles) -> ssl.SSLContext:
    """Returns what a REST port shows to its clients; TLS 1.2 or newer.

    Raises:
        ServerStartError: naming the file that cannot be used, and why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = _read("certificate", files.certificate), _read("key", files.key)
    _check_pem(files.certificate, certificate, "certificate", _CERTIFICATE)
    _check_pem(files.key, key, "private key", _KEY)
    _check_key(files.key, key)
    # The ssl module reads files only; the folder is this user's alone, and goes at once.
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:
        pair = (Path(folder) / "certificate.pem", Path(folder) / "key.pem")
        for path, content in zip(pair, (certificate, key), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
        try:
            context.load_cert_chain(*pair)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ServerStartError(
                    f"{_name(files.key)}: is not the private key of {_name(files.certificate)}. Give the key that the "
                    "certificate was made for."
                ) from error
            raise ServerStartError(
                f"{_name(files.certificate)}, {_name(files.key)}: are no PEM certificate and the unencrypted private "
                f"key that belongs to it ({error.reason or error})."
            ) from error
    if files.client_authority is not None:
        authority = _read("client_authority", files.client_authority)
        _check_pem(files.client_authority, authority, "certificate", _CERTIFICATE)
        try:
            context.load_verify_locations(cadata=authority.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ServerStartError(f"{_name(files.client_authority)}: holds no PEM certificate ({error}).") from error
        context.verify_mode = ssl.CERT_REQUIRED if files.require_client else ssl.CERT_OPTIONAL
    return context


def _check_pem(source: Path | bytes, content: bytes, what: str, pattern: re.Pattern[bytes]) -> None:
    if not pattern.search(content):
        raise ServerStartError(f"{_name(source)}: holds no {what} in PEM format. PEM begins with '-----BEGIN'.")


def _check_key(source: Path | bytes, key: bytes) -> None:
    if _ENCRYPTED.search(key):
        # OpenSSL would ask for the password on the terminal, and a server has none.
        raise ServerStartError(
            f"{_name(source)}: the private key is encrypted, and a server cannot type its password. Give a key "
            "without one, readable by the server's user alone."
        )
    if isinstance(source, Path) and (mode := stat.S_IMODE(source.stat().st_mode)) & (stat.S_IRGRP | stat.S_IROTH):
        _LOGGER.warning(
            "%s: the private key can be read by others (mode %o). Make it the server's own: chmod 600.", source, mode
        )


def _read(what: str, source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise ServerStartError(f"{what}: {source} cannot be read: {error.strerror or error}.") from error


def _name(source: Path | bytes) -> str:
    return "the PEM text of the TLS configuration file" if isinstance(source, bytes) else str(source)
