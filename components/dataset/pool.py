"""Runs one function over many tasks, in order, in several processes, with bounded memory."""

import contextlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

Progress = Callable[[int, int, str], None]  # done, total, what is being done

_FEWEST_FOR_A_POOL = 2000  # with fewer files, starting processes takes longer than it saves (about 1.5 ms per file)
_AHEAD = 3  # tasks in flight a worker: enough to keep it busy, few enough to bound what waits in memory


def useful_workers(files: int, workers: int) -> int:
    """Return how many of the allowed worker processes are worth starting for a number of files."""
    return workers if files >= _FEWEST_FOR_A_POOL else 1


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Provide worker processes for several calls of `ordered_map`; None if one process is enough."""
    if workers <= 1:
        yield None
        return
    # "spawn": the caller may hold threads (progress bars, TensorFlow, gRPC), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _one_thread_a_process) as executor:
        yield executor


def ordered_map(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    executor: ProcessPoolExecutor | None = None,
) -> Iterator[Result]:
    """Yields function(task) for each task, in the order of the tasks whatever the number of workers.

    Args:
        function: a function of a module (worker processes import it), or a functools.partial of one.
        tasks: the arguments.
        workers: processes; with 1, or a single task, everything runs in this process.
        executor: worker processes of `worker_pool` that exist already; None starts some for these tasks.

    Raises:
        concurrent.futures.process.BrokenProcessPool: if a worker process was killed, e.g. for lack of memory.
        Exception: whatever the function raises.
    """
    if workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
    elif executor is None:
        with worker_pool(min(workers, len(tasks))) as started:
            yield from ordered_map(function, tasks, workers, started)
    else:
        yield from _submitted(function, tasks, workers, executor)


def _submitted(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, executor: ProcessPoolExecutor
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
            waiting.append(executor.submit(function, task))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _one_thread_a_process() -> None:
    """Keeps numpy's linear algebra to one thread a worker process; else the workers take the cores from one another.

    Runs before a task brings numpy in, which is when the variable is read; so this module must not import numpy.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"


def chunks(items: Iterable[Task], length: int) -> list[tuple[Task, ...]]:
    """Cuts items into tuples of the given length; the last may be shorter.

    Example:
        >>> chunks("abcde", 2)
        [('a', 'b'), ('c', 'd'), ('e',)]
    """
    everything = tuple(items)
    return [everything[start : start + length] for start in range(0, len(everything), length)]
