"""Versions whose warm-up file is not as it should be: refused by name before anything is served."""

import shutil

import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from serving import contract
from serving.errors import ServableError
from serving.servable.versions import find_version
from serving.server.configuration.parameters import BatchingParameters
from serving.server.models.batching import BatchScheduler
from serving.server.models.loading import LoadedServable
from serving.server.telemetry.metrics import ServerMetrics


def record(images, signature=contract.SIGNATURE_DEFAULT, name=contract.INPUT_IMAGE_BYTES):
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=contract.DEFAULT_MODEL_NAME, signature_name=signature),
        inputs={name: tf.make_tensor_proto(images)},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def file_of(path, *records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in records:
            writer.write(content if isinstance(content, bytes) else content.SerializeToString())
    return path.read_bytes()


@pytest.fixture
def load(model_base, tmp_path):
    """Loads a copy of the servable with a warm-up file of the given bytes."""
    scheduler = BatchScheduler(BatchingParameters(num_batch_threads=1))

    def run(content):
        shutil.copytree(model_base / "3", tmp_path / "1", dirs_exist_ok=True)
        path = tmp_path / "1" / contract.WARMUP_REQUESTS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return LoadedServable(contract.DEFAULT_MODEL_NAME, find_version(tmp_path), scheduler, ServerMetrics())

    yield run
    scheduler.close()


@pytest.fixture
def good(images, tmp_path):
    """A file of two records."""
    return file_of(tmp_path / "good", record(images[:1]), record(images))


def test_a_whole_file_is_loaded(load, good):
    load(good).close()


def test_an_empty_file_warms_nothing_and_is_loaded(load):
    load(b"").close()


def damaged(good):
    return {
        "cut off in its first record": good[: len(good) // 5],
        "cut off in its last record": good[:-3],
        "a flipped bit": good[:60] + bytes([good[60] ^ 1]) + good[61:],
        "a length that lies": b"\xff" * 8 + good[8:],
        "text": b"these are no records, only words",
        "zeros": bytes(100),
        "a record's worth of text behind the end": good + b"more than twelve bytes",
    }


@pytest.mark.parametrize("kind", damaged(b" " * 100))
def test_a_damaged_file_is_refused_by_its_name(load, good, kind):
    content = damaged(good)[kind]
    assert content != good
    with pytest.raises(ServableError, match=r"tf_serving_warmup_requests: is no file of warm-up requests"):
        load(content)


def test_a_rest_shorter_than_a_records_head_is_the_end_of_the_file(load, good):
    """TensorFlow's reader, which TF Serving uses too, says nothing of fewer than twelve bytes."""
    load(good + b"more").close()


@pytest.mark.parametrize(
    ("signature", "name", "message"),
    [
        ("nonsense", contract.INPUT_IMAGE_BYTES, '"nonsense" not found. Signatures here: explain, serving_default'),
        (contract.SIGNATURE_DEFAULT, "pictures", "pictures"),
        (contract.SIGNATURE_DEFAULT, contract.INPUT_EXAMPLES, contract.INPUT_EXAMPLES),
    ],
    ids=["unknown signature", "unknown input", "input of another signature"],
)
def test_a_record_that_does_not_fit_the_servable_is_named(load, images, tmp_path, signature, name, message):
    content = file_of(tmp_path / "other", record(images[:1]), record(images[:1], signature, name))
    with pytest.raises(ServableError, match="tf_serving_warmup_requests") as caught:
        load(content)
    assert message in str(caught.value)


def test_a_record_that_is_no_protobuf_is_refused(load, tmp_path):
    with pytest.raises(ServableError, match="is no file of warm-up requests"):
        load(file_of(tmp_path / "other", b"\xff\xff\xff"))


@pytest.mark.parametrize("kind", ["classify_log", "regress_log", "multi_inference_log", "session_run_log", None])
def test_a_record_for_another_method_than_predict_is_refused(load, tmp_path, kind):
    log = prediction_log_pb2.PredictionLog()
    if kind is not None:
        getattr(log, kind).SetInParent()
    with pytest.raises(ServableError, match=f"a record is for {kind}, only Predict is known"):
        load(file_of(tmp_path / "other", log))


def test_more_records_than_tf_serving_reads_are_refused(load, images, tmp_path):
    content = file_of(tmp_path / "other", *[record(images[:1])] * 1001)
    with pytest.raises(ServableError, match="must hold at most 1000 records"):
        load(content)


def test_an_image_of_warmup_that_the_graph_refuses_is_named_with_its_row(load, images, undecodable, tmp_path):
    content = file_of(tmp_path / "other", record([images[0], undecodable]))
    with pytest.raises(ServableError, match=r"refuses its own warm-up for serving_default: image_bytes\[1\]: "):
        load(content)
