"""What clients of a server share, whichever protocol they speak: splitting, concurrency, repetitions, deadlines."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from serving import contract
from serving.client import batching
from serving.client.answers import Answer, PredictionError
from serving.client.cancellation import CallCancelledError, Cancellation
from serving.client.options import ClientOptions
from serving.client.retries import Contact, Deadline, Retries, repeat
from serving.client.versions import AVAILABLE, VersionState, is_not_ready

_Result = TypeVar("_Result")


class WireClient(ABC):
    """Asks a server. May be shared between threads; use it in a `with` block, or close it.

    Args:
        where: address of the server, for messages.
        options: how it is asked.
    """

    def __init__(self, where: str, options: ClientOptions) -> None:
        self.options = options
        self._where = where
        self._contact = Contact()
        self._lock = threading.Lock()
        self._calls: set[Cancellation] = set()
        self._closed = False
        # Its size is the bound on requests in flight; what does not fit waits in its queue.
        self._workers = ThreadPoolExecutor(options.concurrency, thread_name_prefix="ask")

    @property
    def concurrency(self) -> int:
        """How many requests it keeps in flight."""
        return self.options.concurrency

    def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Asks for any number of images, in requests of at most `options.batch_size`, several at a time.

        Args:
            images: encoded images.
            signature: `serving_default`, or `explain` for heatmaps as well.

        Returns:
            an answer for each image, in their order.

        Raises:
            PredictionError: if an image is refused; `bad_row` is its position in `images`.
            ServerError: if the server refuses or fails, did not answer before the deadline, or its answer is none of
                the contract's. The first failure cancels the other requests.
            ServerUnreachableError: if no server answers.
            TypeError: if images is no sequence of bytes.
        """
        batches = batching.split(images, self.options.batch_size)

        def ask(batch: batching.Batch, deadline: Deadline, call: Cancellation) -> list[Answer]:
            try:
                return self._predict_once(batch.images, signature, deadline, call)
            except PredictionError as error:
                raise batching.in_callers_rows(error, batch.start) from error

        return batching.joined(self._call([partial(ask, batch) for batch in batches]))

    def versions(self) -> list[VersionState]:
        """Asks for the versions of the model and their states; only of the version or label in the options, if any.

        Raises:
            ServerError: NOT_FOUND if the server knows no such model or version, INVALID_ARGUMENT if no such label;
                else as `predict`.
            ServerUnreachableError: if no server answers.
        """
        (states,) = self._call([self._versions_once])
        return states

    def is_ready(self) -> bool:
        """Says whether the model, in the version asked for, answers predictions now. Asks once, without repetition.

        Raises:
            ServerError: if the server refuses the question itself.
        """
        try:
            (states,) = self._call([self._versions_once], repeated=False)
        except PredictionError as error:
            if is_not_ready(error.code, self.options.label):
                return False
            raise
        return any(state == AVAILABLE for _, state in states)

    def close(self) -> None:
        """Cancels what is in flight, and closes all connections. Calls end with CANCELLED; later ones are refused."""
        with self._lock:
            self._closed = True
            calls = list(self._calls)
        for call in calls:
            call.cancel()
        # What still waits for its turn finds itself cancelled; futures that the pool cancels would wake up nobody.
        self._workers.shutdown(wait=False)
        self._close_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _predict_once(
        self, images: Sequence[bytes], signature: str, deadline: Deadline, call: Cancellation
    ) -> list[Answer]:
        """Sends one request; raises PredictionError, or CallCancelledError once the call is cancelled."""

    @abstractmethod
    def _versions_once(self, deadline: Deadline, call: Cancellation) -> list[VersionState]:
        """Asks for the versions, in the same way."""

    @abstractmethod
    def _close_connections(self) -> None:
        """Closes whatever is open."""

    def _call(
        self, requests: Sequence[Callable[[Deadline, Cancellation], _Result]], repeated: bool = True
    ) -> list[_Result]:
        """Makes the requests of one call; the first failure ends them all."""
        deadline, call = Deadline(self.options.deadline), Cancellation()

        def work(request: Callable[[Deadline, Cancellation], _Result]) -> _Result:
            def attempt() -> _Result:
                call.check()
                deadline.require(self._where)
                return request(deadline, call)

            try:
                if not repeated:
                    return attempt()
                return repeat(attempt, Retries(self.options, deadline, self._contact), call.sleep)
            except BaseException as error:
                call.cancel(error)  # here, before this worker takes the next request from the queue
                raise

        with self._lock:
            if self._closed:
                raise RuntimeError(f"client of {self._where}: is closed. Open another.")
            self._calls.add(call)
            futures = [self._workers.submit(work, request) for request in requests]
        try:
            return self._results(futures, deadline, call)
        finally:
            call.cancel()
            for future in futures:
                future.cancel()
            with self._lock:
                self._calls.discard(call)

    def _results(self, futures: Sequence[Future[_Result]], deadline: Deadline, call: Cancellation) -> list[_Result]:
        # The requests keep the deadline themselves; those that still wait for their turn cannot.
        done, waiting = wait(futures, max(deadline.remaining(), 0.0), FIRST_EXCEPTION)
        try:
            for future in futures:
                if future in done:
                    future.result()
        except CallCancelledError as error:
            if call.reason is not None and not isinstance(call.reason, CallCancelledError):
                raise call.reason from call.reason.__cause__
            raise PredictionError("CANCELLED", f"the client of {self._where} was closed meanwhile.") from error
        if waiting:
            raise deadline.exceeded(self._where)
        return [future.result() for future in futures]
