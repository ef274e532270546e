"""The embedded server: TF Serving's gRPC and REST APIs for one model, for laptops, CI and tests.

    python -m serving.server --model-base-path runs/demo/serving/generator_attribution --grpc-port 0 --rest-port 0

writes one line to standard output when it is ready, {"grpc": "127.0.0.1:41231", "rest": "http://127.0.0.1:41233",
"version": 1}, logs to standard error, and ends on SIGTERM or SIGINT after the requests in flight are answered.
Production is TF Serving itself.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving import contract
from serving.errors import ServableError, ServerStartError
from serving.versions import find_version

if TYPE_CHECKING:
    import grpc.aio
    from aiohttp import web

_LOGGER = logging.getLogger(__name__)

_LARGEST_PORT = 65535


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, where, and within which limits.

    Attributes:
        model_base_path: directory that holds `<version>/saved_model.pb`, or one version's directory itself. The newest
            version at the start is served.
        model_name: name that requests ask for.
        host: address to listen on; the default can be reached from this machine only.
        grpc_port: 0 takes any free port.
        rest_port: 0 takes any free port.
        max_batch_rows: most rows in one request.
        max_request_bytes: largest request in bytes.
        drain_seconds: how long a stop waits for requests in flight.
        threads: how many requests are computed at the same time.

    Raises:
        ValueError: if a value cannot be.
    """

    model_base_path: Path
    model_name: str = contract.DEFAULT_MODEL_NAME
    host: str = "127.0.0.1"
    grpc_port: int = contract.DEFAULT_GRPC_PORT
    rest_port: int = contract.DEFAULT_REST_PORT
    max_batch_rows: int = contract.MAX_BATCH_ROWS
    max_request_bytes: int = contract.MAX_REQUEST_BYTES
    drain_seconds: float = 30.0
    threads: int = 4

    def __post_init__(self) -> None:
        """Refuses impossible values before anything is loaded."""
        object.__setattr__(self, "model_base_path", Path(self.model_base_path))
        if not self.model_name or any(character in self.model_name for character in "/:"):
            raise ValueError(f"model_name: must be non-empty and without '/' and ':', got {self.model_name!r}.")
        for name in ("grpc_port", "rest_port"):
            port = getattr(self, name)
            if not 0 <= port <= _LARGEST_PORT:
                raise ValueError(f"{name}: must be 0 (any free port) to {_LARGEST_PORT}, got {port}.")
        if self.grpc_port == self.rest_port != 0:
            raise ValueError(f"rest_port: must differ from grpc_port, got {self.rest_port} for both.")
        for name in ("max_batch_rows", "max_request_bytes", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}.")
        if self.drain_seconds < 0:
            raise ValueError(f"drain_seconds: must be at least 0, got {self.drain_seconds}.")


@dataclass(frozen=True)
class Addresses:
    """Where a running server answers.

    Attributes:
        grpc: "host:port" for a gRPC channel.
        rest: base URL of the REST API, e.g. "http://127.0.0.1:8501".
        version: the version that is served.
    """

    grpc: str
    rest: str
    version: int


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
    from serving.engine import Engine
    from serving.grpc_service import create_server
    from serving.model import Servable
    from serving.rest import create_app

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m serving.server`: returns 0, 1 if it cannot start, 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m serving.server", description="Serve a model by gRPC and REST.")
    parser.add_argument("--model-base-path", type=Path, required=True, help="directory that holds <version>/ servables")
    parser.add_argument("--model-name", default=contract.DEFAULT_MODEL_NAME)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--grpc-port", type=int, default=contract.DEFAULT_GRPC_PORT, help="0 takes any free port")
    parser.add_argument("--rest-port", type=int, default=contract.DEFAULT_REST_PORT, help="0 takes any free port")
    parser.add_argument(
        "--until-end-of-input",
        action="store_true",
        help="stop when standard input ends, so that a server never outlives the process that started it",
    )
    parsed = vars(parser.parse_args(arguments))
    until_end_of_input = parsed.pop("until_end_of_input")
    try:
        options = ServerOptions(**parsed)
    except ValueError as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else TensorFlow's notes on the CPU drown the log
    if until_end_of_input:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        run_server(options, _write_ready_line)
    except (ServableError, ServerStartError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _stop_at_end_of_input() -> None:
    """Waits for the other end of standard input to go, however it goes, and asks for a graceful stop."""
    while sys.stdin.buffer.read(1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


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


def _write_ready_line(addresses: Addresses) -> None:
    line = {"grpc": addresses.grpc, "rest": addresses.rest, "version": addresses.version}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
