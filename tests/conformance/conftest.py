"""The server that is checked: a running one, or the embedded server on a small servable, as a process of its own.

Nothing here uses our own client. A server is asked with what TF Serving's users have: tensorflow-serving-api and HTTP.
"""

import http.client
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
from PIL import Image
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving import contract

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent

SIZE = 512  # pixels; no servable's own size is larger, and none refuses an image for being larger than its own
BATCH = 32


@dataclass(frozen=True)
class Target:
    """The server that is checked; an address is None where only the other protocol is."""

    grpc: str | None
    rest: str | None
    model: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it needs a server in a process of its own."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    options = {name: request.config.getoption(f"--{name}-address") for name in ("grpc", "rest")}
    model = request.config.getoption("--model-name") or contract.DEFAULT_MODEL_NAME
    if any(options.values()):
        yield Target(options["grpc"], options["rest"], model)
        return
    from tests.support.small_servable import export_servable

    base = tmp_path_factory.mktemp("conformance") / model
    export_servable(base / "7")
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(base), "--model-name", model]
    process = subprocess.Popen(
        [*command, "--grpc-port", "0", "--rest-port", "0", "--until-end-of-input"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            line = process.stdout.readline()
            assert line, f"the server did not start (exit code {process.wait(timeout=60)}): {' '.join(command)}"
            addresses = json.loads(line)
            yield Target(addresses["grpc"], addresses["rest"], model)
        finally:
            process.stdin.close()
            process.wait(timeout=60)


@pytest.fixture(scope="session")
def channel(target: Target) -> Iterator[grpc.Channel]:
    if target.grpc is None:
        pytest.skip("no --grpc-address")
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(target.grpc, options) as channel:
        yield channel


@pytest.fixture(scope="session")
def prediction_service(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def model_service(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture(scope="session")
def call(target: Target) -> Callable[..., tuple[int, Any]]:
    """Makes one HTTP request: (method, path, body) -> status and JSON document, None if it is not JSON."""
    if target.rest is None:
        pytest.skip("no --rest-address")
    parts = urlsplit(target.rest)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection

    def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = connect(parts.netloc, timeout=60)
        try:
            connection.request(method, parts.path.rstrip("/") + path, sent, headers or {})
            response = connection.getresponse()
            text = response.read()
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            return response.status, json.loads(text) if is_json and text else None
        finally:
            connection.close()

    return call


@pytest.fixture(scope="session")
def images() -> list[bytes]:
    """JPEG and PNG images of 512 px in turn: smooth noise of different brightness, no two alike."""
    random = np.random.default_rng(0)
    encoded = []
    for number in range(BATCH):
        coarse = random.uniform(0, 255, (16, 16, 3)) * (0.2 + 0.8 * number / BATCH)
        picture = Image.fromarray(coarse.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "PNG" if number % 8 == 7 else "JPEG")
        encoded.append(stream.getvalue())
    return encoded
