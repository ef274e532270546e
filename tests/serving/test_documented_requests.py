"""The examples of docs/serving.md, run as they stand there: only the addresses are those of the test's own server."""

import os
import re
import subprocess
import sys

import pytest

from serving import contract
from tests.support.repository import REPOSITORY

TEXT = (REPOSITORY / "docs" / "serving.md").read_text()
# A terminal knows neither our packages nor our variables.
CLEAN = {"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": os.environ.get("HOME", "/")}


def example(language: str, word: str) -> str:
    """The one code block of a language that holds a word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if word in block]
    return found


@pytest.fixture
def addressed(server):
    def replaced(text: str) -> str:
        assert "127.0.0.1:8500" in text or "127.0.0.1:8501" in text
        return text.replace("127.0.0.1:8500", server.grpc).replace("http://127.0.0.1:8501", server.rest)

    return replaced


@pytest.fixture
def folder(tmp_path, make_image):
    """A folder with a photo.jpg that is orange."""
    (tmp_path / "photo.jpg").write_bytes(make_image((255, 200, 0), (64, 48), "JPEG"))
    return tmp_path


def run(command: list[str], folder, **extra: str) -> str:
    environment = CLEAN | extra
    done = subprocess.run(
        command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_alone_gets_a_verdict(addressed, folder):
    printed = run(["bash", "-c", addressed(example("bash", "curl -s"))], folder)
    assert contract.OUTPUT_VERDICT in printed
    assert "progan_red" in printed


@pytest.mark.e2e
def test_tensorflow_serving_api_alone_gets_a_verdict(addressed, folder):
    code = example("python", "predict_pb2.PredictRequest")
    assert "serving.client" not in code
    printed = run([sys.executable, "-c", addressed(code)], folder)
    assert f"{contract.OUTPUT_VERDICT} [b'progan_red']" in printed


@pytest.mark.e2e
def test_our_client_gets_a_verdict(addressed, folder):
    printed = run(
        [sys.executable, "-c", addressed(example("python", "open_predictor"))], folder, PYTHONPATH=str(REPOSITORY)
    )
    assert printed.startswith("progan_red 0.5")


def test_what_grpcurl_is_given_is_a_request_that_the_server_answers(addressed, folder, server):
    """No package registry has grpcurl: this does what it does, with the protocol by reflection."""
    import grpc
    from google.protobuf import descriptor_pool, json_format, message_factory
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    text = addressed(example("bash", "grpcurl"))
    sender, _, command = text.rpartition("|")
    document = run(["bash", "-c", sender], folder)
    options, address, method = re.fullmatch(r"\s*grpcurl (.*) (\S+) (\S+)\s*", command).groups()
    assert (options, address) == ("-plaintext -d @", server.grpc)
    service_name, _, method_name = method.partition("/")
    with grpc.insecure_channel(address) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        described = pool.FindServiceByName(service_name).FindMethodByName(method_name)
        request = json_format.Parse(document, message_factory.GetMessageClass(described.input_type)())
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )
        response = call(request, timeout=30)
    assert response.outputs[contract.OUTPUT_VERDICT].string_val[0] == b"progan_red"
