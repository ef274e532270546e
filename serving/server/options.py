"""What to serve, where, and within which limits; and where a running server answers."""

from dataclasses import dataclass
from pathlib import Path

from serving import contract

_LARGEST_PORT = 65535


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, where, and within which limits.

    Attributes:
        model_base_path: directory that holds `<version>/saved_model.pb`, or one version's directory itself. The newest
            version at the start is served.
        model_name: name that requests ask for.
        host: address to listen on; the default can be reached from this machine only.
        grpc_port: 0 takes any free port.
        rest_port: 0 takes any free port.
        max_batch_rows: most rows in one request.
        max_request_bytes: largest request in bytes.
        drain_seconds: how long a stop waits for requests in flight.
        threads: how many requests are computed at the same time.

    Raises:
        ValueError: if a value cannot be.
    """

    model_base_path: Path
    model_name: str = contract.DEFAULT_MODEL_NAME
    host: str = "127.0.0.1"
    grpc_port: int = contract.DEFAULT_GRPC_PORT
    rest_port: int = contract.DEFAULT_REST_PORT
    max_batch_rows: int = contract.MAX_BATCH_ROWS
    max_request_bytes: int = contract.MAX_REQUEST_BYTES
    drain_seconds: float = 30.0
    threads: int = 4

    def __post_init__(self) -> None:
        """Refuses impossible values before anything is loaded."""
        object.__setattr__(self, "model_base_path", Path(self.model_base_path))
        if not self.model_name or any(character in self.model_name for character in "/:"):
            raise ValueError(f"model_name: must be non-empty and without '/' and ':', got {self.model_name!r}.")
        for name in ("grpc_port", "rest_port"):
            port = getattr(self, name)
            if not 0 <= port <= _LARGEST_PORT:
                raise ValueError(f"{name}: must be 0 (any free port) to {_LARGEST_PORT}, got {port}.")
        if self.grpc_port == self.rest_port != 0:
            raise ValueError(f"rest_port: must differ from grpc_port, got {self.rest_port} for both.")
        for name in ("max_batch_rows", "max_request_bytes", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}.")
        if self.drain_seconds < 0:
            raise ValueError(f"drain_seconds: must be at least 0, got {self.drain_seconds}.")


@dataclass(frozen=True)
class Addresses:
    """Where a running server answers.

    Attributes:
        grpc: "host:port" for a gRPC channel.
        rest: base URL of the REST API, e.g. "http://127.0.0.1:8501".
        version: the version that is served.
    """

    grpc: str
    rest: str
    version: int
