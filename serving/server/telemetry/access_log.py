"""One line a request in the log: a JSON object, the same for both protocols.

The lines come from the logger "serving.access" at level INFO; `write_access_log` says where they go, if anywhere.
Whatever a client sent stands inside JSON strings of ASCII, so that it can neither begin a line of its own nor change a
terminal, and is cut where it would fill the disk.
"""

import json
import logging
import logging.handlers
import time
from datetime import UTC, datetime
from pathlib import Path

_LOGGER = logging.getLogger("serving.access")

_LONGEST_VALUE = 256  # characters of one value, of those that clients can write into a line

Value = str | int | float | None


class AccessLog:
    """Measures one request from its construction to `finish`.

    Args:
        protocol: "grpc" or "rest".
        peer: where the request comes from.
        what: the method or the path that was asked.
    """

    __slots__ = ("_peer", "_protocol", "_started", "_what")

    def __init__(self, protocol: str, peer: str, what: str) -> None:
        self._started = time.perf_counter()
        self._protocol = protocol
        self._peer = peer
        self._what = what

    @property
    def seconds(self) -> float:
        """Time since the request arrived."""
        return time.perf_counter() - self._started

    def finish(
        self,
        code: str,
        reason: str = "",
        *,
        model: str | None = None,
        version: int | None = None,
        signature: str | None = None,
        rows: int | None = None,
        request_bytes: int | None = None,
    ) -> None:
        """Writes the line. What is not known is left out of it.

        Args:
            code: what was answered: a gRPC status name or an HTTP status.
            reason: the error's message, if it was one.
            model: name of the model that was asked for.
            version: the version that answered, or that was asked for.
            signature: name of the signature.
            rows: how many rows the request held.
            request_bytes: size of the request.
        """
        if not _LOGGER.isEnabledFor(logging.INFO):
            return
        fields: dict[str, Value] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "protocol": self._protocol,
            "peer": self._peer,
            "request": self._what,
            "model": model,
            "version": version,
            "signature": signature,
            "rows": rows,
            "code": code,
            "milliseconds": round(self.seconds * 1000, 3),
            "request_bytes": request_bytes,
            "error": reason or None,
        }
        _LOGGER.info("%s", json.dumps({name: _cut(value) for name, value in fields.items() if value is not None}))


def write_access_log(target: Path | None) -> None:
    """Says where the lines of this process go, and nowhere else.

    Args:
        target: a file, to which lines are added, and which may be rotated while it is written; "-" is standard error;
            None is nowhere.

    Raises:
        OSError: if the file cannot be written.
    """
    _LOGGER.setLevel(logging.WARNING if target is None else logging.INFO)
    if target is None:
        return
    handler = logging.StreamHandler() if str(target) == "-" else logging.handlers.WatchedFileHandler(target)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.handlers[:] = [handler]
    _LOGGER.propagate = False


def _cut(value: Value) -> Value:
    return f"{value[:_LONGEST_VALUE]}..." if isinstance(value, str) and len(value) > _LONGEST_VALUE else value
