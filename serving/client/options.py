"""What a client of a server is told: which model, how long to wait, how often to repeat, how much at a time."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from serving import contract

_LARGEST_VERSION = 2**63 - 1


@dataclass(frozen=True)
class ClientOptions:
    """How a server is asked; the same for both protocols, with and without asyncio.

    Attributes:
        model_name: the model to ask.
        version: its version; None for the newest.
        label: a version's label, e.g. "stable"; None for none. Never together with a version.
        deadline: seconds that one call of the client may take in total, all its requests and repetitions included.
        connect_deadline: seconds of these for which an address is tried where no server has answered this client yet,
            so that a wrong address is reported soon. Raise it to wait for a server that is still being started.
        first_backoff: seconds before a request is repeated for the first time.
        backoff_factor: how many times longer each further pause is.
        max_backoff: longest pause in seconds.
        jitter: 0..1, the share of a pause that chance may take off, so that clients do not return all at once.
        batch_size: most images in one request.
        concurrency: most requests in flight, over all threads or tasks that share the client.
        tls: speak TLS to a gRPC address, trusting this machine's authorities; implied by the three below. With REST,
            the URL says it.
        tls_ca: PEM file of the authorities to trust instead.
        tls_certificate: PEM file of the client's own certificate chain, for servers that ask for one.
        tls_key: PEM file of its private key.

    Raises:
        ValueError: if a value cannot be; the message starts with its name.
    """

    model_name: str = contract.DEFAULT_MODEL_NAME
    version: int | None = None
    label: str | None = None
    deadline: float = 60.0
    connect_deadline: float = 3.0
    first_backoff: float = 0.1
    backoff_factor: float = 2.0
    max_backoff: float = 5.0
    jitter: float = 0.5
    batch_size: int = 32
    concurrency: int = 4
    tls: bool = False
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        """Refuses impossible values before anything is sent."""
        self._check_model()
        for name in ("deadline", "connect_deadline", "first_backoff", "max_backoff"):
            seconds = getattr(self, name)
            if not 0 < seconds < float("inf"):
                raise ValueError(f"{name}: must be a number of seconds above 0, got {seconds!r}.")
        if self.max_backoff < self.first_backoff:
            raise ValueError(
                f"max_backoff: must be at least first_backoff ({self.first_backoff:g} s), got {self.max_backoff:g} s."
            )
        if not 1 <= self.backoff_factor < float("inf"):
            raise ValueError(f"backoff_factor: must be at least 1, got {self.backoff_factor!r}.")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter: must be 0 to 1, got {self.jitter!r}.")
        if not 1 <= self.batch_size <= contract.MAX_BATCH_ROWS:
            raise ValueError(f"batch_size: must be 1 to {contract.MAX_BATCH_ROWS}, got {self.batch_size}.")
        if self.concurrency < 1:
            raise ValueError(f"concurrency: must be at least 1, got {self.concurrency}.")
        self._check_tls()

    @property
    def uses_tls(self) -> bool:
        """Whether TLS was asked for, in whichever way."""
        return self.tls or self.tls_ca is not None or self.tls_certificate is not None

    def ssl_context(self) -> ssl.SSLContext:
        """Returns a context that checks the server's certificate and name, and shows the client's own if it has one.

        Raises:
            ValueError: if a file holds no certificate, or no key that belongs to it.
        """
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"tls_ca: {self.tls_ca}: is no PEM file of certificates: {error}.") from error
        if self.tls_certificate is not None:
            try:
                context.load_cert_chain(self.tls_certificate, self.tls_key)
            except (ssl.SSLError, OSError) as error:
                raise ValueError(
                    f"tls_certificate: {self.tls_certificate} and tls_key: {self.tls_key} are no PEM files of a "
                    f"certificate and its key: {error}."
                ) from error
        return context

    def _check_model(self) -> None:
        if not self.model_name or any(character in self.model_name for character in "/:"):
            raise ValueError(f"model_name: must be non-empty and without '/' and ':', got {self.model_name!r}.")
        if self.version is not None and self.label is not None:
            raise ValueError(f"label: cannot be given together with a version, got {self.label!r} and {self.version}.")
        if self.version is not None and not 0 <= self.version <= _LARGEST_VERSION:
            raise ValueError(f"version: must be 0 to {_LARGEST_VERSION}, got {self.version}.")
        if self.label is not None and (not self.label or any(character in self.label for character in "/:")):
            raise ValueError(f"label: must be non-empty and without '/' and ':', got {self.label!r}.")

    def _check_tls(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            given, lacking = ("tls_key", "tls_certificate") if self.tls_key else ("tls_certificate", "tls_key")
            raise ValueError(f"{lacking}: is missing; {given} was given, and one is of no use without the other.")
        for name in ("tls_ca", "tls_certificate", "tls_key"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise ValueError(f"{name}: {path}: is no file.")
        if self.uses_tls:
            self.ssl_context()
