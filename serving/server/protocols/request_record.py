"""What is remembered of one request while it is answered: the log's line, and a sample for the metrics."""

from serving.errors import ServingError
from serving.server.models.requests import ModelRequest
from serving.server.telemetry.access_log import AccessLog
from serving.server.telemetry.metrics import ServerMetrics


class RequestRecord:
    """One request of either protocol, from its arrival to `finish`.

    Args:
        metrics: where it is counted.
        entrypoint: "GRPC" or "REST".
        api: "Predict", "Classify", ...; or "" for what TF Serving does not count.
        peer: where the request comes from.
        what: the method or the path, for the log.

    Attributes:
        model: which model was asked; None until that is known, or if it never is.
        version: the version that answered.
        rows: how many rows the request held.
        request_bytes: its size.
    """

    __slots__ = ("_api", "_entrypoint", "_log", "_metrics", "model", "request_bytes", "rows", "version")

    def __init__(self, metrics: ServerMetrics, entrypoint: str, api: str, peer: str, what: str) -> None:
        self._metrics = metrics
        self._entrypoint = entrypoint
        self._api = api
        self._log = AccessLog(entrypoint.lower(), peer, what)
        self.model: ModelRequest | None = None
        self.version: int | None = None
        self.rows: int | None = None
        self.request_bytes: int | None = None

    def finish(self, code: str, error: ServingError | None = None) -> None:
        """Writes the line and counts the request.

        Args:
            code: what was answered, in the protocol's own terms: a gRPC status name or an HTTP status.
            error: why it was refused, if it was.
        """
        asked = self.model
        if self._api and asked is not None:
            status = "OK" if error is None else error.grpc_code
            self._metrics.request(asked.name, self._api, self._entrypoint, status, self._log.seconds)
        version = self.version if self.version is not None or asked is None else asked.version
        self._log.finish(
            code,
            "" if error is None else error.wire_message,
            model=None if asked is None else asked.name,
            version=version,
            signature=None if asked is None else asked.signature or None,
            rows=self.rows,
            request_bytes=self.request_bytes,
        )
