"""Dynamic batching: requests that wait at the same time are computed together.

A network runs a batch of 32 in much less than 32 times the time of one image. Requests therefore wait in a queue, one
for each signature of each loaded version; whenever a batch thread is free it takes what has gathered there, up to a
number of rows. With a time-out of 0 nothing ever waits for company: an idle server computes a single request at once,
and under load batches grow by themselves while the previous one is computed. The queue is bounded: what does not fit
is refused at once, instead of being answered after its client has given up.

What one request does wrong is that request's own failure: it is taken out of the batch, and the others are computed
again without it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from serving.errors import BadRowError, InternalError, QueueFullError, ServingError, UnavailableError
from serving.server.configuration.parameters import BatchingParameters

_LOGGER = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]
_Result = TypeVar("_Result")

_SECONDS = 1e-6  # in a microsecond, the unit of TF Serving's batching parameters


@dataclass(frozen=True, eq=False)
class _Task(Generic[_Result]):
    """One request that waits: its inputs, and what its answer is made of."""

    inputs: Arrays
    rows: int
    finish: Callable[[dict[str, np.ndarray]], _Result]
    future: "Future[_Result]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


# Called after each batch with its rows, and the seconds that each of its requests had waited.
BatchObserver = Callable[[int, Sequence[float]], None]


class BatchScheduler:
    """The batch threads, shared by all queues: the queue whose oldest request has waited longest comes first.

    Args:
        parameters: size, time-out and number of threads.
    """

    def __init__(self, parameters: BatchingParameters) -> None:
        self._parameters = parameters
        self._changed = threading.Condition()
        self._queues: list[BatchQueue] = []
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def queue(self, run: Callable[[Arrays], dict[str, np.ndarray]], observe: BatchObserver) -> "BatchQueue":
        """Opens a queue.

        Args:
            run: computes one batch; arrays in and out have the batch as their first axis. Raises ServingError;
                BadRowError where it knows which row is at fault.
            observe: called after each batch.
        """
        opened = BatchQueue(self._parameters, self._changed, run, observe)
        with self._changed:
            self._queues.append(opened)
        return opened

    def remove(self, queue: "BatchQueue") -> None:
        """Closes a queue. What still waits in it is computed first, by the batch threads."""
        with self._changed:
            queue.close()
            self._changed.notify_all()

    def close(self) -> None:
        """Computes what still waits, and ends the threads."""
        with self._changed:
            self._closed = True
            for queue in self._queues:
                queue.close()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (work := self._next()) is not None:
            queue, tasks = work
            try:
                queue.compute(tasks)
            except Exception:  # every request has its answer by now, and a thread that died would answer no more
                _LOGGER.exception("after a batch of %d requests", len(tasks))
            del work, queue, tasks  # else the images of this batch would stay in memory until the next one comes

    def _next(self) -> "tuple[BatchQueue, list[_Task[Any]]] | None":
        """Waits for a batch; None when all is done and the scheduler is closed."""
        with self._changed:
            while True:
                self._queues = [queue for queue in self._queues if not queue.is_over]
                waiting = min((queue for queue in self._queues if queue), key=lambda queue: queue.due, default=None)
                if waiting is None:
                    if self._closed:
                        return None
                    self._changed.wait()
                    continue
                seconds = waiting.due - time.monotonic()
                if seconds <= 0:
                    return waiting, waiting.take()
                self._changed.wait(seconds)


class BatchQueue:
    """Requests for one signature of one version. Made by `BatchScheduler.queue`."""

    def __init__(
        self,
        parameters: BatchingParameters,
        changed: threading.Condition,
        run: Callable[[Arrays], dict[str, np.ndarray]],
        observe: BatchObserver,
    ) -> None:
        self._parameters = parameters
        self._changed = changed
        self._run = run
        self._observe = observe
        self._tasks: deque[_Task[Any]] = deque()
        self._rows = 0
        self._capacity = parameters.max_enqueued_batches * parameters.max_batch_size
        self._closed = False

    def submit(
        self, inputs: Arrays, rows: int, finish: Callable[[dict[str, np.ndarray]], _Result]
    ) -> "Future[_Result]":
        """Puts a request into the queue.

        Args:
            inputs: an array for each input, the batch first.
            rows: how many rows they hold; more than a batch are computed as a batch of their own.
            finish: makes the answer of the request's own rows; runs in a batch thread.

        Returns:
            the answer to come. Cancelling it takes the request out, as long as it is not being computed.

        Raises:
            QueueFullError: if it does not fit.
            UnavailableError: if the queue is closed.
        """
        task = _Task(inputs, rows, finish)
        with self._changed:
            if self._closed:
                raise UnavailableError("this version takes no more requests: the server is stopping. Ask again.")
            # A request that is larger than the whole queue is let in when nothing else waits.
            if self._tasks and self._rows + rows > self._capacity:
                raise QueueFullError(
                    f"the queue holds {self._rows} of {self._capacity} rows, and {rows} more do not fit. "
                    "Ask again in a moment, or with fewer requests at a time."
                )
            self._tasks.append(task)
            self._rows += rows
            self._changed.notify()
        return task.future

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def is_over(self) -> bool:
        """Whether it is closed and empty."""
        return self._closed and not self._tasks

    @property
    def due(self) -> float:
        """When the next batch may start, on the monotonic clock; there must be one."""
        full = self._rows >= self._parameters.max_batch_size
        wait = 0.0 if full or self._closed else self._parameters.batch_timeout_micros * _SECONDS
        return self._tasks[0].arrived + wait

    def take(self) -> list[_Task[Any]]:
        """Removes the requests of one batch; called with the scheduler's lock held."""
        taken: list[_Task[Any]] = []
        rows = 0
        while self._tasks and (not taken or rows + self._tasks[0].rows <= self._parameters.max_batch_size):
            task = self._tasks.popleft()
            self._rows -= task.rows
            if task.future.set_running_or_notify_cancel():  # else its client is gone
                taken.append(task)
                rows += task.rows
        return taken

    def close(self) -> None:
        """Takes no more; called with the scheduler's lock held."""
        self._closed = True

    def compute(self, tasks: list[_Task[Any]]) -> None:
        """Answers the requests of one batch, whatever happens."""
        if not tasks:
            return
        started = time.monotonic()
        self._answer(tasks)
        self._observe(sum(task.rows for task in tasks), [started - task.arrived for task in tasks])

    def _answer(self, tasks: list[_Task[Any]]) -> None:
        while tasks:
            try:
                outputs = self._run(_merged(tasks))
                _check_rows(outputs, sum(task.rows for task in tasks))
            except BadRowError as error:
                position, row = _owner(tasks, error.row)
                tasks[position].future.set_exception(BadRowError(error.input_name, row, error.reason))
                tasks = [*tasks[:position], *tasks[position + 1 :]]
            except Exception as error:
                if len(tasks) == 1:
                    _fail(tasks[0], error)
                else:  # whose fault it is cannot be told: each gets the answer that it gets alone
                    for task in tasks:
                        self._answer([task])
                return
            else:
                _hand_out(tasks, outputs)
                return


