"""Training of the two kinds of module on the small dataset."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.operating_point import OperatingPoint
from components.features.parameters import InputParameters
from components.trainer import artifacts
from components.trainer.examples import image_bytes, read_split
from components.trainer.loop import History
from components.trainer.middle_features import batches, extract_middle_features, shuffled_batches
from components.trainer.modules import TrainedModule, train_head, train_primary
from components.trainer.parameters import OperatingPointParameters, TrainingParameters
from tests.images import REAL, SMOOTH, STRIPES, encode, noise, write_examples
from tests.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
PARAMETERS = TrainingParameters(epochs=2, batch_size=16, learning_rate=3e-3, seed=4)


@pytest.fixture(scope="module")
def transform():
    return FixedTransform()


@pytest.fixture(scope="module")
def trained_primary(splits, transform):
    return train_primary(splits, transform, INPUTS, PARAMETERS)


@pytest.fixture(scope="module")
def other_primary(splits, transform):
    """Trained with another seed and a fixed operating point."""
    point = OperatingPointParameters(rule="fixed", threshold=0.37)
    return train_primary(splits, transform, INPUTS, PARAMETERS.model_copy(update={"seed": 5, "operating_point": point}))


@pytest.fixture(scope="module")
def trained_head(splits, transform, trained_primary, tmp_path_factory):
    """The head of stripes_b, and the primary module's weights before and after its training."""
    before = trained_primary.model.get_weights()
    scratch = tmp_path_factory.mktemp("scratch")
    head = train_head(STRIPES, trained_primary.model, splits, transform, INPUTS, PARAMETERS, scratch)
    return head, before, trained_primary.model.get_weights()


def assert_equal_weights(first: keras.Model, second: keras.Model):
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# --- the primary module ---


def test_a_primary_module_scores_the_splits_that_it_did_not_train_on(trained_primary, splits, transform):
    assert sorted(trained_primary.scores) == ["eval", "test"]
    images = list(image_bytes(splits["test"]).as_numpy_iterator())
    expected = trained_primary.model(transform(tf.constant(images))["dct"])[:, 0]
    np.testing.assert_allclose(trained_primary.scores["test"], expected, atol=1e-5)


def test_the_same_seed_trains_the_same_primary_module(splits, transform, trained_primary):
    assert_equal_weights(train_primary(splits, transform, INPUTS, PARAMETERS).model, trained_primary.model)


def test_another_seed_trains_another_primary_module(trained_primary, other_primary):
    assert not np.array_equal(trained_primary.model.get_weights()[0], other_primary.model.get_weights()[0])


def test_a_fixed_operating_point_is_taken_as_it_is(other_primary):
    assert other_primary.operating_point.threshold == 0.37


@pytest.mark.parametrize(("source", "missing"), [(REAL, "fake"), (SMOOTH, "real")])
def test_a_train_split_of_a_single_class_is_refused(tmp_path, transform, source, missing):
    path = tmp_path / "examples-0.tfrecord.gz"
    write_examples(path, [(source, "image.png", encode(noise(1)))] * 3)
    split = read_split("train", [str(path)])
    with pytest.raises(ValueError, match=f"split 'train': holds no image of {missing}"):
        train_primary({"train": split, "eval": split}, transform, INPUTS, PARAMETERS)


# --- heads ---


def test_training_a_head_changes_no_weight_of_the_primary_module(trained_head):
    _, before, after = trained_head
    for one, two in zip(before, after, strict=True):  # moving statistics of batch normalisation included
        np.testing.assert_array_equal(one, two)


def test_a_head_learns_its_source_from_all_others(trained_head, splits):
    head, _, _ = trained_head
    is_source = splits["test"].sources == STRIPES
    assert head.scores["test"][is_source].mean() > head.scores["test"][~is_source].mean() + 0.1


def test_a_heads_scores_are_those_of_its_model_on_the_primary_modules_middle_features(
    trained_head, trained_primary, splits, transform
):
    head, _, _ = trained_head
    primary = trained_primary.model
    middle = keras.Model(primary.inputs, primary.get_layer("dRelu_04").output)
    images = list(image_bytes(splits["eval"]).as_numpy_iterator())
    expected = head.model(middle(transform(tf.constant(images))["dct"], training=False))[:, 0]
    np.testing.assert_allclose(head.scores["eval"], expected, atol=1e-5)


def test_the_same_seed_trains_the_same_head(trained_head, splits, transform, trained_primary, tmp_path):
    again = train_head(STRIPES, trained_primary.model, splits, transform, INPUTS, PARAMETERS, tmp_path)
    assert_equal_weights(again.model, trained_head[0].model)


def test_a_source_that_is_not_there_is_refused_with_those_that_are(splits, transform, trained_primary, tmp_path):
    with pytest.raises(ValueError, match=r"sources: 'stripes_x' has no image .*real_noise, smooth_a, stripes_b\."):
        train_head("stripes_x", trained_primary.model, splits, transform, INPUTS, PARAMETERS, tmp_path)


# --- middle features ---


