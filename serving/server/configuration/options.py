"""What to serve, where, and within which limits; and where a running server answers."""

from dataclasses import dataclass, field
from pathlib import Path

from serving import contract
from serving.request_log.options import RequestLogOptions
from serving.server.configuration.parameters import BatchingParameters, Monitoring, TlsFiles

_LARGEST_PORT = 65535


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, where, and within which limits.

    Attributes:
        model_base_path: directory that holds `<version>/saved_model.pb`, or one version's directory itself; the newest
            version is served, and later ones as they come. None if model_config_file is given.
        model_config_file: TF Serving's models.config: several models, version policies, labels. It is read again when
            it changes.
        model_name: name that requests ask for; of no meaning with model_config_file.
        host: address to listen on; the default can be reached from this machine only.
        grpc_port: 0 takes any free port.
        rest_port: 0 takes any free port.
        batching: how requests are gathered into batches.
        monitoring: where Prometheus metrics are shown.
        tls: certificate and key for both ports; None for none.
        max_batch_rows: most rows in one request.
        max_request_bytes: largest request in bytes.
        max_concurrent_requests: how many requests of each protocol may be in flight; more are refused.
        poll_seconds: how often the directories are looked at for new versions; 0 looks only once, at the start.
        drain_seconds: how long a stop waits for requests in flight.
        page: whether the page for people is served under /ui/.
        request_log: where a share of the answered rows is logged; None for nowhere.

    Raises:
        ValueError: if a value cannot be.
    """

    model_base_path: Path | None = None
    model_config_file: Path | None = None
    model_name: str = contract.DEFAULT_MODEL_NAME
    host: str = "127.0.0.1"
    grpc_port: int = contract.DEFAULT_GRPC_PORT
    rest_port: int = contract.DEFAULT_REST_PORT
    batching: BatchingParameters = field(default_factory=BatchingParameters)
    monitoring: Monitoring = field(default_factory=Monitoring)
    tls: TlsFiles | None = None
    max_batch_rows: int = contract.MAX_BATCH_ROWS
    max_request_bytes: int = contract.MAX_REQUEST_BYTES
    max_concurrent_requests: int = 256
    poll_seconds: float = 2.0
    drain_seconds: float = 30.0
    page: bool = False
    request_log: RequestLogOptions | None = None

    def __post_init__(self) -> None:
        """Refuses impossible values before anything is loaded."""
        if (self.model_base_path is None) == (self.model_config_file is None):
            raise ValueError("model_base_path: give it or model_config_file, and not both.")
        for name in ("model_base_path", "model_config_file"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if not self.model_name or any(character in self.model_name for character in "/:"):
            raise ValueError(f"model_name: must be non-empty and without '/' and ':', got {self.model_name!r}.")
        for name in ("grpc_port", "rest_port"):
            port = getattr(self, name)
            if not 0 <= port <= _LARGEST_PORT:
                raise ValueError(f"{name}: must be 0 (any free port) to {_LARGEST_PORT}, got {port}.")
        if self.grpc_port == self.rest_port != 0:
            raise ValueError(f"rest_port: must differ from grpc_port, got {self.rest_port} for both.")
        for name in ("max_batch_rows", "max_request_bytes", "max_concurrent_requests"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}.")
        for name in ("poll_seconds", "drain_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Addresses:
    """Where a running server answers.

    Attributes:
        grpc: "host:port" for a gRPC channel.
        rest: base URL of the REST API, e.g. "http://127.0.0.1:8501".
        version: the version that is served; of the first model, if there are several.
    """

    grpc: str
    rest: str
    version: int
