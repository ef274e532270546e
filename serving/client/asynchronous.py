"""Client for asyncio: the client for threads, with each call on a thread of its own."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from serving import contract
from serving.client.answers import Answer
from serving.client.versions import VersionState
from serving.client.wire_client import WireClient


class AsyncClient:
    """Requests answers without blocking the event loop. Use it in an `async with` block, or close it.

    A call that is cancelled returns at once; its requests end with their deadline, or when the client is closed.

    Args:
        client: Client whose calls are awaited; closed with this one.
    """

    def __init__(self, client: WireClient) -> None:
        self._client = client

    async def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Request answers; arguments, result and errors as of `WireClient.predict`."""
        return await asyncio.to_thread(self._client.predict, images, signature)

    async def versions(self) -> list[VersionState]:
        """Request the states of the model's versions, as `WireClient.versions`."""
        return await asyncio.to_thread(self._client.versions)

    async def is_ready(self) -> bool:
        """Return whether the model answers predictions now, as `WireClient.is_ready`."""
        return await asyncio.to_thread(self._client.is_ready)

    async def close(self) -> None:
        """Cancel requests in flight and close all connections."""
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
