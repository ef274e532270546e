"""A client of TF Serving's gRPC API. Importing it imports TensorFlow, because TF Serving's stubs do."""

from collections.abc import Sequence
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.client import grpc_messages
from serving.client.answers import Answer, ServerError
from serving.client.cancellation import Cancellation
from serving.client.options import ClientOptions
from serving.client.retries import Deadline
from serving.client.versions import VersionState
from serving.client.wire_client import WireClient


class GrpcClient(WireClient):
    """Asks a server by gRPC, over one connection for all requests in flight. Thread-safe.

    Args:
        address: "host:port".
        options: how it is asked.

    Raises:
        ValueError: if the address has no port, or is a URL.
    """

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        grpc_messages.check_address(address)
        super().__init__(address, options or ClientOptions())
        arguments = grpc_messages.channel_arguments(address, self.options)
        credentials = grpc_messages.credentials(self.options)
        self._channel = (
            grpc.insecure_channel(address, arguments)
            if credentials is None
            else grpc.secure_channel(address, credentials, arguments)
        )
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def _predict_once(
        self, images: Sequence[bytes], signature: str, deadline: Deadline, call: Cancellation
    ) -> list[Answer]:
        request = grpc_messages.predict_request(images, signature, self.options)
        return grpc_messages.answers(self._send(self._predictions.Predict, request, deadline, call), len(images))

    def _versions_once(self, deadline: Deadline, call: Cancellation) -> list[VersionState]:
        if self.options.label is not None:  # the status is of all versions, whatever the label
            described = grpc_messages.metadata_request(self.options)
            return grpc_messages.described_version(
                self._send(self._predictions.GetModelMetadata, described, deadline, call)
            )
        request = grpc_messages.status_request(self.options)
        return grpc_messages.versions(self._send(self._models.GetModelStatus, request, deadline, call))

    def _close_connections(self) -> None:
        self._channel.close()

    def _send(self, method: grpc.UnaryUnaryMultiCallable, request: Any, deadline: Deadline, call: Cancellation) -> Any:
        try:
            sent = method.future(request, timeout=deadline.require(self._where))
            with call.stopping(sent.cancel):
                return sent.result()
        except grpc.FutureCancelledError as error:
            call.check()
            raise ServerError("CANCELLED", f"{self._where} cancelled the request.") from error
        except grpc.RpcError as error:
            call.check()
            raise grpc_messages.server_error(error.code(), error.details(), self._where, deadline.seconds) from error
        except ValueError:
            call.check()  # the channel refuses every request once it is closed
            raise
