"""Results computed ahead of their use, on threads: TensorFlow computes outside of Python's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def prefetch(function: Callable[[Argument], Result], arguments: Iterable[Argument], depth: int = 2) -> Iterator[Result]:
    """Yield function(argument) for each argument, in their order, while the next ones are computed.

    A tf.data pipeline does the same, but takes half a second to start, which every epoch would pay for each split.

    Args:
        function: Function to call on threads, with several arguments at once.
        arguments: Arguments, read on the caller's thread, up to `depth` ahead.
        depth: Number of results that are computed ahead.

    Raises:
        Exception: the error of `function`, in place of its result.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(depth, thread_name_prefix="prefetch") as pool:
        try:
            for argument in arguments:
                pending.append(pool.submit(function, argument))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # A caller that stops early does not wait for results that nobody reads.
            for future in pending:
                future.cancel()
