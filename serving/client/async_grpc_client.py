"""A client of TF Serving's gRPC API for asyncio. Importing it imports TensorFlow, because TF Serving's stubs do."""

from collections.abc import Sequence
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.client import grpc_messages
from serving.client.answers import Answer
from serving.client.async_wire_client import AsyncWireClient, off_loop
from serving.client.options import ClientOptions
from serving.client.retries import Deadline
from serving.client.versions import VersionState


class AsyncGrpcClient(AsyncWireClient):
    """Asks a server by gRPC, over one connection for all requests in flight.

    Args:
        address: "host:port".
        options: how it is asked.

    Raises:
        ValueError: if the address has no port, or is a URL.
    """

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        grpc_messages.check_address(address)
        super().__init__(address, options or ClientOptions())
        self._credentials = grpc_messages.credentials(self.options)
        self._opened: grpc.aio.Channel | None = None

    async def _predict_once(self, images: Sequence[bytes], signature: str, deadline: Deadline) -> list[Answer]:
        size = sum(map(len, images))
        request = await off_loop(size, grpc_messages.predict_request, images, signature, self.options)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel())
        response = await self._send(stub.Predict, request, deadline)
        return await off_loop(response.ByteSize(), grpc_messages.answers, response, len(images))

    async def _versions_once(self, deadline: Deadline) -> list[VersionState]:
        if self.options.label is not None:  # the status is of all versions, whatever the label
            predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel())
            described = grpc_messages.metadata_request(self.options)
            return grpc_messages.described_version(await self._send(predictions.GetModelMetadata, described, deadline))
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel())
        request = grpc_messages.status_request(self.options)
        return grpc_messages.versions(await self._send(stub.GetModelStatus, request, deadline))

    async def _close_connections(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _send(self, method: Any, request: Any, deadline: Deadline) -> Any:
        try:
            return await method(request, timeout=deadline.require(self._where))
        except grpc.aio.AioRpcError as error:
            raise grpc_messages.server_error(error.code(), error.details(), self._where, deadline.seconds) from error

    def _channel(self) -> grpc.aio.Channel:
        # Opened at the first request: a channel belongs to the event loop that runs then.
        if self._opened is None:
            arguments = grpc_messages.channel_arguments(self._where, self.options)
            self._opened = (
                grpc.aio.insecure_channel(self._where, arguments)
                if self._credentials is None
                else grpc.aio.secure_channel(self._where, self._credentials, arguments)
            )
        return self._opened
