"""Computing ahead of what is asked for, on threads: TensorFlow computes outside of Python's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def computed_ahead(
    function: Callable[[Argument], Result], arguments: Iterable[Argument], depth: int = 2
) -> Iterator[Result]:
    """Yields function(argument) for each argument, in their order, while the next ones are computed.

    A tf.data pipeline does as much, but takes half a second to start, which every epoch would pay for each split.

    Args:
        function: called on threads, of several arguments at once.
        arguments: taken on the caller's thread, up to `depth` ahead.
        depth: how many results are computed ahead.

    Raises:
        Exception: what `function` raised, where its result would have come.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(depth, thread_name_prefix="ahead") as pool:
        try:
            for argument in arguments:
                pending.append(pool.submit(function, argument))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # Who stops asking does not wait for what nobody wants.
            for future in pending:
                future.cancel()
