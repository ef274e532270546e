"""Middle features: computed once, the same wherever they lie, shared by the heads of one process."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.training import artifacts, middle_features
from components.training.examples import image_bytes
from components.training.inputs import Storage
from components.training.middle_features import (
    MiddleFeatureStore,
    extract_middle_features,
    stored_middle_features,
)
from components.training.modules import train_head
from components.training.parameters import TrainingParameters
from components.training.training import Training
from tests.support.images import SMOOTH, STRIPES
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
BYTES_OF_TRAIN = 72 * 8 * 8 * 16 * 4


@pytest.fixture(scope="module")
def primary():
    return build_primary(INPUTS.shape, False, LayerParameters(), seed=3)


def extract(primary, splits, megabytes, folder=None):
    return extract_middle_features(
        primary,
        Training(splits, INPUTS, TrainingParameters(memory_budget_mb=megabytes), scratch=folder),
        FixedTransform(),
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
    training = Training(splits, INPUTS, TrainingParameters(epochs=2, batch_size=16))
    first, second = (
        train_head(training, STRIPES, extract(primary, splits, megabytes)).model.get_weights() for megabytes in (64, 0)
    )
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_memory_holds_no_more_than_the_budget(primary, splits, monkeypatch):
    budget = Storage(1)
    budget.free = BYTES_OF_TRAIN + 1
    monkeypatch.setattr(middle_features, "Storage", lambda *_: budget)
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
                primary, Training(splits, INPUTS, TrainingParameters(memory_budget_mb=64)), Counting()
            ),
        )
        train_head(Training(splits, INPUTS, TrainingParameters(epochs=3, batch_size=16)), source, features)
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


def test_trainings_share_features_only_of_one_primary_module_and_the_same_inputs(splits, tmp_path, monkeypatch):
    store, extracted = MiddleFeatureStore(), []
    monkeypatch.setattr(middle_features, "process_store", lambda: store)
    monkeypatch.setattr(artifacts, "read_model", lambda folder: (folder / artifacts.MODEL_FILE).read_bytes())
    monkeypatch.setattr(middle_features, "extract_middle_features", lambda primary, *_: extracted.append(primary) or {})
    monkeypatch.setattr(middle_features, "ExportedTransform", lambda _: None)

    def share(content, of_splits, graph="graph", **parameters):
        (tmp_path / artifacts.MODEL_FILE).write_bytes(content)
        for _ in range(2):
            stored_middle_features(tmp_path, Training(of_splits, INPUTS, TrainingParameters(**parameters)), graph)

    share(b"one", splits)
    assert extracted == [b"one"]
    share(b"two", splits)  # in the directory of the first
    assert extracted == [b"one", b"two"]
    share(b"two", {"train": splits["train"], "eval": splits["test"]})
    share(b"two", splits, "another graph")
    assert len(extracted) == 4
    share(b"two", splits, "another graph", epochs=3, seed=9)  # features do not depend on these
    assert len(extracted) == 4
    share(b"two", splits, "another graph", copies=1, augmentation={"flip": True})
    share(b"two", splits, "another graph", copies=1, augmentation={"turn": True})
    share(b"two", splits, "another graph", copies=1, augmentation={"turn": True}, seed=9)
    assert len(extracted) == 7


def test_a_failed_extraction_is_not_kept():
    store = MiddleFeatureStore()
    with pytest.raises(ZeroDivisionError):
        store.get("one", lambda: 1 / 0)
    assert store.get("one", dict) == {}
