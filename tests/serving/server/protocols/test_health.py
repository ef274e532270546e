"""Health checks and reflection, by their own stubs, on a server without any model."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import predict_pb2

from serving.server.protocols.health import create_health, enable_reflection

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


@pytest.fixture
def health():
    return create_health()


@pytest.fixture
def channel(health):
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    enable_reflection(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


@pytest.fixture
def check(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    return lambda service: stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_follows_what_can_be_asked(health, check, service):
    answers = [check(service)]
    for serving in (True, False, True):
        health.set_serving(serving)
        answers.append(check(service))
    assert answers == [NOT_SERVING, SERVING, NOT_SERVING, SERVING]


@pytest.mark.parametrize("service", SERVICES)
def test_a_server_that_drains_does_not_serve_even_if_a_model_comes_up(health, check, service):
    health.set_serving(True)
    health.drain()
    assert check(service) == NOT_SERVING
    health.set_serving(False)
    health.set_serving(True)
    assert check(service) == NOT_SERVING


def test_a_service_that_is_not_there_is_not_found(check):
    with pytest.raises(grpc.RpcError) as refused:
        check("tensorflow.serving.NoSuchService")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watcher_is_told_of_each_change_and_of_draining(health, channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""), timeout=30)
    assert next(watch).status == NOT_SERVING
    health.set_serving(True)
    assert next(watch).status == SERVING
    health.set_serving(True)  # no change, so nothing is sent
    health.drain()
    assert next(watch).status == NOT_SERVING
    watch.cancel()


def ask(channel, **question):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=10)
    return answer


def test_reflection_lists_the_services(channel):
    answer = ask(channel, list_services="")
    assert {service.name for service in answer.list_services_response.service} == {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_with_reflection_alone_a_client_writes_a_request_from_json(channel):
    """As grpcurl does: the descriptors come over the wire into a pool that knew nothing before."""
    pool = descriptor_pool.DescriptorPool()
    known = set()

    def learn(**question):
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(raw)
            for raw in ask(channel, **question).file_descriptor_response.file_descriptor_proto
        ]
        by_name = {file.name: file for file in files}

        def add(file):
            if file.name in known:
                return
            known.add(file.name)
            for name in file.dependency:
                if name in by_name:
                    add(by_name[name])
                elif name not in known:
                    learn(file_by_filename=name)
            pool.Add(file)

        for file in files:
            add(file)

    learn(file_containing_symbol="tensorflow.serving.PredictionService")
    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    request_type = message_factory.GetMessageClass(service.methods_by_name["Predict"].input_type)
    document = {
        "model_spec": {"name": "generator_attribution", "signature_name": "serving_default"},
        "inputs": {
            "image_bytes": {
                "dtype": "DT_STRING",
                "tensor_shape": {"dim": [{"size": 2}]},
                "string_val": ["AQI=", "Aw=="],
            }
        },
    }
    written = json_format.ParseDict(json.loads(json.dumps(document)), request_type()).SerializeToString()

    received = predict_pb2.PredictRequest.FromString(written)
    assert received.model_spec.name == "generator_attribution"
    assert list(received.inputs["image_bytes"].string_val) == [b"\x01\x02", b"\x03"]
    np.testing.assert_array_equal([dim.size for dim in received.inputs["image_bytes"].tensor_shape.dim], [2])
