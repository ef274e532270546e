"""Isolates the rows that make a batch fail.

A graph that decodes a batch fails as a whole, and so does a request. Where the failure names a row, the batch is run
again without it. Where it does not, the batch is halved until the row is found; a half that must hold it is halved
without being run, so finding one row costs about one more batch. A batch that fails although each of its rows passes is
answered in parts.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from serving import contract
from serving.errors import BadRowError, InvalidArgumentError

Result = TypeVar("Result")

_NAMED_ROW = re.compile(rf"{contract.INPUT_IMAGE_BYTES}\[(\d+)\]: (.*)", re.DOTALL)


@dataclass(frozen=True)
class RefusedRow:
    """The outcome of a row that is at fault.

    Attributes:
        reason: Why it was refused.
    """

    reason: str


def named_row(message: str) -> tuple[int, str] | None:
    """Return the row that a failure's message starts with and the reason after it; None if it names no row.

    Example:
        >>> named_row("image_bytes[3]: is empty")
        (3, 'is empty')
    """
    match = _NAMED_ROW.match(message)
    return (int(match[1]), match[2]) if match else None


def batch_error(message: str) -> InvalidArgumentError:
    """Return the error of a failed batch: a BadRowError if the message names a row."""
    named = named_row(message)
    return BadRowError(contract.INPUT_IMAGE_BYTES, *named) if named else InvalidArgumentError(message)


def isolate_bad_rows(
    run: Callable[[Sequence[int]], Iterable[Result]], rows: Sequence[int], known_to_fail: bool = False
) -> Iterator[tuple[int, Result | RefusedRow]]:
    """Yield every row with its result, or with the reason for its refusal, as soon as either is known.

    A caller that stops early saves the runs that are still ahead. Without named rows, the first refused row of the
    batch is the first one yielded.

    Args:
        run: Runs some rows and returns one result per row. Raises BadRowError if one row is at fault, which it gives by
            its position among the rows of this run, and InvalidArgumentError if it cannot tell which. Any other
            exception ends the iteration.
        rows: Rows of the batch.
        known_to_fail: True if `run` has failed on all of these rows together and named none.
    """
    remaining = list(rows)
    while remaining and (len(remaining) == 1 or not known_to_fail):
        try:
            results = run(remaining)
        except InvalidArgumentError as error:
            named, reason = (error.row, error.reason) if isinstance(error, BadRowError) else (None, str(error))
            if len(remaining) == 1:
                yield remaining.pop(), RefusedRow(reason)
            elif named is not None and named < len(remaining):
                yield remaining.pop(named), RefusedRow(reason)
            else:
                break
        else:
            yield from zip(remaining, results, strict=True)
            return
    if not remaining:
        return
    middle = len(remaining) // 2
    left_passes = True
    for row, outcome in isolate_bad_rows(run, remaining[:middle]):
        left_passes = left_passes and not isinstance(outcome, RefusedRow)
        yield row, outcome
    yield from isolate_bad_rows(run, remaining[middle:], known_to_fail=left_passes)
