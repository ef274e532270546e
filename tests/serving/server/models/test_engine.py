"""What happens between a request and its batch, with a servable that is loaded for real."""

import gc
import shutil
import threading
import time
import weakref

import pytest
import tensorflow as tf

from serving import contract
from serving.errors import InvalidArgumentError, QueueFullError, ServableError
from serving.servable.model import Servable, string_array
from serving.servable.versions import find_version
from serving.server.configuration.files import ModelConfig
from serving.server.configuration.parameters import BatchingParameters
from serving.server.models.batching import BatchScheduler
from serving.server.models.engine import Engine
from serving.server.models.loading import LoadedServable
from serving.server.models.registry import Registry
from serving.server.models.requests import ModelRequest
from serving.server.telemetry.metrics import ServerMetrics

NAME = contract.DEFAULT_MODEL_NAME


class Server:
    """The parts of a server behind its protocols."""

    def __init__(self, base, **parameters):
        self.metrics = ServerMetrics()
        self.scheduler = BatchScheduler(BatchingParameters(**({"num_batch_threads": 1} | parameters)))
        self.registry = Registry(
            lambda model, version: LoadedServable(model, version, self.scheduler, self.metrics), self.metrics.available
        )
        self.registry.apply([ModelConfig(NAME, base)])
        self.engine = Engine(self.registry, self.metrics, max_batch_rows=8)

    def close(self):
        self.engine.close()
        self.registry.close()
        self.scheduler.close()

    def metric(self, start):
        """The sum of the series whose line starts so."""
        lines = [line for line in self.metrics.render().decode().splitlines() if line.startswith(start)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture
def start(model_base):
    started = []

    def run(base=model_base, **parameters):
        started.append(Server(base, **parameters))
        return started[-1]

    yield run
    for server in started:
        server.close()


def inputs(images):
    return {contract.INPUT_IMAGE_BYTES: string_array(images)}


def predict(server, images, output_filter=()):
    return server.engine.submit(ModelRequest(NAME), inputs(images), output_filter).result(60)


@pytest.fixture
def held(monkeypatch):
    """Holds every run of a graph until it is let go; says how many have begun."""
    run, gate, begun = Servable.run, threading.Event(), threading.Semaphore(0)

    def wait(self, *arguments):
        begun.release()
        assert gate.wait(30)
        return run(self, *arguments)

    def hold():
        monkeypatch.setattr(Servable, "run", wait)
        return gate, begun

    yield hold
    gate.set()


def test_verdicts_and_images_are_counted_whatever_outputs_were_asked_for(start, images, verdicts):
    server = start()
    answered = predict(server, images, [contract.OUTPUT_FAKE_PROBABILITY])
    assert list(answered.outputs) == [contract.OUTPUT_FAKE_PROBABILITY]
    for verdict in set(verdicts):
        series = f'generator_attribution_verdicts_total{{model_name="{NAME}",version="3",verdict="{verdict}"}}'
        assert server.metric(series) == verdicts.count(verdict)
    assert server.metric("generator_attribution_images_total") == len(images)


def test_requests_that_wait_together_run_as_one_batch_and_get_their_own_answers(start, images, verdicts, held):
    server = start(max_batch_size=16)
    gate, begun = held()
    first = server.engine.submit(ModelRequest(NAME), inputs(images[:1]))
    assert begun.acquire(timeout=30)
    rest = [server.engine.submit(ModelRequest(NAME), inputs([image])) for image in images]
    gate.set()
    answers = [answer.result(30).outputs[contract.OUTPUT_VERDICT][0].decode() for answer in (first, *rest)]
    assert answers == [verdicts[0], *verdicts]
    assert begun.acquire(timeout=30)
    assert not begun.acquire(timeout=0.2)  # two runs in all


def test_a_bad_image_fails_its_own_request_alone(start, images, verdicts, undecodable, held):
    server = start(max_batch_size=16)
    gate, begun = held()
    server.engine.submit(ModelRequest(NAME), inputs(images[:1]))
    assert begun.acquire(timeout=30)
    good, bad = (
        server.engine.submit(ModelRequest(NAME), inputs(batch)) for batch in (images, [images[0], undecodable])
    )
    gate.set()
    assert [value.decode() for value in good.result(30).outputs[contract.OUTPUT_VERDICT]] == verdicts
    with pytest.raises(InvalidArgumentError, match=r"^image_bytes\[1\]: "):
        bad.result(30)


def test_a_queue_that_is_full_refuses_and_is_counted(start, images, held):
    server = start(max_batch_size=2, max_enqueued_batches=1)
    gate, begun = held()
    server.engine.submit(ModelRequest(NAME), inputs(images[:1]))
    assert begun.acquire(timeout=30)
    waiting = server.engine.submit(ModelRequest(NAME), inputs(images[:2]))
    with pytest.raises(QueueFullError, match="queue"):
        server.engine.submit(ModelRequest(NAME), inputs(images[:1]))
    assert server.metric("generator_attribution_queue_rejections_total") == 1
    gate.set()
    waiting.result(30)


def test_a_cancelled_request_is_never_computed(start, images, held):
    server = start(max_batch_size=1)
    gate, begun = held()
    server.engine.submit(ModelRequest(NAME), inputs(images[:1]))
    assert begun.acquire(timeout=30)
    assert server.engine.submit(ModelRequest(NAME), inputs(images[:1])).cancel()
    gate.set()
    predict(server, images[1:2])
    assert begun.acquire(timeout=30)
    assert not begun.acquire(timeout=0.2)  # the request in between was not run


@pytest.mark.parametrize("cause", [InvalidArgumentError("no"), RuntimeError("a fault of ours")])
def test_a_failed_request_leaves_nothing_in_memory(start, images, monkeypatch, cause):
    """Reference counting alone must free it: the garbage collector may not look for minutes."""

    def fail(self, *arguments):
        raise cause

    server = start()
    monkeypatch.setattr(Servable, "run", fail)
    monkeypatch.setattr(
        "logging.Logger.error", lambda *args, **kwargs: None
    )  # what tests record of the log keeps errors
    array = string_array(images)
    kept = weakref.ref(array)
    gc.disable()
    try:
        answer = server.engine.submit(ModelRequest(NAME), {contract.INPUT_IMAGE_BYTES: array})
        del array
        assert isinstance(answer.exception(30), type(cause))
        del answer
        deadline = time.monotonic() + 10
        while kept() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert kept() is None
    finally:
        gc.enable()


def test_a_version_answers_what_it_has_begun_before_it_goes(start, model_base, images, verdicts, tmp_path, held):
    shutil.copytree(model_base / "3", tmp_path / "3")
    server = start(tmp_path)
    gate, begun = held()
    answer = server.engine.submit(ModelRequest(NAME), inputs(images))
    assert begun.acquire(timeout=30)
    shutil.copytree(model_base / "3", tmp_path / "aside")
    (tmp_path / "aside").rename(tmp_path / "4")
    polling = threading.Thread(target=server.registry.poll)
    polling.start()
    deadline = time.monotonic() + 60
    while server.registry.available(NAME) != [4] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not answer.done()
    gate.set()
    assert answer.result(30).version == 3
    assert [value.decode() for value in answer.result(30).outputs[contract.OUTPUT_VERDICT]] == verdicts
    polling.join(30)
    assert predict(server, images).version == 4


def warmup(path, signature, image):
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    path.parent.mkdir(parents=True)
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(signature_name=signature))
    request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(tf.make_tensor_proto([image]))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