def test_middle_features_are_the_fourth_blocks_output_in_the_order_of_the_split(
    trained_primary, splits, transform, tmp_path
):
    primary, split = trained_primary.model, splits["train"]  # 72 images: more than one batch of the extraction
    features = extract_middle_features(primary, split, transform, "dct", tmp_path / "features.npy")
    images = list(image_bytes(split).as_numpy_iterator())
    block = keras.Model(primary.inputs, primary.get_layer("dRelu_04").output)
    expected = block.predict(transform(tf.constant(images))["dct"], verbose=0)
    assert features.shape == (split.count, 8, 8, 16)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_middle_features_cannot_be_written_to(trained_primary, splits, transform, tmp_path):
    features = extract_middle_features(trained_primary.model, splits["test"], transform, "dct", tmp_path / "f.npy")
    with pytest.raises(ValueError, match="read-only"):
        features[0] = 0.0


def test_a_split_whose_files_changed_meanwhile_is_refused(trained_primary, splits, transform, tmp_path):
    longer = dataclasses.replace(splits["test"], labels=np.zeros(splits["test"].count + 1, np.int32))
    with pytest.raises(ValueError, match="split 'test': 25 labels but 24 images"):
        extract_middle_features(trained_primary.model, longer, transform, "dct", tmp_path / "f.npy")


def test_shuffled_batches_hold_every_row_once_with_its_target_and_weight():
    rows = np.arange(10)
    order = np.random.default_rng(0)
    epochs = [list(shuffled_batches(rows * 1.0, rows * 2.0, rows * 3.0, 4, order)) for _ in range(2)]
    for epoch in epochs:
        assert [len(features) for features, _, _ in epoch] == [4, 4, 2]
        features, targets, weights = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
        assert sorted(features) == list(rows)
        np.testing.assert_array_equal(targets, features * 2)
        np.testing.assert_array_equal(weights, features * 3)
    assert [set(batch[0]) for batch in epochs[0]] != [set(batch[0]) for batch in epochs[1]]


def test_plain_batches_keep_the_order():
    rows = np.arange(5)
    assert [features.tolist() for features, _, _ in batches(rows, rows, rows, 2)] == [[0, 1], [2, 3], [4]]


# --- artifacts ---


@pytest.fixture(scope="module")
def scored_module(splits):
    """A module that was never trained, with made-up scores."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    rng = np.random.default_rng(0)
    scored = {name: rng.random(splits[name].count).astype(np.float32) for name in ("eval", "test")}
    history = History(loss=[0.7, 0.5], val_loss=[0.6, float("nan")], val_roc_auc=[0.5, 0.75], seconds=[1.0, 2.0])
    return TrainedModule(model, OperatingPoint(0.25, "fixed", "set in the configuration"), history, scored, 12.5)


def test_a_module_reads_back_with_the_same_weights_and_answers(scored_module, tmp_path):
    artifacts.write_module(tmp_path, scored_module)
    loaded = artifacts.read_model(tmp_path)
    assert_equal_weights(loaded, scored_module.model)
    points = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(loaded(points), scored_module.model(points))


@pytest.mark.parametrize(("source", "task", "name"), [("", "detection", "primary"), (STRIPES, "attribution", STRIPES)])
def test_a_description_reads_back_without_the_model(scored_module, tmp_path, source, task, name):
    artifacts.write_module(tmp_path, scored_module, source)
    (tmp_path / artifacts.MODEL_FILE).unlink()
    description = artifacts.read_description(tmp_path)
    assert (description.task, description.source, description.name) == (task, source, name)
    assert description.operating_point == scored_module.operating_point
    assert (description.parameters, description.training_seconds) == (3, 12.5)


def test_scores_read_back_with_the_labels_of_detection(scored_module, splits, tmp_path):
    artifacts.write_run(tmp_path, scored_module, splits)
    read = artifacts.read_scores(tmp_path)
    assert sorted(read) == ["eval", "test"]
    np.testing.assert_array_equal(read["test"].scores, scored_module.scores["test"])
    np.testing.assert_array_equal(read["test"].labels, splits["test"].labels)
    np.testing.assert_array_equal(read["test"].sources, splits["test"].sources)
    np.testing.assert_array_equal(read["test"].paths, splits["test"].paths)


def test_labels_of_a_heads_scores_say_whether_the_image_is_of_its_source(scored_module, splits, tmp_path):
    artifacts.write_run(tmp_path, scored_module, splits, STRIPES)
    expected = [int(source == STRIPES) for source in splits["test"].sources]
    assert artifacts.read_scores(tmp_path)["test"].labels.tolist() == expected


def test_scores_hold_plain_arrays_only(scored_module, splits, tmp_path):
    artifacts.write_run(tmp_path, scored_module, splits)
    with np.load(tmp_path / artifacts.SCORES_FILE, allow_pickle=False) as arrays:
        parts = {key: arrays[key].dtype.kind for key in arrays.files}
    kinds = {"labels": "i", "scores": "f", "sources": "U", "paths": "U"}
    assert parts == {f"{split}/{part}": kind for split in ("eval", "test") for part, kind in kinds.items()}


def test_a_history_reads_back(scored_module, splits, tmp_path):
    artifacts.write_run(tmp_path, scored_module, splits)
    history = artifacts.read_history(tmp_path)
    assert (history["loss"], history["val_roc_auc"], history["best_epoch"]) == ([0.7, 0.5], [0.5, 0.75], 0)
    assert json.loads((tmp_path / artifacts.HISTORY_FILE).read_text()).keys() == history.keys()
