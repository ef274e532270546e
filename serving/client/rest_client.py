"""A client of TF Serving's REST API. Needs neither TensorFlow nor grpc nor aiohttp."""

import threading
from collections.abc import Sequence

from serving.client import rest_messages
from serving.client.answers import Answer
from serving.client.cancellation import Cancellation
from serving.client.options import ClientOptions
from serving.client.rest_connection import RestConnection
from serving.client.retries import Deadline
from serving.client.versions import VersionState
from serving.client.wire_client import WireClient


class RestClient(WireClient):
    """Asks a server by REST, over a connection for each request in flight, kept open. Thread-safe.

    Args:
        url: base URL of the server, e.g. "http://127.0.0.1:8501"; a path in it is put before /v1/models.
        options: how it is asked.

    Raises:
        ValueError: if the URL is not one of http or https, or is http though the options ask for TLS.
    """

    def __init__(self, url: str, options: ClientOptions | None = None) -> None:
        options = options or ClientOptions()
        self._address = rest_messages.parse_address(url, options)
        super().__init__(url, options)
        self._context = options.ssl_context() if self._address.scheme == "https" else None
        self._path = self._address.model_path(options)
        self._pool_lock = threading.Lock()
        self._idle: list[RestConnection] | None = []  # None once the client is closed

    def _predict_once(
        self, images: Sequence[bytes], signature: str, deadline: Deadline, call: Cancellation
    ) -> list[Answer]:
        body = rest_messages.predict_body(images, signature)
        status, answer = self._exchange("POST", f"{self._path}:predict", body, deadline, call)
        return rest_messages.answers(status, answer, len(images), self._address.url)

    def _versions_once(self, deadline: Deadline, call: Cancellation) -> list[VersionState]:
        if self.options.label is not None:  # the status is of all versions, whatever the label
            status, answer = self._exchange("GET", f"{self._path}/metadata", None, deadline, call)
            return rest_messages.described_version(status, answer, self._address.url)
        status, answer = self._exchange("GET", self._path, None, deadline, call)
        return rest_messages.versions(status, answer, self._address.url)

    def _close_connections(self) -> None:
        with self._pool_lock:
            idle, self._idle = self._idle or [], None
        for connection in idle:
            connection.close()

    def _exchange(
        self, method: str, path: str, body: bytes | None, deadline: Deadline, call: Cancellation
    ) -> tuple[int, bytes]:
        with self._pool_lock:
            connection = self._idle.pop() if self._idle else RestConnection(self._address, self._context)
        try:
            answer = connection.exchange(method, path, body, deadline, call)
        except BaseException:
            connection.close()
            raise
        with self._pool_lock:
            if self._idle is not None and connection.is_usable:
                self._idle.append(connection)
                return answer
        connection.close()
        return answer
