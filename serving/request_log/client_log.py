"""A request log on the client's side: for those who ask a server that writes none, such as TF Serving."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from serving import contract
from serving.request_log.entries import Answered
from serving.request_log.options import RequestLogOptions


class _Answer(Protocol):
    """What is logged of a client's answer."""

    @property
    def fake_probability(self) -> float:
        """0..1."""

    @property
    def source_probabilities(self) -> Mapping[str, float]:
        """0..1, by source."""

    @property
    def verdict(self) -> str:
        """As given."""


OnAnswer = Callable[[bytes, _Answer], None]


@contextmanager
def client_log(
    options: RequestLogOptions | None, model: str | None, version: int | None, say: Callable[[str], None]
) -> Iterator[OnAnswer | None]:
    """Logs a share of the answers that a client gets, for as long as the `with` block lasts.

    Unlike a server's, it waits for room: all that chance takes is logged.

    Args:
        options: where and how much; None logs nothing.
        model: name of the model that is asked; None is the usual one.
        version: the version that is asked; None where that is not known.
        say: told at the end what became of the rows, if any could not be logged.

    Yields:
        what is called with each image and its answer; None without options.

    Raises:
        OSError: if nothing can be written where it should be.
    """
    if options is None:
        yield None
        return
    from serving.request_log.writer import RequestLog  # needs NumPy and Pillow, which asking a server does not

    counts: Counter[str] = Counter()
    log = RequestLog(options, lambda outcome, rows: counts.update({outcome: rows}), patient=True)
    name = contract.DEFAULT_MODEL_NAME if model is None else model

    def answered(encoded: bytes, answer: _Answer) -> None:
        if log.chosen():
            log.offer(
                encoded,
                Answered(name, version, answer.fake_probability, dict(answer.source_probabilities), answer.verdict),
            )

    try:
        yield answered
    finally:
        log.close()
        if lost := counts["failed"] + counts["dropped"]:
            say(f"request log: {lost} of {counts.total()} rows could not be logged in {options.folder}")
