"""Middle features: computed once, the same wherever they lie, shared by the heads of one process."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.trainer import job
from components.training import middle_features
from components.training.examples import image_bytes
from components.training.inputs import MemoryBudget
from components.training.middle_features import MiddleFeatureStore, extract_middle_features
from components.training.modules import train_head
from components.training.parameters import TrainingParameters
from components.training.strategies import Replicas
from tests.support.images import SMOOTH, STRIPES
from tests.support.training_jobs import make_job
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
BYTES_OF_TRAIN = 72 * 8 * 8 * 16 * 4


@pytest.fixture(scope="module")
def primary():
    return build_primary(INPUTS.shape, False, LayerParameters(), seed=3)


def extract(primary, splits, megabytes, folder=None):
    return extract_middle_features(
        primary, splits, FixedTransform(), INPUTS, TrainingParameters(memory_budget_mb=megabytes), folder
    )


def test_they_are_the_fourth_blocks_output_in_the_order_of_the_split(primary, splits):
    features = extract(primary, splits, 64)
    images = list(image_bytes(splits["train"]).as_numpy_iterator())  # 72: more than one batch of the extraction
    block = keras.Model(primary.inputs, primary.get_layer("dRelu_04").output)
    expected = block.predict(FixedTransform()(tf.constant(images))["dct"], verbose=0)
    assert features["train"].shape == (72, 8, 8, 16)
    np.testing.assert_allclose(features["train"], expected, atol=1e-5)


def test_spilled_features_are_those_in_memory_and_leave_no_file(primary, splits, tmp_path):
    in_memory, spilled = extract(primary, splits, 64), extract(primary, splits, 0, tmp_path)
    for name in splits:
        assert isinstance(spilled[name], np.memmap)
        assert not isinstance(in_memory[name], np.memmap)
        np.testing.assert_array_equal(spilled[name], in_memory[name])
    assert list(tmp_path.iterdir()) == []


def test_a_head_trained_on_spilled_features_is_the_same_head(primary, splits):
    parameters = TrainingParameters(epochs=2, batch_size=16)
    first, second = (
        train_head(STRIPES, extract(primary, splits, megabytes), splits, INPUTS, parameters).model.get_weights()
        for megabytes in (64, 0)
    )
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_memory_holds_no_more_than_the_budget(primary, splits, monkeypatch):
    budget = MemoryBudget(1)
    budget.free = BYTES_OF_TRAIN + 1
    monkeypatch.setattr(middle_features, "MemoryBudget", lambda _: budget)
    features = extract(primary, splits, 1)
    assert {name: isinstance(array, np.memmap) for name, array in features.items()} == {
        "train": False,
        "eval": True,
        "test": True,
    }


@pytest.mark.parametrize("megabytes", [64, 0])
def test_they_cannot_be_written_to(primary, splits, megabytes):
    with pytest.raises(ValueError, match="read-only"):
        extract(primary, splits, megabytes)["test"][0] = 0.0


def test_a_split_whose_files_changed_meanwhile_is_refused(primary, splits):
    longer = dataclasses.replace(splits["test"], labels=np.zeros(25, np.int32))
    with pytest.raises(ValueError, match="split 'test': 25 labels but 24 images"):
        extract(primary, {"test": longer}, 64)


def test_the_primary_module_runs_once_for_two_heads_and_all_their_epochs(primary, splits):
    passes = []

    class Counting(FixedTransform):
        def __call__(self, encoded):
            tf.py_function(lambda batch: passes.append(len(batch)), [encoded], [])
            return super().__call__(encoded)

    store = MiddleFeatureStore()
    for source in (STRIPES, SMOOTH):
        features = store.get(
            "the same primary module and images",
            lambda: extract_middle_features(
                primary, splits, Counting(), INPUTS, TrainingParameters(memory_budget_mb=64)
            ),
        )
        train_head(source, features, splits, INPUTS, TrainingParameters(epochs=3, batch_size=16))
    assert sum(passes) == sum(split.count for split in splits.values())


def test_a_store_keeps_the_newest_features_alone():
    store, computed = MiddleFeatureStore(), []

    def get(key):
        return store.get(key, lambda: computed.append(key) or {"train": np.zeros(1)})

    assert get("one") is get("one")
    get("two")
    get("one")
    assert computed == ["one", "two", "one"]
    assert store.get("one", pytest.fail)


def test_heads_share_features_only_of_one_primary_module_and_the_same_images(splits, tmp_path, monkeypatch):
    store, extracted = MiddleFeatureStore(), []
    monkeypatch.setattr(job, "process_store", lambda: store)
    monkeypatch.setattr(job.artifacts, "read_model", lambda folder: (folder / job.artifacts.MODEL_FILE).read_bytes())
    monkeypatch.setattr(job, "extract_middle_features", lambda primary, *_: extracted.append(primary) or {})
    monkeypatch.setattr(job, "train_head", lambda *_: None)
    monkeypatch.setattr(job, "ExportedTransform", lambda _: None)
    monkeypatch.setattr(job, "_write", lambda *_: None)

    def train_heads(content, of_splits, graph="graph"):
        (tmp_path / job.artifacts.MODEL_FILE).write_bytes(content)
        for source in (STRIPES, SMOOTH):
            primary = {"source": source, "primary": str(tmp_path)}
            job.run_job(make_job(tmp_path, of_splits, graph, TrainingParameters(), **primary), Replicas())

    train_heads(b"one", splits)
    assert extracted == [b"one"]
    train_heads(b"two", splits)  # in the folder of the first
    assert extracted == [b"one", b"two"]
    train_heads(b"two", {"train": splits["train"], "eval": splits["test"]})
    train_heads(b"two", splits, "another graph")
    assert len(extracted) == 4


def test_a_failed_extraction_is_not_kept():
    store = MiddleFeatureStore()
    with pytest.raises(ZeroDivisionError):
        store.get("one", lambda: 1 / 0)
    assert store.get("one", dict) == {}
