"""Ending the REST side without cutting off a request that is still arriving.

Left to itself, aiohttp stops reading from every connection the moment it is told to stop, so that a request whose body
is on its way would never be whole. Here the requests in flight are counted and waited for first.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Draining:
    """Counts the requests in flight of one application, and waits for them.

    Args:
        app: the application, before it is started.
    """

    def __init__(self, app: web.Application) -> None:
        self._requests = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

        @web.middleware
        async def count(request: web.Request, handler: _Handler) -> web.StreamResponse:
            return await self._count(request, handler)

        app.middlewares.append(count)

    async def drain(self, runner: web.AppRunner, seconds: float) -> None:
        """Takes no more connections, and returns when the requests in flight are answered or the time is over.

        Args:
            runner: what runs the application.
            seconds: how long to wait at most.
        """
        self._draining = True
        for site in list(runner.sites):
            await site.stop()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return

    async def _count(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self._requests += 1
        self._idle.clear()
        try:
            response = await handler(request)
            if self._draining:
                response.force_close()  # a connection that is kept open would bring more
            return response
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()
