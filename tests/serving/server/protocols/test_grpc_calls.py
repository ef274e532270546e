"""The gRPC services in front of an engine that does what the test says."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import pytest
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import InvalidArgumentError, ModelNotFoundError
from serving.servable.signatures import Signature, TensorSpec
from serving.server.models.requests import VersionStatus
from serving.server.protocols.grpc_service import PredictionService
from serving.server.protocols.model_service import ModelService
from serving.server.telemetry.metrics import ServerMetrics

SIGNATURE = Signature("serving_default", {"x": TensorSpec("string", (None,))}, {"y": TensorSpec("string", (None,))})


class Engine:
    """Takes requests and never answers them; knows two versions, one of which could not be loaded."""

    def __init__(self):
        self.metrics = ServerMetrics()
        self.metrics.available("m", [1])
        self.waiting = Future()
        self.submitted = threading.Event()
        self.reloaded = []

    def signature(self, request):
        return SIGNATURE

    def check_rows(self, rows):
        pass

    def submit(self, request, inputs, output_filter=()):
        self.submitted.set()
        return self.waiting

    def status(self, request):
        if request.name != "m":
            raise ModelNotFoundError(f"Could not find any versions of model {request.name}")
        assert request.label == ""
        states = [VersionStatus(5, "END", "FAILED_PRECONDITION", "no servable"), VersionStatus(4, "AVAILABLE")]
        return [status for status in states if request.version in (None, status.version)]

    def reload(self, config):
        for model in config.model_config_list.config:
            if not model.base_path.startswith("/"):
                raise InvalidArgumentError(f"Expected model {model.name} to have an absolute path")
        self.reloaded.append(config)


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def channel(engine):
    server = grpc.server(ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(engine), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    engine.waiting.cancel()
    server.stop(0).wait()


def predict(channel, **options):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 7
    request.inputs["x"].tensor_shape.dim.add(size=0)
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict.future(request, **options)


def cancelled(future):
    """Waits for it; a client learns of its own deadline before the server has acted."""
    over = threading.Event()
    future.add_done_callback(lambda _: over.set())
    return over.wait(20) and future.cancelled()


def test_a_request_whose_deadline_passes_is_taken_out_of_the_queue(engine, channel):
    call = predict(channel, timeout=0.3)
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert engine.submitted.is_set()
    assert cancelled(engine.waiting)


def test_a_request_whose_client_goes_away_is_taken_out_of_the_queue(engine, channel):
    call = predict(channel)
    assert engine.submitted.wait(20)
    assert not engine.waiting.done()
    call.cancel()
    assert cancelled(engine.waiting)


def test_a_computation_that_raises_timeout_error_is_an_internal_error(engine, channel):
    engine.waiting.set_exception(TimeoutError("of its own"))
    call = predict(channel, timeout=30)
    assert (call.code(), call.details()) == (
        grpc.StatusCode.INTERNAL,
        "internal error; the server's log has the details",
    )


def test_requests_are_counted_by_model_and_code(engine, channel):
    engine.waiting.set_exception(InvalidArgumentError("x[0]: is empty"))
    predict(channel).exception()
    assert b'request_count{model_name="m",status="INVALID_ARGUMENT"} 1' in engine.metrics.render()


@pytest.fixture
def model_service(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def status_request(name="m", **version):
    return get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name, **version})


def test_status_lists_every_version_and_why_one_failed(model_service):
    response = model_service.GetModelStatus(status_request(), timeout=30)
    state = get_model_status_pb2.ModelVersionStatus
    lines = [(s.version, s.state, s.status.error_code, s.status.error_message) for s in response.model_version_status]
    assert lines == [
        (5, state.END, error_codes_pb2.FAILED_PRECONDITION, "no servable"),
        (4, state.AVAILABLE, error_codes_pb2.OK, ""),
    ]


def test_status_of_one_version_is_that_version_alone_and_a_label_is_not_looked_at(model_service):
    one = model_service.GetModelStatus(status_request(version={"value": 4}), timeout=30)
    assert [status.version for status in one.model_version_status] == [4]
    labelled = model_service.GetModelStatus(status_request(version_label="stable"), timeout=30)
    assert [status.version for status in labelled.model_version_status] == [5, 4]


def failure(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=30)
    return caught.value.code().name, caught.value.details()


def test_status_of_no_model_and_of_an_unknown_one_are_refused(model_service):
    missing = get_model_status_pb2.GetModelStatusRequest()
    assert failure(model_service.GetModelStatus, missing) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert failure(model_service.GetModelStatus, status_request("other"))[0] == "NOT_FOUND"


def reload_request(path):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="m", base_path=path, model_platform="tensorflow")
    return request


def test_a_reload_hands_the_configuration_to_the_engine_and_answers_ok(engine, model_service):
    request = reload_request("/models/m")
    response = model_service.HandleReloadConfigRequest(request, timeout=30)
    assert (response.status.error_code, response.status.error_message) == (error_codes_pb2.OK, "")
    assert engine.reloaded == [request.config]


def test_a_reload_that_is_refused_fails_the_call(engine, model_service):
    assert failure(model_service.HandleReloadConfigRequest, reload_request("models/m"))[0] == "INVALID_ARGUMENT"
    custom = model_management_pb2.ReloadConfigRequest()
    custom.config.custom_model_config.SetInParent()
    for request in (model_management_pb2.ReloadConfigRequest(), custom):
        code, message = failure(model_service.HandleReloadConfigRequest, request)
        assert code == "INVALID_ARGUMENT"
        assert message.endswith("Only ModelConfigList is currently supported")
    assert engine.reloaded == []
