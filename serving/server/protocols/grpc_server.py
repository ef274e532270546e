"""The gRPC side of the server: its services, its limits, its port."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.server.configuration.options import ServerOptions
from serving.server.models.engine import Engine
from serving.server.protocols.grpc_service import PredictionService
from serving.server.protocols.health import Health, enable_reflection
from serving.server.protocols.model_service import ModelService
from serving.server.protocols.ports import address_of, port_error
from serving.server.protocols.tls import grpc_credentials
from serving.server.protocols.unreadable import RefuseUnreadable


def create_server(engine: Engine, health: Health, options: ServerOptions) -> grpc.Server:
    """Builds the server, without a port yet.

    Threads, not coroutines: a handler does little but wait for its batch, and gRPC's synchronous server spends about
    60 % of the time on a request that its asyncio server does.

    Args:
        engine: what answers.
        health: what grpc.health.v1 says.
        options: limits.
    """
    server = grpc.server(
        ThreadPoolExecutor(options.max_concurrent_requests, thread_name_prefix="grpc"),
        options=(
            ("grpc.max_receive_message_length", options.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # Without this, a second server on the same port would start and silently take half of the requests.
            ("grpc.so_reuseport", 0),
        ),
        interceptors=(RefuseUnreadable(),),
        # Without it, requests beyond the threads would wait where no limit holds; so they get RESOURCE_EXHAUSTED.
        maximum_concurrent_rpcs=options.max_concurrent_requests,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(engine), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(engine), server)
    health.add_to(server)
    enable_reflection(server)
    return server


def listen(server: grpc.Server, options: ServerOptions) -> str:
    """Takes the port and starts to answer.

    Returns:
        "host:port".

    Raises:
        ServerStartError: if the port cannot be had, or TLS has no certificate to show.
    """
    wanted = address_of(options.host, options.grpc_port)
    try:
        if options.tls is None:
            port = server.add_insecure_port(wanted)
        else:
            port = server.add_secure_port(wanted, grpc_credentials(options.tls))
    except RuntimeError as error:
        raise port_error(options.host, "grpc_port", options.grpc_port, error) from error
    server.start()
    return address_of(options.host, port)
