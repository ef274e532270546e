"""grpc.health.v1 and reflection: what orchestrators ask before they send traffic, and what grpcurl asks first."""

import threading
from types import ModuleType

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE = "tensorflow.serving"

# The services of TF Serving's prediction_service.proto and model_service.proto, described once more: the modules that
# tensorflow-serving-api has for these two were generated long ago, and today's protobuf cannot import them. For each
# service its file, and for each method the module of its messages and their names.
_Methods = dict[str, tuple[ModuleType, str, str]]
_DESCRIBED: dict[str, tuple[str, _Methods]] = {
    "PredictionService": (
        "tensorflow_serving/apis/prediction_service.proto",
        {
            "Classify": (classification_pb2, "ClassificationRequest", "ClassificationResponse"),
            "Regress": (regression_pb2, "RegressionRequest", "RegressionResponse"),
            "Predict": (predict_pb2, "PredictRequest", "PredictResponse"),
            "MultiInference": (inference_pb2, "MultiInferenceRequest", "MultiInferenceResponse"),
            "GetModelMetadata": (get_model_metadata_pb2, "GetModelMetadataRequest", "GetModelMetadataResponse"),
        },
    ),
    "ModelService": (
        "tensorflow_serving/apis/model_service.proto",
        {
            "GetModelStatus": (get_model_status_pb2, "GetModelStatusRequest", "GetModelStatusResponse"),
            "HandleReloadConfigRequest": (model_management_pb2, "ReloadConfigRequest", "ReloadConfigResponse"),
        },
    ),
}
_NAMES = tuple(f"{_PACKAGE}.{name}" for name in _DESCRIBED)

# The empty name stands for the server as a whole.
_SERVICES = ("", *_NAMES)


class Health:
    """What grpc.health.v1 answers; NOT_SERVING until told otherwise.

    Attributes:
        servicer: the service.
    """

    def __init__(self) -> None:
        self.servicer = health.HealthServicer()
        self._lock = threading.Lock()
        self._serving: bool | None = None
        self.set_serving(False)

    def add_to(self, server: grpc.Server) -> None:
        """Adds the service to a server that has not started."""
        health_pb2_grpc.add_HealthServicer_to_server(self.servicer, server)

    def set_serving(self, serving: bool) -> None:
        """Sets the state of all services."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        with self._lock:  # else two changes at once could leave the services in different states
            if serving == self._serving:
                return  # watchers are told of changes only
            self._serving = serving
            for service in _SERVICES:
                self.servicer.set(service, status)

    def drain(self) -> None:
        """Says NOT_SERVING from here on, whatever is set later: the server is on its way down."""
        self.servicer.enter_graceful_shutdown()


def create_health() -> Health:
    """Returns health that says NOT_SERVING."""
    return Health()


def enable_reflection(server: grpc.Server) -> None:
    """Lets clients ask a server which services it has, and of what their messages consist."""
    pool = descriptor_pool.Default()
    for name, (path, methods) in _DESCRIBED.items():
        pool.AddSerializedFile(_service_file(name, path, methods).SerializeToString())  # once more changes nothing
    reflection.enable_server_reflection((*_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)


def _service_file(name: str, path: str, methods: _Methods) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=path, package=_PACKAGE, syntax="proto3")
    file.dependency.extend(module.DESCRIPTOR.name for module, _, _ in methods.values())
    service = file.service.add(name=name)
    for method, (_, request, response) in methods.items():
        service.method.add(name=method, input_type=f".{_PACKAGE}.{request}", output_type=f".{_PACKAGE}.{response}")
    return file
