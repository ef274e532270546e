"""A client of TF Serving's REST API. Needs neither TensorFlow nor grpc nor aiohttp."""

import base64
import http.client
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

from serving import contract
from serving.client.answers import Answer, ServerError, ServerUnreachableError, answers_from_outputs

# TF Serving's own mapping, read backwards. 400 also stands for FAILED_PRECONDITION and OUT_OF_RANGE.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_QUOTED_CHARACTERS = 200


class RestClient:
    """Asks a server by REST, over one connection that is kept open. Not to be shared between threads.

    Args:
        url: base URL of the server, e.g. "http://127.0.0.1:8501"; a path in it is put before /v1/models.
        model_name: the model to ask.
        timeout: seconds that connecting, and any silence of the server, may last.

    Raises:
        ValueError: if the URL is not one of http or https.
    """

    def __init__(self, url: str, model_name: str = contract.DEFAULT_MODEL_NAME, timeout: float = 60.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "/v1/" in parts.path:
            raise ValueError(f"url: must be like http://HOST:{contract.DEFAULT_REST_PORT}, got {url!r}.")
        connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connection(parts.hostname, parts.port, timeout=timeout)
        self._url = url
        self._path = f"{parts.path.rstrip('/')}/v1/models/{quote(model_name, safe='')}:predict"
        self._timeout = timeout

    def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Asks for a batch; see `Predictor.predict`.

        Raises:
            ServerError: if the server refuses or fails, or its answer is none of the contract's.
            ServerUnreachableError: if no server answers.
        """
        if not images:
            return []
        rows = [{"b64": base64.b64encode(image).decode("ascii")} for image in images]
        request = {"signature_name": signature, "inputs": {contract.INPUT_IMAGE_BYTES: rows}}
        status, body = self._post(json.dumps(request).encode("ascii"))
        document = _document(status, body)
        if status != http.client.OK:
            raise ServerError(_CODES.get(status, "UNKNOWN"), str(document["error"]))
        outputs = document.get("outputs")
        if not isinstance(outputs, dict):
            raise ServerError("INTERNAL", f"answer of {self._url} has no 'outputs': is it TF Serving's REST API?")
        return answers_from_outputs(outputs, len(images))

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        self._connection.close()

    def __enter__(self) -> "RestClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, body: bytes) -> tuple[int, bytes]:
        kept_open = self._connection.sock is not None
        try:
            return self._exchange(body)
        except (ConnectionError, http.client.HTTPException) as error:
            if not kept_open:
                raise self._unreachable(error) from error
        except TimeoutError as error:
            raise self._timed_out() from error
        except OSError as error:
            raise self._unreachable(error) from error
        # A server may close a connection that was idle; asking again is safe, because predicting changes nothing.
        try:
            return self._exchange(body)
        except TimeoutError as error:
            raise self._timed_out() from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            return response.status, response.read()
        except BaseException:
            self._connection.close()  # what is left of the exchange must not be read as the next answer
            raise

    def _timed_out(self) -> ServerError:
        return ServerError("DEADLINE_EXCEEDED", f"{self._url} did not answer within {self._timeout:g} s.")

    def _unreachable(self, error: Exception) -> ServerUnreachableError:
        return ServerUnreachableError(
            "UNAVAILABLE",
            f"no REST server answers at {self._url} ({error}). Start one with "
            f"`genattr serve MODEL_BASE_DIR --rest-port {self._connection.port}`, or correct the address.",
        )


def _document(status: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and (status == http.client.OK or "error" in document):
        return document
    text = body[:_QUOTED_CHARACTERS].decode("utf-8", errors="replace")
    if status == http.client.OK:
        raise ServerError("INTERNAL", f"answer is no JSON object: {text!r}. Is this TF Serving's REST API?")
    return {"error": f"HTTP {status}: {text}"}
