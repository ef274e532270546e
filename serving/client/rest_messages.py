"""Requests and answers of TF Serving's REST API. Needs neither TensorFlow nor grpc nor aiohttp."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from serving import contract
from serving.client.answers import (
    Answer,
    ConnectionBrokenError,
    ServerError,
    ServerUnreachableError,
    answers_from_outputs,
)
from serving.client.options import ClientOptions
from serving.client.proxies import direct_hint
from serving.client.versions import AVAILABLE, VersionState

# TF Serving's own mapping, read backwards. 400 also stands for FAILED_PRECONDITION and OUT_OF_RANGE. 502 is what
# proxies answer while no server is behind them.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

JSON_HEADERS = {"Content-Type": "application/json"}

_QUOTED_CHARACTERS = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class RestAddress:
    """Where a REST API is.

    Attributes:
        url: as it was given, for messages.
        scheme: "http" or "https".
        host: name or address, without brackets.
        port: its port.
        prefix: path before /v1/models, without a slash at its end.
    """

    url: str
    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def base(self) -> str:
        """The URL without any path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def model_path(self, options: ClientOptions) -> str:
        """Returns the path of the model, in the version or under the label that the options name."""
        path = f"{self.prefix}/v1/models/{quote(options.model_name, safe='')}"
        if options.version is not None:
            return f"{path}/versions/{options.version}"
        return path if options.label is None else f"{path}/labels/{quote(options.label, safe='')}"


def parse_address(url: str, options: ClientOptions) -> RestAddress:
    """Reads the base URL of a server.

    Args:
        url: e.g. "http://127.0.0.1:8501"; http, if it names no scheme. A path in it is put before /v1/models.
        options: how the server is asked.

    Raises:
        ValueError: if the URL is not one of http or https, or it is http and the options speak of TLS.
    """
    wrong = f"url: must be like http://HOST:{contract.DEFAULT_REST_PORT}, got {url!r}."
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise ValueError(wrong) from error
    has_blanks = any(character <= " " for character in url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or "/v1/" in parts.path or has_blanks:
        raise ValueError(wrong)
    if options.uses_tls and parts.scheme != "https":
        raise ValueError(f"url: must start with https:// when TLS is asked for, got {url!r}.")
    return RestAddress(url, parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def predict_body(images: Sequence[bytes], signature: str) -> bytes:
    """Returns the body of a request for encoded images, in the column format."""
    rows = [{"b64": base64.b64encode(image).decode("ascii")} for image in images]
    request = {"signature_name": signature, "inputs": {contract.INPUT_IMAGE_BYTES: rows}}
    return json.dumps(request).encode("ascii")


def answers(status: int, body: bytes, rows: int, url: str) -> list[Answer]:
    """Reads the answers for as many images as were asked for.

    Raises:
        ServerError: if the server refused or failed, or the answer is none of the contract's.
    """
    outputs = _document(status, body).get("outputs")
    if not isinstance(outputs, dict):
        raise ServerError("INTERNAL", f"answer of {url} has no 'outputs': is it TF Serving's REST API?")
    return answers_from_outputs(outputs, rows)


def versions(status: int, body: bytes, url: str) -> list[VersionState]:
    """Reads the states of the versions.

    Raises:
        ServerError: as `answers`.
    """
    try:
        listed = _document(status, body)["model_version_status"]
        return [VersionState(int(each["version"]), str(each["state"])) for each in listed]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError("INTERNAL", f"answer of {url} lists no versions: is it TF Serving's REST API?") from error


def described_version(status: int, body: bytes, url: str) -> list[VersionState]:
    """Reads which version a model's metadata are of; a version that is described answers predictions too.

    Raises:
        ServerError: as `answers`.
    """
    try:
        return [VersionState(int(_document(status, body)["model_spec"]["version"]), AVAILABLE)]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError("INTERNAL", f"answer of {url} names no version: is it TF Serving's REST API?") from error


def unreachable(address: RestAddress, error: Exception) -> ServerUnreachableError:
    """Returns the error for an address where no connection can be had."""
    return ServerUnreachableError(
        "UNAVAILABLE",
        f"no REST server answers at {address.url} ({error}). Start one with "
        f"`genattr serve MODEL_BASE_DIR` on REST port {address.port}, or correct the address."
        f"{direct_hint(address.url)}",
    )


def broken(address: RestAddress, error: Exception) -> ConnectionBrokenError:
    """Returns the error for a connection that ended before the answer did."""
    advice = (
        "If it speaks TLS, the URL must start with https://."
        if address.scheme == "http"
        else "If it asks clients for a certificate, give tls_certificate and tls_key."
    )
    return ConnectionBrokenError(
        "UNAVAILABLE", f"{address.url} closed the connection before it had answered ({error!r}). {advice}"
    )


def untrusted(address: RestAddress, error: Exception) -> ServerError:
    """Returns the error for a server whose TLS does not suit the client's."""
    return ServerError(
        "UNAUTHENTICATED", f"{address.url}: TLS failed ({error}). Check the URL, tls_ca and tls_certificate."
    )


def _document(status: int, body: bytes) -> dict[str, Any]:
    """Returns the answer's JSON object; raises ServerError for any status but 200."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if status == HTTPStatus.OK and isinstance(document, dict):
        return document
    text = body[:_QUOTED_CHARACTERS].decode("utf-8", errors="replace")
    if status == HTTPStatus.OK:
        raise ServerError("INTERNAL", f"answer is no JSON object: {text!r}. Is this TF Serving's REST API?")
    known = isinstance(document, dict) and "error" in document
    raise ServerError(_CODES.get(status, "UNKNOWN"), str(document["error"]) if known else f"HTTP {status}: {text}")
