"""One line a request in the log, the same for both protocols."""

import logging
import time

_LOGGER = logging.getLogger("serving.access")


class AccessLog:
    """Measures one request from its construction to `finish`.

    Args:
        protocol: "grpc" or "rest".
        peer: where the request comes from.
        what: the method or the path that was asked.
    """

    def __init__(self, protocol: str, peer: str, what: str) -> None:
        self._started = time.perf_counter()
        self._protocol = protocol
        self._peer = peer
        self._what = what

    def finish(self, code: str, reason: str = "") -> None:
        """Writes the line.

        Args:
            code: what was answered: a gRPC status name or an HTTP status.
            reason: the error's message, if it was one.
        """
        milliseconds = (time.perf_counter() - self._started) * 1000
        # %r, because paths and messages carry what the client sent, and must not be able to start a new line.
        _LOGGER.info(
            "%s %s %r %s %.1f ms%s",
            self._protocol,
            self._peer,
            self._what,
            code,
            milliseconds,
            f" {reason!r}" if reason else "",
        )
