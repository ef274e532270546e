"""TF Serving's gRPC API: PredictionService (Predict, GetModelMetadata) and ModelService (GetModelStatus)."""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import contract
from serving.errors import InternalError, InvalidArgumentError, ServingError
from serving.model import string_array
from serving.server.access_log import AccessLog
from serving.server.engine import Engine
from serving.server.requests import ModelRequest
from serving.signatures import Signature, TensorSpec

_LOGGER = logging.getLogger(__name__)

_SIGNATURE_DEF = "signature_def"
_Response = TypeVar("_Response")


def create_server(engine: Engine, max_request_bytes: int) -> grpc.aio.Server:
    """Builds the gRPC server, without a port yet.

    Args:
        engine: what answers.
        max_request_bytes: largest message that is read; gRPC answers more with RESOURCE_EXHAUSTED.
    """
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # Without this, a second server on the same port would start and silently take half of the requests.
            ("grpc.so_reuseport", 0),
        )
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(engine), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(engine), server)
    return server


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the other methods answer UNIMPLEMENTED."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Predict(  # noqa: N802 - the protocol's name
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs one signature on one batch."""
        return await _answer(context, "Predict", lambda: self._predict(request))

    async def GetModelMetadata(  # noqa: N802 - the protocol's name
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.aio.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of a servable."""
        return await _answer(context, "GetModelMetadata", lambda: self._metadata(request))

    async def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        model = _model_request(request)
        servable = self._engine.servable(model)
        signature = servable.signature(model.signature)
        inputs = {name: self._array(name, proto, signature) for name, proto in request.inputs.items()}
        outputs = await self._engine.predict(model, inputs, list(request.output_filter))
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(_model_spec(model.name, servable.version.number, signature.name))
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def _array(self, name: str, proto: tensor_pb2.TensorProto, signature: Signature) -> np.ndarray:
        if name not in signature.inputs:
            raise InvalidArgumentError(
                f"input tensor alias not found in signature: {name}. "
                f"Inputs expected to be in the set {{{', '.join(sorted(signature.inputs))}}}."
            )
        return array_from_proto(name, proto, signature.inputs[name], self._engine.check_rows)

    async def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        model = _model_request(request)
        if not request.metadata_field:
            raise InvalidArgumentError("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise InvalidArgumentError(f"Metadata field {field} is not supported; ask for {_SIGNATURE_DEF}")
        servable = self._engine.servable(model)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in servable.signature_defs.items():
            definitions.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.CopyFrom(_model_spec(model.name, servable.version.number))
        response.metadata[_SIGNATURE_DEF].Pack(definitions)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; HandleReloadConfigRequest answers UNIMPLEMENTED."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetModelStatus(  # noqa: N802 - the protocol's name
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.aio.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Reports the state of each version."""
        return await _answer(context, "GetModelStatus", lambda: self._status(request))

    async def _status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._engine.status(_model_request(request)):
            response.model_version_status.add(
                version=status.version,
                state=get_model_status_pb2.ModelVersionStatus.State.Value(status.state),
                status={},  # error_code 0 is OK
            )
        return response


def array_from_proto(
    name: str, proto: tensor_pb2.TensorProto, spec: TensorSpec, check_rows: Callable[[int], None]
) -> np.ndarray:
    """Turns a tensor of the wire into an array, and believes nothing that it says about itself.

    Type and shape are checked before memory is taken: a message of a few bytes may claim a billion rows.

    Args:
        name: the input's name, for messages.
        proto: the tensor.
        spec: what the signature declares.
        check_rows: raises if a number of rows is above the limit.

    Returns:
        an array; strings as an object array of bytes.

    Raises:
        InvalidArgumentError: if it is not what the signature declares.
    """
    if proto.dtype not in types_pb2.DataType.values() or proto.dtype == types_pb2.DT_INVALID:
        raise InvalidArgumentError(f"{name}: must say its dtype, got {proto.dtype}.")
    dtype = tf.dtypes.as_dtype(proto.dtype).name
    if dtype != spec.dtype:
        raise InvalidArgumentError(f"{name}: must be of type {spec.dtype}, got {dtype}.")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0 or not spec.admits(shape):
        raise InvalidArgumentError(f"{name}: must have shape {spec.written()}, got {shape}.")
    check_rows(shape[0] if shape else 0)
    count = math.prod(shape)
    if dtype == "string":
        if len(proto.string_val) != count or proto.tensor_content:
            raise InvalidArgumentError(
                f"{name}: string_val must hold {count} values, as shape {shape} says, got {len(proto.string_val)}."
            )
        return string_array(proto.string_val).reshape(shape)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise InvalidArgumentError(f"{name}: tensor parsing error: {error}") from error


async def _answer(
    context: grpc.aio.ServicerContext, method: str, compute: Callable[[], Awaitable[_Response]]
) -> _Response:
    log = AccessLog("grpc", context.peer(), method)
    try:
        response = await compute()
    except ServingError as error:
        failure = error
    except Exception:
        _LOGGER.exception("request failed: %s", method)
        failure = InternalError("internal error; the server's log has the details")
    else:
        log.finish("OK")
        return response
    log.finish(failure.grpc_code, failure.wire_message)
    await context.abort(grpc.StatusCode[failure.grpc_code], failure.wire_message)
    raise failure  # abort has raised already


def _model_request(request: Any) -> ModelRequest:
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return ModelRequest(spec.name, version, spec.version_label, spec.signature_name or contract.SIGNATURE_DEFAULT)


def _model_spec(name: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return spec
