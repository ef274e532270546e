"""Servers under load: a server as a process of its own, the two protocols as plain bytes, and loops that ask.

Nothing here goes through the product's own client: replies are what came over the wire, failures included, so that a
test can say what it allows. TensorFlow is imported only where messages are built or read.
"""

import asyncio
import base64
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
import numpy as np
import psutil
from PIL import Image

from serving import contract

ROOT = Path(__file__).resolve().parents[2]
PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
REST_PREDICT = f"/v1/models/{contract.DEFAULT_MODEL_NAME}:predict"

# What a transport brought when it brought no answer.
REFUSED, CLOSED, HALF_ANSWERED, TIMED_OUT = "connection refused", "connection closed", "half answered", "timed out"

_READY_WITHIN = 180.0
_ENDS_WITHIN = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back for one request.

    Attributes:
        code: "OK" or another gRPC code, an HTTP status such as "200", or what the transport did instead.
        body: the answer's bytes, or the error's message.
        asked: when it was due to be sent, on the clock of `time.monotonic`.
        seconds: from then until the answer was there.
    """

    code: str
    body: bytes
    asked: float
    seconds: float

    @property
    def answered(self) -> bool:
        """Whether the request succeeded."""
        return self.code in ("OK", "200")


@dataclass
class ServerProcess:
    """A server that runs."""

    process: subprocess.Popen
    grpc: str
    rest: str
    version: int
    seconds_to_ready: float
    log: Path
    _watched: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self._watched = psutil.Process(self.process.pid)

    def megabytes(self) -> float:
        """Resident memory in 10^6 bytes."""
        return self._watched.memory_info().rss / 1e6

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        times = self._watched.cpu_times()
        return times.user + times.system

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def terminate(self) -> None:
        """Asks it to stop, and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = _ENDS_WITHIN) -> int:
        """Waits for its end and returns the exit code."""
        return self.process.wait(timeout)


