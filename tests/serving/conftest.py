"""A servable small enough to know its answers by heart, and a server that serves it."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from serving import contract
from serving.server.configuration.options import ServerOptions
from tests.support.servers import running_server
from tests.support.small_servable import COLOURS, VERSION, export_servable


def encoded(colour, size=(16, 16), image_format="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, image_format)
    return stream.getvalue()


def truncated_png():
    """Passes every check of its header; only decoding finds the damage."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()[:400]


@pytest.fixture(scope="session")
def images():
    return [encoded(colour) for colour, _ in COLOURS.values()]


@pytest.fixture(scope="session")
def verdicts():
    return [verdict for _, verdict in COLOURS.values()]


@pytest.fixture(scope="session")
def make_image():
    return encoded


@pytest.fixture(scope="session")
def undecodable():
    return truncated_png()


@pytest.fixture(scope="session")
def model_base(tmp_path_factory):
    """`<base>/3` is the servable; beside it lie a push in progress and a version that is not complete."""
    base = tmp_path_factory.mktemp("models") / contract.DEFAULT_MODEL_NAME
    export_servable(base / str(VERSION))
    shutil.copytree(base / str(VERSION), base / ".pushing-9")
    (base / "8" / "variables").mkdir(parents=True)
    return base


@pytest.fixture(scope="session")
def options(model_base):
    return ServerOptions(model_base, grpc_port=0, rest_port=0, max_batch_rows=8, max_request_bytes=200_000)


@pytest.fixture(scope="session")
def server(options):
    with running_server(options) as addresses:
        yield addresses
