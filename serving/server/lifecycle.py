"""The life of a server: load, listen, answer, stop without losing a request."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from serving.errors import ServerStartError
from serving.server.options import Addresses, ServerOptions
from serving.versions import find_version

if TYPE_CHECKING:
    import grpc.aio
    from aiohttp import web

_LOGGER = logging.getLogger(__name__)


async def serve(options: ServerOptions, ready: Callable[[Addresses], None], stop: asyncio.Event | None = None) -> None:
    """Loads the newest version and serves it until told to stop.

    Args:
        options: what to serve and where.
        ready: called once, when both ports answer.
        stop: set it to stop; without it the server runs until the coroutine is cancelled.

    Raises:
        ServableError: if there is no servable, or it does not keep the contract.
        ServerStartError: if a port cannot be had.
    """
    version = find_version(options.model_base_path)

    # TensorFlow takes seconds to import; what can be refused without it was refused above.
    from serving.model import Servable
    from serving.server.engine import Engine
    from serving.server.grpc_service import create_server
    from serving.server.rest import create_app

    servable = await asyncio.to_thread(Servable, version)
    engine = Engine(options.model_name, servable, options.max_batch_rows, options.threads)
    grpc_server = create_server(engine, options.max_request_bytes)
    runner = _rest_runner(create_app(engine, options.max_request_bytes), options.drain_seconds)
    try:
        addresses = Addresses(
            grpc=await _start_grpc(grpc_server, options),
            rest=f"http://{await _start_rest(runner, options)}",
            version=version.number,
        )
        _LOGGER.info("serving %s version %d from %s", options.model_name, version.number, version.path)
        ready(addresses)
        await (stop or asyncio.Event()).wait()
        _LOGGER.info("stopping: no new requests, waiting at most %.0f s for those in flight", options.drain_seconds)
    finally:
        await asyncio.gather(grpc_server.stop(options.drain_seconds), runner.cleanup())
        await asyncio.to_thread(engine.close)
    _LOGGER.info("stopped")


def run_server(options: ServerOptions, ready: Callable[[Addresses], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then answers the requests in flight and returns.

    A second signal ends the process at once. Must be called from the main thread.

    Args:
        options: what to serve and where.
        ready: called once, when both ports answer; by default the addresses are logged.

    Raises:
        ServableError, ServerStartError: as `serve`.
    """
    asyncio.run(_serve_until_signal(options, ready or _log_addresses))


@contextmanager
def running_server(options: ServerOptions) -> Iterator[Addresses]:
    """Runs a server in a background thread for as long as the `with` block lasts.

    Args:
        options: what to serve and where; ports are best left to chance (0).

    Yields:
        where it answers.

    Raises:
        ServableError, ServerStartError: as `serve`.
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


async def _serve_until_signal(options: ServerOptions, ready: Callable[[Addresses], None]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal() -> None:
        stop.set()
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, on_signal)
    await serve(options, ready, stop)


def _rest_runner(app: "web.Application", drain_seconds: float) -> "web.AppRunner":
    from aiohttp import web

    return web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds)


async def _start_grpc(server: "grpc.aio.Server", options: ServerOptions) -> str:
    try:
        port = server.add_insecure_port(_address(options.host, options.grpc_port))
    except RuntimeError as error:
        raise _port_error(options.host, "grpc_port", options.grpc_port, error) from error
    await server.start()
    return _address(options.host, port)


async def _start_rest(runner: "web.AppRunner", options: ServerOptions) -> str:
    from aiohttp import web

    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.rest_port).start()
    except OSError as error:
        raise _port_error(options.host, "rest_port", options.rest_port, error) from error
    return _address(options.host, runner.addresses[0][1])


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _port_error(host: str, name: str, port: int, error: Exception) -> ServerStartError:
    return ServerStartError(
        f"{name}: cannot listen on {_address(host, port)} ({error}). "
        "Stop what listens there, or choose another port; 0 takes any that is free."
    )


def _log_addresses(addresses: Addresses) -> None:
    _LOGGER.info("ready: gRPC %s, REST %s", addresses.grpc, addresses.rest)