@contextmanager
def server_process(base: Path, log: Path, *options: str, cores: Sequence[int] = ()) -> Iterator[ServerProcess]:
    """Starts `python -m serving.server` and stops it in the end.

    Args:
        base: the model's base directory.
        log: file for its standard error.
        options: further words of the command line.
        cores: processors that it is bound to from its first moment; empty for all.
    """
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(base), "--grpc-port", "0"]
    started = time.monotonic()
    with log.open("w") as errors, at_cores(cores):
        process = subprocess.Popen(
            [*command, "--rest-port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        if not select.select([process.stdout], [], [], _READY_WITHIN)[0] or not (line := process.stdout.readline()):
            raise RuntimeError(f"the server did not start; its log ends with:\n{log.read_text()[-2000:]}")
        ready = json.loads(line)
        yield ServerProcess(process, ready["grpc"], ready["rest"], ready["version"], time.monotonic() - started, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


@contextmanager
def at_cores(cores: Sequence[int]) -> Iterator[None]:
    """Binds this thread, and so the processes it starts meanwhile, to some processors; to none in particular if empty.

    A child must be bound before it runs: TensorFlow counts its processors once, when it is imported.
    """
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Wire:
    """One gRPC channel and one HTTP session of one event loop."""

    def __init__(self, channel: grpc.aio.Channel, session: aiohttp.ClientSession, rest: str) -> None:
        self._channel = channel
        self._session = session
        self._rest = rest
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable] = {}

    async def grpc(
        self, message: bytes, method: str = PREDICT, timeout: float = 30.0, due: float | None = None
    ) -> Reply:
        """Sends one message, any bytes at all."""
        call = self._methods.get(method)
        if call is None:
            call = self._methods[method] = self._channel.unary_unary(method)
        asked = time.monotonic() if due is None else due
        try:
            code, body = "OK", await call(message, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            code, body = error.code().name, (error.details() or "").encode()
        return Reply(code, body, asked, time.monotonic() - asked)

    async def rest(
        self,
        body: bytes,
        path: str = REST_PREDICT,
        method: str = "POST",
        timeout: float = 30.0,
        due: float | None = None,
    ) -> Reply:
        """Sends one HTTP request; the body may be any bytes at all."""
        asked = time.monotonic() if due is None else due
        try:
            wait = aiohttp.ClientTimeout(total=timeout)
            async with self._session.request(method, self._rest + path, data=body, timeout=wait) as response:
                code = HALF_ANSWERED  # until the body is there
                code, content = str(response.status), await response.read()
        except aiohttp.ClientConnectorError as error:
            code, content = REFUSED, str(error).encode()
        except aiohttp.ClientPayloadError as error:
            code, content = HALF_ANSWERED, str(error).encode()
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            # A timeout is a ClientConnectionError of aiohttp's too.
            code = TIMED_OUT if isinstance(error, TimeoutError) else CLOSED
            content = repr(error).encode()
        except TimeoutError as error:
            code, content = TIMED_OUT, repr(error).encode()
        return Reply(code, content, asked, time.monotonic() - asked)


@asynccontextmanager
async def open_wire(server: ServerProcess) -> AsyncIterator[Wire]:
    """Connects to a server by both protocols."""
    # A retry hidden in gRPC would make a lost request look like a slow one.
    options = (("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1))
    async with (
        grpc.aio.insecure_channel(server.grpc, options) as channel,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        yield Wire(channel, session, server.rest)


async def closed_loop(
    send: Callable[[int], Awaitable[Reply]], concurrency: int, count: int | None = None, seconds: float | None = None
) -> list[Reply]:
    """Keeps a fixed number of requests in flight.

    Args:
        send: sends request number i.
        concurrency: how many are in flight.
        count: how many to send in all; or
        seconds: how long to go on sending.
    """
    end = time.monotonic() + (float("inf") if seconds is None else seconds)
    replies: list[Reply] = []
    numbers = iter(range(sys.maxsize if count is None else count))

    async def worker() -> None:
        for number in numbers:
            if time.monotonic() >= end:
                return
            replies.append(await send(number))

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return replies


async def open_loop(
    send: Callable[[int, float], Awaitable[Reply]], rate: float, stop: asyncio.Event, longest: float = 120.0
) -> list[Reply]:
    """Sends requests at a steady rate, whether earlier ones are answered or not, until told to stop.

    Args:
        send: sends request number i, which is due at that moment of `time.monotonic`.
        rate: requests a second.
        stop: set it to end; requests in flight are awaited.
        longest: seconds after which it ends in any case.
    """
    started = time.monotonic()
    tasks = []
    number = 0
    while not stop.is_set() and time.monotonic() - started < longest:
        due = started + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        tasks.append(asyncio.create_task(send(number, due)))
        number += 1
    return list(await asyncio.gather(*tasks))


def predict_message(images: Sequence[bytes], signature: str = "", version: int | None = None) -> bytes:
    """Builds a PredictRequest for encoded images, serialized."""
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = contract.DEFAULT_MODEL_NAME
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    tensor = request.inputs[contract.INPUT_IMAGE_BYTES]
    tensor.dtype = 7  # DT_STRING
    tensor.tensor_shape.dim.add(size=len(images))
    tensor.string_val.extend(images)
    return request.SerializeToString()


def predict_body(images: Sequence[bytes], signature: str = "") -> bytes:
    """Builds the JSON body of the same request in row format."""
    rows = [{contract.INPUT_IMAGE_BYTES: {"b64": base64.b64encode(image).decode()}} for image in images]
    return json.dumps({"signature_name": signature or contract.SIGNATURE_DEFAULT, "instances": rows}).encode()


@dataclass(frozen=True)
class Answers:
    """A successful answer, read.

    Attributes:
        version: of the servable; None by REST, which does not say.
        fake_probability: one for each image.
        sources: the names of the heads.
        verdicts: one for each image.
    """

    version: int | None
    fake_probability: list[float]
    sources: list[str]
    verdicts: list[str]


def read_answers(reply: Reply) -> Answers:
    """Reads the answer of `serving_default`, whichever protocol brought it."""
    if reply.code == "OK":
        from tensorflow_serving.apis import predict_pb2

        response = predict_pb2.PredictResponse.FromString(reply.body)
        arrays = {name: tensor_values(tensor) for name, tensor in response.outputs.items()}
        rows = len(arrays[contract.OUTPUT_VERDICT])
        names = [name.decode() for name in arrays[contract.OUTPUT_SOURCE_NAMES].reshape(rows, -1)[0]]
        return Answers(
            response.model_spec.version.value,
            arrays[contract.OUTPUT_FAKE_PROBABILITY].tolist(),
            names,
            [verdict.decode() for verdict in arrays[contract.OUTPUT_VERDICT]],
        )
    rows = json.loads(reply.body)["predictions"]
    return Answers(
        None,
        [row[contract.OUTPUT_FAKE_PROBABILITY] for row in rows],
        rows[0][contract.OUTPUT_SOURCE_NAMES],
        [row[contract.OUTPUT_VERDICT] for row in rows],
    )


def tensor_values(tensor: object) -> np.ndarray:
    """Reads a TensorProto."""
    import tensorflow as tf

    return tf.make_ndarray(tensor)


def textured_image(seed: int, height: int, width: int) -> np.ndarray:
    """Returns uint8 RGB of coarse patches and fine noise, which compresses about as a photograph does."""
    draw = np.random.default_rng(seed)
    coarse = draw.normal(128, 40, (-(-height // 8), -(-width // 8), 3))
    patches = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return np.clip(patches + draw.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


def encode_image(image: np.ndarray, image_format: str = "JPEG", **options: object) -> bytes:
    """Encodes a uint8 image by Pillow."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, image_format, **options)
    return stream.getvalue()


def textured_jpegs(count: int, size: int = 128, quality: int = 90) -> list[bytes]:
    """Returns different square JPEG images; about 6.7 kB each at 128 pixels."""
    return [encode_image(textured_image(seed, size, size), quality=quality) for seed in range(count)]


def export_untrained(folder: Path, representation: str, size: int, heads: int) -> None:
    """Exports a real servable, decoding and networks and all, whose weights are random.

    Args:
        folder: the version's directory, made by this.
        representation: "pixel" or "dct".
        size: of the model's window in pixels.
        heads: how many heads it has.
    """
    from components.features.parameters import InputParameters
    from components.models.parameters import LayerParameters
    from components.models.primary import build_primary
    from components.models.secondary import build_secondary
    from components.servable.export import export_servable
    from components.servable.module import AttributionModule
    from components.servable.operating_points import OperatingPoints
    from tests.support.transforms import FixedTransform

    inputs = InputParameters(representation=representation, size=size)
    pooled = representation == "pixel"
    primary = build_primary(inputs.shape, pooled, LayerParameters(), seed=1)
    names = [f"progan_{number}" for number in range(heads)]
    middle = (size // 4, size // 4, 16)
    modules = {
        name: build_secondary(middle, pooled, LayerParameters(), seed=number) for number, name in enumerate(names)
    }
    points = OperatingPoints(0.5, dict.fromkeys(names, 0.5))
    export_servable(folder, AttributionModule(FixedTransform(size), inputs, primary, modules, points))