def _fail(task: _Task[Any], error: Exception) -> None:
    """Fails a request; what is no failure of serving is logged here, where it is known how it came about.

    An error holds the frames that it came through, these hold the request, the request its future, and that the error:
    a circle that would keep megabytes of images in memory until the garbage collector happens to look. So the frames
    go.
    """
    if not isinstance(error, ServingError):
        _LOGGER.error("a batch failed", exc_info=error)
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    task.future.set_exception(error)


def _merged(tasks: Sequence[_Task[Any]]) -> Arrays:
    if len(tasks) == 1:
        return tasks[0].inputs
    return {name: np.concatenate([task.inputs[name] for task in tasks]) for name in tasks[0].inputs}


def _check_rows(outputs: Arrays, rows: int) -> None:
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise InternalError(f"output {name} has shape {list(array.shape)} for a batch of {rows} rows.")


def _owner(tasks: Sequence[_Task[Any]], row: int) -> tuple[int, int]:
    """Returns the position of the request that a row of the batch belongs to, and the row's number within it."""
    for position, task in enumerate(tasks[:-1]):
        if row < task.rows:
            return position, row
        row -= task.rows
    return len(tasks) - 1, row


def _hand_out(tasks: Sequence[_Task[Any]], outputs: dict[str, np.ndarray]) -> None:
    start = 0
    for task in tasks:
        own = (
            outputs if len(tasks) == 1 else {name: array[start : start + task.rows] for name, array in outputs.items()}
        )
        start += task.rows
        try:
            result = task.finish(own)
        except ServingError as error:
            _fail(task, error)
        except Exception as error:
            _LOGGER.exception("an answer could not be made")
            _fail(task, InternalError(f"the answer could not be made: {error}"))
        else:
            task.future.set_result(result)
