"""The life of a server: load, listen, answer, follow new versions, stop without losing a request."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from serving.errors import LabelNotAvailableError, ModelsNotAvailableError, ServableError
from serving.servable.versions import find_version
from serving.server.configuration.files import ModelConfig, VersionPolicy, read_model_configs
from serving.server.configuration.options import Addresses, ServerOptions
from serving.server.protocols.ports import address_of, port_error, require_free_ports

if TYPE_CHECKING:
    from aiohttp import web

    from serving.server.models.engine import Engine
    from serving.server.models.registry import Registry

_LOGGER = logging.getLogger(__name__)


async def serve(options: ServerOptions, ready: Callable[[Addresses], None], stop: asyncio.Event | None = None) -> None:
    """Loads what is to be served and serves it, and what comes after it, until told to stop.

    Args:
        options: what to serve and where.
        ready: called once, when both ports answer.
        stop: set it to stop; without it the server runs until the coroutine is cancelled.

    Raises:
        ServableError: if there is no servable, or it does not keep the contract.
        ServerStartError: if a port cannot be had, or TLS has no certificate to show.
        ValueError: if the models' file is damaged.
        OSError: if requests are to be logged where nothing can be written.
    """
    configs = _wanted(options)
    require_free_ports(options)

    # TensorFlow takes seconds to import; what can be refused without it was refused above.
    from serving.server.models.batching import BatchScheduler
    from serving.server.models.engine import Engine
    from serving.server.models.loading import LoadedServable
    from serving.server.models.registry import Registry
    from serving.server.models.watcher import Watcher
    from serving.server.protocols import grpc_server
    from serving.server.protocols.draining import Draining
    from serving.server.protocols.health import create_health
    from serving.server.protocols.rest import create_app
    from serving.server.telemetry.logged_answers import log_answers
    from serving.server.telemetry.metrics import ServerMetrics

    metrics, health = ServerMetrics(), create_health()
    logged = log_answers(options.request_log, metrics)
    scheduler = BatchScheduler(options.batching)
    registry = Registry(lambda model, version: LoadedServable(model, version, scheduler, metrics), metrics.available)
    engine = Engine(registry, metrics, options.max_batch_rows, logged)
    server = grpc_server.create_server(engine, health, options)
    page = [_page(engine, configs[0].name)] if options.page else []
    app = create_app(engine, options, page)
    draining = Draining(app)
    runner = _rest_runner(app, options.drain_seconds)
    watcher = Watcher(registry, options.poll_seconds, options.model_config_file)
    try:
        await asyncio.to_thread(_load, registry, configs)
        addresses = Addresses(
            grpc=grpc_server.listen(server, options),
            rest=await _start_rest(runner, options),
            version=max(registry.available(configs[0].name)),
        )
        watcher.start()
        health.set_serving(True)
        for config in configs:
            _LOGGER.info("serving %s from %s", config.name, config.base_path)
        ready(addresses)
        await (stop or asyncio.Event()).wait()
        _LOGGER.info("stopping: no new requests, waiting at most %.0f s for those in flight", options.drain_seconds)
        health.drain()
    finally:
        # The watcher may be loading a version, which takes as long as it takes: not on the loop that answers by REST.
        grpc_stopped = asyncio.to_thread(server.stop(options.drain_seconds).wait)
        drained = draining.drain(runner, options.drain_seconds)
        await asyncio.gather(asyncio.to_thread(watcher.close), grpc_stopped, drained)
        await runner.cleanup()
        await asyncio.to_thread(engine.close)
        await asyncio.to_thread(registry.close, options.drain_seconds)
        await asyncio.to_thread(scheduler.close)
        if logged is not None:
            await asyncio.to_thread(logged.close)
    _LOGGER.info("stopped")


def run_server(options: ServerOptions, ready: Callable[[Addresses], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then answers the requests in flight and returns.

    A second signal ends the process at once. Must be called from the main thread.

    Args:
        options: what to serve and where.
        ready: called once, when both ports answer; by default the addresses are logged.

    Raises:
        ServableError, ServerStartError, ValueError: as `serve`.
    """
    asyncio.run(_serve_until_signal(options, ready or _log_addresses))


def _wanted(options: ServerOptions) -> list[ModelConfig]:
    """Returns the models to serve at the start; refuses directories without any version before anything is loaded."""
    if options.model_config_file is not None:
        return read_model_configs(options.model_config_file)
    if options.model_base_path is None:
        raise ValueError("model_base_path: give it or model_config_file.")
    find_version(options.model_base_path)
    return [ModelConfig(options.model_name, options.model_base_path.resolve(), VersionPolicy(), {})]


def _load(registry: "Registry", configs: Sequence[ModelConfig]) -> None:
    try:
        registry.apply(configs)
    except (ModelsNotAvailableError, LabelNotAvailableError) as error:
        raise ServableError(str(error)) from error


def _page(engine: "Engine", model: str) -> "Callable[[web.Application], None]":
    from serving.server.models.requests import ModelRequest
    from serving.server.protocols.page import add_page, describe_version

    def describe() -> dict[str, Any]:
        served = engine.describe(ModelRequest(model))
        return describe_version(model, served.version, served.path)

    return lambda app: add_page(app, describe)


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

    # A client that went away takes its request out of the queue with it.
    return web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds, handler_cancellation=True)


async def _start_rest(runner: "web.AppRunner", options: ServerOptions) -> str:
    from aiohttp import web

    from serving.server.protocols.tls import ssl_context

    await runner.setup()
    context = None if options.tls is None else ssl_context(options.tls)
    try:
        await web.TCPSite(runner, options.host, options.rest_port, ssl_context=context).start()
    except OSError as error:
        raise port_error(options.host, "rest_port", options.rest_port, error) from error
    scheme = "http" if context is None else "https"
    return f"{scheme}://{address_of(options.host, runner.addresses[0][1])}"


def _log_addresses(addresses: Addresses) -> None:
    _LOGGER.info("ready: gRPC %s, REST %s", addresses.grpc, addresses.rest)
