"""What clients of a server share that are used from asyncio: the semantics of `WireClient`, with tasks for threads."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from serving import contract
from serving.client import batching
from serving.client.answers import Answer, PredictionError
from serving.client.options import ClientOptions
from serving.client.retries import Contact, Deadline, Retries, repeat_async
from serving.client.versions import AVAILABLE, VersionState, is_not_ready

_P = ParamSpec("_P")
_Result = TypeVar("_Result")

# Messages from this size on are written and read in a thread, so that the event loop goes on.
_LARGE_BYTES = 64 * 1024


class AsyncWireClient(ABC):
    """Asks a server from one event loop. Use it in an `async with` block, or close it.

    Args:
        where: address of the server, for messages.
        options: how it is asked.
    """

    def __init__(self, where: str, options: ClientOptions) -> None:
        self.options = options
        self._where = where
        self._contact = Contact()
        self._slots = asyncio.Semaphore(options.concurrency)
        self._closed = False

    async def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Asks for any number of images; see `WireClient.predict`. Cancelling it cancels its requests.

        Raises:
            PredictionError, ServerError, ServerUnreachableError, TypeError: as `WireClient.predict`.
        """
        batches = batching.split(images, self.options.batch_size)

        async def ask(batch: batching.Batch, deadline: Deadline) -> list[Answer]:
            try:
                return await self._predict_once(batch.images, signature, deadline)
            except PredictionError as error:
                raise batching.in_callers_rows(error, batch.start) from error

        return batching.joined(await self._call([partial(ask, batch) for batch in batches]))

    async def versions(self) -> list[VersionState]:
        """Asks for the versions of the model and their states; see `WireClient.versions`.

        Raises:
            ServerError, ServerUnreachableError: as there.
        """
        (states,) = await self._call([self._versions_once])
        return states

    async def is_ready(self) -> bool:
        """Says whether the model answers predictions now; see `WireClient.is_ready`.

        Raises:
            ServerError: as there.
        """
        try:
            (states,) = await self._call([self._versions_once], repeated=False)
        except PredictionError as error:
            if is_not_ready(error.code, self.options.label):
                return False
            raise
        return any(state == AVAILABLE for _, state in states)

    async def close(self) -> None:
        """Closes all connections; later calls are refused."""
        self._closed = True
        await self._close_connections()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    async def _predict_once(self, images: Sequence[bytes], signature: str, deadline: Deadline) -> list[Answer]:
        """Sends one request; raises PredictionError."""

    @abstractmethod
    async def _versions_once(self, deadline: Deadline) -> list[VersionState]:
        """Asks for the versions, in the same way."""

    @abstractmethod
    async def _close_connections(self) -> None:
        """Closes whatever is open."""

    async def _call(
        self, requests: Sequence[Callable[[Deadline], Awaitable[_Result]]], repeated: bool = True
    ) -> list[_Result]:
        """Makes the requests of one call; the first failure ends them all."""
        if self._closed:
            raise RuntimeError(f"client of {self._where}: is closed. Open another.")
        deadline = Deadline(self.options.deadline)
        failed = False

        async def work(request: Callable[[Deadline], Awaitable[_Result]]) -> _Result:
            async def attempt() -> _Result:
                if self._closed:
                    raise PredictionError("CANCELLED", f"the client of {self._where} was closed meanwhile.")
                deadline.require(self._where)
                return await request(deadline)

            nonlocal failed
            async with self._slots:
                if failed:  # the slot may be free before the group has cancelled who waits for it
                    raise asyncio.CancelledError
                try:
                    if not repeated:
                        return await attempt()
                    return await repeat_async(attempt, Retries(self.options, deadline, self._contact), asyncio.sleep)
                except BaseException:
                    failed = True
                    raise

        try:
            async with asyncio.timeout(deadline.remaining()), asyncio.TaskGroup() as group:
                tasks = [group.create_task(work(request)) for request in requests]
        except TimeoutError as error:
            raise deadline.exceeded(self._where) from error
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        return [task.result() for task in tasks]


async def off_loop(size: int, function: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> _Result:
    """Calls a function, in a thread if its message is large.

    Args:
        size: bytes of the message that it reads or writes.
        function: what to call; the arguments after it are its own.
    """
    if size < _LARGE_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
