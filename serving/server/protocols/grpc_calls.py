"""What every gRPC method has in common: which model is asked, and how a failure is answered."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import Message
from tensorflow_serving.apis import model_pb2

from serving import contract
from serving.errors import InternalError, InvalidArgumentError, ServingError
from serving.server.models.requests import ModelRequest
from serving.server.protocols.request_record import RequestRecord
from serving.server.telemetry.metrics import ServerMetrics

_LOGGER = logging.getLogger(__name__)

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response")

# TF Serving counts these methods and no others.
_COUNTED = frozenset({"Predict", "Classify", "Regress", "MultiInference"})


@dataclass(frozen=True)
class Call:
    """One call of a gRPC method.

    Attributes:
        context: gRPC's side of it.
        record: what is logged and counted; the method fills in what it learns.
    """

    context: grpc.ServicerContext
    record: RequestRecord


def answer(
    context: grpc.ServicerContext,
    metrics: ServerMetrics,
    method: str,
    compute: Callable[[_Request, Call], _Response],
    request: _Request,
) -> _Response:
    """Answers one call: with what `compute` returns, or with the status of what it raises.

    Args:
        context: the call's.
        metrics: where it is counted.
        method: its name.
        compute: makes the response; raises ServingError where the request is refused.
        request: what it is called with.
    """
    record = RequestRecord(metrics, "GRPC", method if method in _COUNTED else "", context.peer(), method)
    record.request_bytes = request.ByteSize()
    with metrics.in_flight:
        try:
            response = compute(request, Call(context, record))
        except ServingError as error:
            _refuse(context, record, error)
        except Exception:
            _LOGGER.exception("request failed: %s", method)
            _refuse(context, record, InternalError("internal error; the server's log has the details"))
    record.finish("OK")
    return response


def model_request(request: Any) -> ModelRequest:
    """Returns which model a request with a `model_spec` asks for; the default signature is filled in.

    Raises:
        InvalidArgumentError: if it does not say.
    """
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    return model_of(request.model_spec)


def model_of(spec: model_pb2.ModelSpec) -> ModelRequest:
    """Returns which model a ModelSpec names; the default signature is filled in.

    Raises:
        InvalidArgumentError: if it has no name.
    """
    if not spec.name:
        raise InvalidArgumentError("ModelSpec has no name specified.")
    version = spec.version.value if spec.HasField("version") else None
    return ModelRequest(spec.name, version, spec.version_label, spec.signature_name or contract.SIGNATURE_DEFAULT)


def _refuse(context: grpc.ServicerContext, record: RequestRecord, error: ServingError) -> NoReturn:
    record.finish(error.grpc_code, error)
    context.abort(grpc.StatusCode[error.grpc_code], error.wire_message)
    raise error  # abort has raised already
