"""TF Serving's PredictionService by gRPC: Predict, GetModelMetadata, and what asks for the other kinds of signature.

The handlers run in threads of the synchronous server, and wait there for their answer.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError
from typing import NoReturn

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.errors import DeadlineExceededError, InvalidArgumentError
from serving.servable.signatures import Signature
from serving.servable.tensors import array_from_proto, write_tensor
from serving.server.models.engine import Engine
from serving.server.protocols.example_methods import CLASSIFY, REGRESS, refuse_multi_inference, refuse_signature
from serving.server.protocols.grpc_calls import Call, answer, model_of, model_request

_SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers as TF Serving does for a servable whose signatures are all of the predict kind."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._metrics = engine.metrics

    def Predict(  # noqa: N802 - the protocol's name
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs one signature on one batch."""
        return answer(context, self._metrics, "Predict", self._predict, request)

    def GetModelMetadata(  # noqa: N802 - the protocol's name
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of a servable."""
        return answer(context, self._metrics, "GetModelMetadata", self._metadata, request)

    def Classify(  # noqa: N802 - the protocol's name
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Says that the signature is none of the classify kind."""
        return answer(context, self._metrics, "Classify", self._classify, request)

    def Regress(  # noqa: N802 - the protocol's name
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """Says that the signature is none of the regress kind."""
        return answer(context, self._metrics, "Regress", self._regress, request)

    def MultiInference(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Says which of its tasks asks for a signature of another kind."""
        return answer(context, self._metrics, "MultiInference", self._multi_inference, request)

    def _predict(self, request: predict_pb2.PredictRequest, call: Call) -> predict_pb2.PredictResponse:
        model = call.record.model = model_request(request)
        signature = self._engine.signature(model)
        _check_names(signature, request)
        inputs = {
            name: array_from_proto(name, proto, signature.inputs[name], self._engine.check_rows)
            for name, proto in request.inputs.items()
        }
        call.record.rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        future = self._engine.submit(model, inputs, tuple(request.output_filter))
        if not call.context.add_callback(future.cancel):
            future.cancel()  # the client has gone already
        try:
            answered = future.result(min(call.context.time_remaining(), threading.TIMEOUT_MAX))
        except CancelledError:  # by the callback above: nobody reads this any more, but the log
            raise DeadlineExceededError("Deadline Exceeded: the client did not wait for the answer.") from None
        except TimeoutError:
            if not future.cancel() and future.done():
                raise  # not the deadline: the computation itself raised it
            raise DeadlineExceededError("Deadline Exceeded: the answer was not ready in time.") from None
        finally:
            del future  # or an error, its traceback and this frame would hold each other, and the request with them
        call.record.version = answered.version
        response = predict_pb2.PredictResponse()
        spec = response.model_spec
        spec.name, spec.signature_name, spec.version.value = model.name, answered.signature, answered.version
        for name, array in answered.outputs.items():
            write_tensor(array, response.outputs[name])
        return response

    def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, call: Call
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if not request.HasField("model_spec"):
            raise InvalidArgumentError("Missing ModelSpec")
        if not request.metadata_field:
            raise InvalidArgumentError("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise InvalidArgumentError(f"Metadata field {field} is not supported; ask for {_SIGNATURE_DEF}")
        model = call.record.model = model_of(request.model_spec)
        description = self._engine.describe(model)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in description.signature_defs.items():
            definitions.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = model.name, description.version
        response.metadata[_SIGNATURE_DEF].Pack(definitions)
        return response

    def _classify(self, request: classification_pb2.ClassificationRequest, call: Call) -> NoReturn:
        model = call.record.model = model_request(request)
        refuse_signature(CLASSIFY, model.signature, self._engine.describe(model).signature_defs)

    def _regress(self, request: regression_pb2.RegressionRequest, call: Call) -> NoReturn:
        model = call.record.model = model_request(request)
        refuse_signature(REGRESS, model.signature, self._engine.describe(model).signature_defs)

    def _multi_inference(self, request: inference_pb2.MultiInferenceRequest, call: Call) -> NoReturn:
        if not request.tasks:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        model = call.record.model = model_of(request.tasks[0].model_spec)
        refuse_multi_inference(request, self._engine.describe(model).signature_defs)


def _check_names(signature: Signature, request: predict_pb2.PredictRequest) -> None:
    """Checks which inputs are sent, and says in TF Serving's words what is wrong with them."""
    sent, wanted = request.inputs.keys(), signature.inputs.keys()
    if len(sent) != len(wanted):
        raise InvalidArgumentError(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_set(sent)}) != len({_set(wanted)}). "
            f"Sent extra: {_set(sent - wanted)}. Missing but required: {_set(wanted - sent)}."
        )
    for name in sent:
        if name not in wanted:
            raise InvalidArgumentError(
                f"input tensor alias not found in signature: {name}. Inputs expected to be in the set {_set(wanted)}."
            )


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
