"""Repeating a request that failed for the moment, and knowing when to stop.

Predicting changes nothing, so a request may be sent again whatever became of the first. Repeated are only failures that
pass by themselves: no server (UNAVAILABLE), and a full queue (RESOURCE_EXHAUSTED, whose message names the queue; the
same code also says that a request is too large, which no repetition makes smaller).

The rules are in `Retries`, which neither sleeps nor asks; clock and chance are given to it.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from serving.client.answers import ConnectionBrokenError, PredictionError, ServerError, ServerUnreachableError
from serving.client.options import ClientOptions

_Result = TypeVar("_Result")


class Deadline:
    """A point in time until which a call must have ended.

    Args:
        seconds: from now.
        clock: seconds that never run backwards.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._start = clock()

    def elapsed(self) -> float:
        """Returns the seconds since the start."""
        return self._clock() - self._start

    def remaining(self) -> float:
        """Returns the seconds that are left; negative once it has passed."""
        return self.seconds - self.elapsed()

    def require(self, where: str) -> float:
        """Returns the seconds that are left.

        Args:
            where: address of the server, for the message.

        Raises:
            ServerError: DEADLINE_EXCEEDED, if there are none.
        """
        remaining = self.remaining()
        if remaining <= 0:
            raise self.exceeded(where)
        return remaining

    def exceeded(self, where: str) -> ServerError:
        """Returns the error that says so."""
        return ServerError("DEADLINE_EXCEEDED", f"{where} did not answer within {self.seconds:g} s.")


class Contact:
    """Whether a server has answered at an address, well or badly. Shared by all calls of a client."""

    def __init__(self) -> None:
        self.made = False


class Retries:
    """The repetitions of one request.

    Args:
        options: pauses and limits.
        deadline: of the call that the request belongs to.
        contact: whether a server has answered there yet.
        chance: 0..1, for the jitter.
    """

    def __init__(
        self, options: ClientOptions, deadline: Deadline, contact: Contact, chance: Callable[[], float] = random.random
    ) -> None:
        self._options = options
        self._deadline = deadline
        self._contact = contact
        self._pauses = backoffs(options, chance)
        self._failures = 0

    def pause_after(self, error: PredictionError) -> float:
        """Returns how many seconds to wait before the request is sent again.

        Args:
            error: what the last attempt failed with.

        Raises:
            PredictionError: the same error, if it should not be repeated, or no time is left to do so.
        """
        if not isinstance(error, ServerUnreachableError | ConnectionBrokenError):
            self._contact.made = True
        if not is_passing(error):
            raise error
        self._failures += 1
        pause = next(self._pauses)
        limit = self._deadline.seconds
        if not self._contact.made:
            limit = min(limit, self._options.connect_deadline)
        if self._deadline.elapsed() + pause >= limit:
            error.add_note(f"Tried {self._failures} times in {self._deadline.elapsed():.1f} s.")
            raise error
        return pause

    def succeeded(self) -> None:
        """Notes that a server is there."""
        self._contact.made = True


def backoffs(options: ClientOptions, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Yields the pauses before each repetition, in seconds, without end.

    Args:
        options: first and longest pause, factor and jitter.
        chance: 0..1, drawn once a pause.
    """
    pause = options.first_backoff
    while True:
        yield pause * (1.0 - options.jitter * chance())
        pause = min(pause * options.backoff_factor, options.max_backoff)


# What a full queue says, and gRPC's server beyond its limit on requests in flight. Of what is too large nobody says it.
_FULL = ("queue", "concurrent rpc limit")


def is_passing(error: PredictionError) -> bool:
    """Says whether a failure may pass by itself, so that the same request can succeed a moment later."""
    if error.code == "RESOURCE_EXHAUSTED":
        return any(sign in error.message.lower() for sign in _FULL)
    return error.code == "UNAVAILABLE"


def repeat(attempt: Callable[[], _Result], retries: Retries, sleep: Callable[[float], object]) -> _Result:
    """Makes attempts until one succeeds.

    Args:
        attempt: sends the request once.
        retries: when to go on, and after which pause.
        sleep: waits for that many seconds; may raise to end it all.

    Returns:
        what the successful attempt returned.

    Raises:
        PredictionError: of the last attempt.
    """
    while True:
        try:
            result = attempt()
        except PredictionError as error:
            pause = retries.pause_after(error)
        else:
            retries.succeeded()
            return result
        sleep(pause)
