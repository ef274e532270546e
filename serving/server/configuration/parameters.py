"""What can be set about a server beside its options, or read from TF Serving's files: batching, TLS, monitoring."""

import os
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"

# Longest wait for a batch to fill: a client that waits longer has given up.
_LONGEST_TIMEOUT_MICROS = 60_000_000


def _cores() -> int:
    return len(os.sched_getaffinity(0))  # those that this process may use, which containers restrict


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are gathered into batches; the names are TF Serving's.

    Attributes:
        max_batch_size: most rows in one batch.
        batch_timeout_micros: how long a batch that is not full waits for more rows, in microseconds. With 0 a batch
            takes what is waiting when a thread becomes free.
        max_enqueued_batches: how many batches may wait; a request beyond them is refused.
        num_batch_threads: how many batches are computed at the same time.

    Raises:
        ValueError: if a value cannot be.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 64
    num_batch_threads: int = field(default_factory=_cores)

    def __post_init__(self) -> None:
        """Refuses impossible values before anything is loaded."""
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.batch_timeout_micros <= _LONGEST_TIMEOUT_MICROS:
            raise ValueError(
                f"batch_timeout_micros: must be 0 to {_LONGEST_TIMEOUT_MICROS} (a minute), "
                f"got {self.batch_timeout_micros}."
            )


@dataclass(frozen=True)
class TlsFiles:
    """What TLS needs, each PEM: a file, or the text itself, as TF Serving's configuration file holds it.

    Attributes:
        certificate: the server's certificate, followed by the certificates that link it to its authority.
        key: the private key of the certificate.
        client_authority: certificates of the authorities that clients' certificates are checked against, if any.
        require_client: whether a client must show a certificate.

    Raises:
        ValueError: if clients must show certificates that nothing can check.
    """

    certificate: Path | bytes
    key: Path | bytes
    client_authority: Path | bytes | None = None
    require_client: bool = False

    def __post_init__(self) -> None:
        """Refuses what could never be checked."""
        if self.require_client and self.client_authority is None:
            raise ValueError(
                "require_client: needs client_authority, the authorities that clients' certificates are checked "
                "against, got none. Give their certificates, or do not require clients to show one."
            )


@dataclass(frozen=True)
class Monitoring:
    """Whether and where Prometheus metrics are shown.

    Attributes:
        enabled: whether they are shown.
        path: under which path of the REST port.

    Raises:
        ValueError: if the path is none.
    """

    enabled: bool = True
    path: str = DEFAULT_METRICS_PATH

    def __post_init__(self) -> None:
        """Refuses a path that no URL can have."""
        if not self.path.startswith("/") or any(character in self.path for character in "?# {}"):
            raise ValueError(
                f"path: must start with '/' and hold no '?', '#', space or brace, got {self.path!r}. "
                f"For example {DEFAULT_METRICS_PATH}."
            )
