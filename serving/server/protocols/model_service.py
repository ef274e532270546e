"""TF Serving's ModelService by gRPC: the state of models, and a new configuration of what is served."""

import grpc
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.errors import InvalidArgumentError
from serving.server.models.engine import Engine
from serving.server.models.requests import ModelRequest
from serving.server.protocols.grpc_calls import Call, answer

_MODEL_LIST = "model_config_list"


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._metrics = engine.metrics

    def GetModelStatus(  # noqa: N802 - the protocol's name
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Reports the state of one version, or of all."""
        return answer(context, self._metrics, "GetModelStatus", self._status, request)

    def HandleReloadConfigRequest(  # noqa: N802 - the protocol's name
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves what a new list of models says; returns when all of them are available, or one cannot be."""
        return answer(context, self._metrics, "HandleReloadConfigRequest", self._reload, request)

    def _status(
        self, request: get_model_status_pb2.GetModelStatusRequest, call: Call
    ) -> get_model_status_pb2.GetModelStatusResponse:
        if not request.HasField("model_spec"):
            raise InvalidArgumentError("Missing ModelSpec")
        spec = request.model_spec
        # A label is not looked at, as in TF Serving: the answer is then about all versions.
        model = call.record.model = ModelRequest(spec.name, spec.version.value if spec.HasField("version") else None)
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._engine.status(model):
            line = response.model_version_status.add(
                version=status.version, state=get_model_status_pb2.ModelVersionStatus.State.Value(status.state)
            )
            line.status.error_code = error_codes_pb2.Code.Value(status.error_code)
            line.status.error_message = status.error_message
        return response

    def _reload(
        self, request: model_management_pb2.ReloadConfigRequest, _: Call
    ) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != _MODEL_LIST:
            raise InvalidArgumentError(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._engine.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = error_codes_pb2.OK  # a failure is the call's own status, as in TF Serving
        return response
