"""An embedded server in the test's own process."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from serving.server.configuration.options import Addresses, ServerOptions
from serving.server.lifecycle import serve


@contextmanager
def running_server(options: ServerOptions) -> Iterator[Addresses]:
    """Run a server in a background thread for as long as the `with` block lasts.

    Args:
        options: Models and limits; port 0 takes any free port.

    Yields:
        The addresses at which the server answers.

    Raises:
        ServableError, ServerStartError, ValueError: As `serve`.
    """
    started: Future[tuple[Addresses, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        await serve(options, lambda addresses: started.set_result((addresses, loop, stop)), stop)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="embedded-server", daemon=True)
    thread.start()
    addresses, loop, stop = started.result()
    try:
        yield addresses
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