@pytest.fixture
def load(model_base, tmp_path):
    """Loads a copy of the servable with one warm-up request."""
    scheduler = BatchScheduler(BatchingParameters(num_batch_threads=1))

    def run(signature, image):
        shutil.copytree(model_base / "3", tmp_path / "1")
        warmup(tmp_path / "1" / contract.WARMUP_REQUESTS, signature, image)
        return LoadedServable(NAME, find_version(tmp_path), scheduler, ServerMetrics())

    yield run
    scheduler.close()


def test_every_warmup_request_has_run_before_a_version_is_ready(load, images, monkeypatch):
    ran = []
    run = Servable.run
    monkeypatch.setattr(Servable, "run", lambda self, name, arrays: ran.append(name) or run(self, name, arrays))
    load(contract.SIGNATURE_EXPLAIN, images[0])
    assert ran == [contract.SIGNATURE_EXPLAIN]


def test_a_version_that_refuses_its_own_warmup_is_not_served(load, undecodable):
    with pytest.raises(ServableError, match="refuses its own warm-up for serving_default"):
        load(contract.SIGNATURE_DEFAULT, undecodable)


def test_warmup_for_a_signature_that_is_not_there_is_named(load, images):
    with pytest.raises(ServableError, match='"nonsense" not found'):
        load("nonsense", images[0])
