"""Ending the requests of a call from outside, whether they wait for a server, for a connection, or for their turn."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CallCancelledError(Exception):
    """The call that a request belongs to was ended. Never leaves the client."""


class Cancellation:
    """Shared by the requests of one call; the first failure, or closing the client, cancels it. Thread-safe."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._stops: dict[object, Callable[[], object]] = {}
        self.reason: BaseException | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether it was."""
        return self._cancelled.is_set()

    def cancel(self, reason: BaseException | None = None) -> None:
        """Ends pauses, and stops what is in flight.

        Args:
            reason: the failure of a request that ends the others, if it was one; the first is kept.
        """
        with self._lock:
            if self.is_cancelled:
                return
            self.reason = reason
            self._cancelled.set()
            # Under the lock: what is stopped later may by then work for another call.
            for stop in self._stops.values():
                stop()

    def sleep(self, seconds: float) -> None:
        """Waits.

        Raises:
            CallCancelledError: as soon as the call is cancelled.
        """
        if self._cancelled.wait(seconds):
            raise CallCancelledError

    def check(self) -> None:
        """Raises CallCancelledError if the call was cancelled."""
        if self.is_cancelled:
            raise CallCancelledError

    @contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """Has something stopped if the call is cancelled while the `with` block runs.

        Args:
            stop: called from another thread, at most once; must not block, nor touch this object.

        Raises:
            CallCancelledError: if the call is cancelled already.
        """
        key = object()
        with self._lock:
            if self.is_cancelled:
                stop()
                raise CallCancelledError
            self._stops[key] = stop
        try:
            yield
        finally:
            with self._lock:
                del self._stops[key]
