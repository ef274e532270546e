"""A client of TF Serving's gRPC API. Importing it imports TensorFlow, because TF Serving's stubs do."""

from collections.abc import Sequence
from types import TracebackType

import grpc
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving import contract
from serving.client.answers import Answer, ServerError, ServerUnreachableError, answers_from_outputs


class GrpcClient:
    """Asks a server by gRPC. May be shared between threads.

    Args:
        address: "host:port".
        model_name: the model to ask.
        timeout: seconds that one request may take.

    Raises:
        ValueError: if the address has no port, or is a URL.
    """

    def __init__(self, address: str, model_name: str = contract.DEFAULT_MODEL_NAME, timeout: float = 60.0) -> None:
        if "//" in address or not address.rpartition(":")[2].isdecimal():
            raise ValueError(
                f"address: must be HOST:PORT, e.g. 127.0.0.1:{contract.DEFAULT_GRPC_PORT}, got {address!r}."
            )
        # Heatmaps of a batch exceed the 4 MB that gRPC would receive; the server's limit is what guards requests.
        options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        self._channel = grpc.insecure_channel(address, options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._address = address
        self._model_name = model_name
        self._timeout = timeout

    def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Asks for a batch; see `Predictor.predict`.

        Raises:
            ServerError: if the server refuses or fails, or its answer is none of the contract's.
            ServerUnreachableError: if no server answers.
        """
        if not images:
            return []
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=images)
        tensor.tensor_shape.dim.add(size=len(images))
        request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(tensor)
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._error(error) from error
        outputs = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        return answers_from_outputs(outputs, len(images))

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> "GrpcClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _error(self, error: grpc.RpcError) -> ServerError:
        code, details = error.code().name, error.details() or ""
        if code == "UNAVAILABLE":
            port = self._address.rpartition(":")[2]
            return ServerUnreachableError(
                code,
                f"no gRPC server answers at {self._address} ({details}). Start one with "
                f"`genattr serve MODEL_BASE_DIR --grpc-port {port}`, or correct the address.",
            )
        if code == "DEADLINE_EXCEEDED":
            return ServerError(code, f"{self._address} did not answer within {self._timeout:g} s.")
        return ServerError(code, details)
