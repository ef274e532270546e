"""Training of the two proposed modules on the small dataset."""

import dataclasses
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.metrics import calibration
from components.metrics.operating_point import choose_threshold
from components.models.distances import fit_distance
from components.models.parameters import LayerParameters
from components.training import artifacts
from components.training.augmentation_parameters import AugmentationParameters
from components.training.examples import image_bytes, read_split
from components.training.learners import LearnerPool
from components.training.middle_features import extract_middle_features, repeated
from components.training.modules import inputs_of_images, train_head, train_primary
from components.training.parameters import OperatingPointParameters, TrainingParameters
from components.training.strategies import Replicas
from components.training.training import Training
from tests.support.images import REAL, SMOOTH, STRIPES, encode, noise, write_examples
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
PARAMETERS = TrainingParameters(epochs=2, batch_size=16, learning_rate=3e-3, seed=4)


@pytest.fixture(scope="module")
def transform():
    return FixedTransform()


@pytest.fixture(scope="module")
def trained_primary(splits, transform):
    return train_primary(Training(splits, INPUTS, PARAMETERS), transform)


@pytest.fixture(scope="module")
def other_primary(splits, transform):
    """Trained with another seed and a fixed operating point."""
    point = OperatingPointParameters(rule="fixed", threshold=0.37)
    return train_primary(
        Training(splits, INPUTS, PARAMETERS.model_copy(update={"seed": 5, "operating_point": point})), transform
    )


@pytest.fixture(scope="module")
def middle(splits, transform, trained_primary):
    """The primary module's middle features, and its weights before they were computed."""
    before = trained_primary.model.get_weights()
    return extract_middle_features(
        trained_primary.model, Training(splits, INPUTS, TrainingParameters(memory_budget_mb=64)), transform
    ), before


@pytest.fixture(scope="module")
def trained_head(splits, middle):
    """The head of stripes_b."""
    return train_head(Training(splits, INPUTS, PARAMETERS), STRIPES, middle[0])


def assert_equal_weights(first: keras.Model, second: keras.Model):
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# --- the primary module ---


def test_a_primary_module_scores_the_splits_that_it_did_not_train_on(trained_primary, splits, transform):
    assert sorted(trained_primary.scores) == ["eval", "test"]
    images = list(image_bytes(splits["test"]).as_numpy_iterator())
    expected = trained_primary.model(transform(tf.constant(images))["dct"])[:, 0]
    np.testing.assert_allclose(trained_primary.scores["test"].scores, expected, atol=1e-5)


def test_the_same_seed_trains_the_same_primary_module(splits, transform, trained_primary):
    assert_equal_weights(train_primary(Training(splits, INPUTS, PARAMETERS), transform).model, trained_primary.model)


def test_another_seed_trains_another_primary_module(trained_primary, other_primary):
    assert not np.array_equal(trained_primary.model.get_weights()[0], other_primary.model.get_weights()[0])


def test_a_fixed_operating_point_is_taken_as_it_is(other_primary):
    assert other_primary.operating_point.threshold == 0.37


def test_the_threshold_is_chosen_on_the_eval_split(trained_primary):
    on_split = {
        name: choose_threshold(scored.labels, scored.scores, "balanced_accuracy", 0.5).threshold
        for name, scored in trained_primary.scores.items()
    }
    assert on_split["eval"] != on_split["test"]
    assert trained_primary.operating_point.threshold == on_split["eval"]


def test_class_weights_apply_to_shuffled_batches_and_not_to_balanced_ones(splits, middle):
    losses = {}
    for sampling in ("shuffled", "balanced"):
        for rule in ("balanced", "none"):
            options = {"epochs": 1, "batch_size": 72, "sampling": sampling, "class_weights": rule}
            parameters = PARAMETERS.model_copy(update=options)
            head = train_head(Training(splits, INPUTS, parameters), STRIPES, middle[0])
            losses[sampling, rule] = head.history.loss[0]
    assert losses["shuffled", "balanced"] != pytest.approx(losses["shuffled", "none"], rel=1e-3)
    assert losses["balanced", "balanced"] == losses["balanced", "none"]


def test_temporary_files_of_inputs_lie_in_the_folder_for_them(splits, transform, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    parameters = PARAMETERS.model_copy(update={"memory_budget_mb": 0})
    inputs = inputs_of_images(Training(splits, INPUTS, parameters, scratch=tmp_path), transform)
    assert inputs["train"].count == splits["train"].count
    with pytest.raises(FileNotFoundError):
        inputs_of_images(Training(splits, INPUTS, parameters), transform)


@pytest.mark.parametrize(("source", "missing"), [(REAL, "fake"), (SMOOTH, "real")])
def test_a_train_split_of_a_single_class_is_refused(tmp_path, transform, source, missing):
    path = tmp_path / "examples-0.tfrecord.gz"
    write_examples(path, [(source, "image.png", encode(noise(1)))] * 3)
    split = read_split("train", [str(path)])
    with pytest.raises(ValueError, match=f"split 'train': holds no image of {missing}"):
        train_primary(Training({"train": split, "eval": split}, INPUTS, PARAMETERS), transform)


# --- heads ---


def test_training_a_head_changes_no_weight_of_the_primary_module(trained_head, middle, trained_primary):
    for one, two in zip(middle[1], trained_primary.model.get_weights(), strict=True):  # moving statistics included
        np.testing.assert_array_equal(one, two)


def test_a_head_learns_its_source_from_all_others(trained_head, splits):
    is_source = splits["test"].sources == STRIPES
    scored = trained_head.scores["test"]
    np.testing.assert_array_equal(scored.labels, is_source)
    assert scored.scores[is_source].mean() > scored.scores[~is_source].mean() + 0.1


def test_a_head_at_architecture_level_learns_all_sources_of_its_architecture(splits, middle):
    head = train_head(Training(splits, INPUTS, PARAMETERS), "stripes", middle[0], level="architecture")
    np.testing.assert_array_equal(head.scores["test"].labels, splits["test"].sources == STRIPES)
    with pytest.raises(ValueError, match=r"'stripes_b' has no image .*Architectures there: real, smooth, stripes\."):
        train_head(Training(splits, INPUTS, PARAMETERS), STRIPES, middle[0], level="architecture")


def test_a_heads_scores_are_those_of_its_model_on_the_primary_modules_middle_features(
    trained_head, trained_primary, splits, transform
):
    primary = trained_primary.model
    middle = keras.Model(primary.inputs, primary.get_layer("dRelu_04").output)
    images = list(image_bytes(splits["eval"]).as_numpy_iterator())
    expected = trained_head.model(middle(transform(tf.constant(images))["dct"], training=False))[:, 0]
    np.testing.assert_allclose(trained_head.scores["eval"].scores, expected, atol=1e-5)


def test_the_same_seed_trains_the_same_head(trained_head, splits, middle):
    again = train_head(Training(splits, INPUTS, PARAMETERS), STRIPES, middle[0])
    assert_equal_weights(again.model, trained_head.model)


def test_a_source_that_is_not_there_is_refused_with_those_that_are(splits, middle):
    with pytest.raises(ValueError, match=r"sources: 'stripes_x' has no image .*real_noise, smooth_a, stripes_b\."):
        train_head(Training(splits, INPUTS, PARAMETERS), "stripes_x", middle[0])


# --- warm start ---


def test_a_warm_start_begins_with_the_weights_and_takes_a_fresh_step_of_the_configured_size(
    splits, middle, trained_head
):
    # A fresh Adam moves a weight by lr * g / (|g| + 1e-7) at its first step: by lr, where the gradient is not tiny.
    # One with the moments of an earlier training, or its learning rate, would not.
    one_step = PARAMETERS.model_copy(update={"epochs": 1, "batch_size": 1000, "learning_rate": 7e-4})
    start = [weight.copy() for weight in trained_head.model.get_weights()]
    names = [weight.name for weight in trained_head.model.weights]
    head = train_head(Training(splits, INPUTS, one_step, start=trained_head.model), STRIPES, middle[0])
    for name, before, after in zip(names, start, head.model.get_weights(), strict=True):
        if name in ("kernel", "gamma", "beta"):  # batch normalisation leaves biases before it without a gradient
            moved = np.abs(after - before)
            assert moved.max() <= 7e-4 * 1.01
            assert np.median(moved) == pytest.approx(7e-4, rel=0.05), name
    for one, two in zip(start, trained_head.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_warm_start_reaches_the_model_of_a_strategy(splits, middle, trained_head):
    still = PARAMETERS.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    replicas = Replicas(tf.distribute.MirroredStrategy(["CPU:0"]))
    head = train_head(Training(splits, INPUTS, still, start=trained_head.model, replicas=replicas), STRIPES, middle[0])
    for weight, before in zip(head.model.weights, trained_head.model.get_weights(), strict=True):
        if weight.name == "kernel":
            np.testing.assert_allclose(weight, before, atol=1e-6)


def test_a_warm_start_from_another_architecture_is_refused_with_what_differs(splits, middle, trained_primary):
    with pytest.raises(ValueError, match=r"warm_start: must be a model of the same .*aConv_01/kernel: .* absent there"):
        train_head(Training(splits, INPUTS, PARAMETERS, start=trained_primary.model), STRIPES, middle[0])


# --- calibration ---


def test_calibration_is_part_of_weights_and_scores(splits, transform, monkeypatch):
    monkeypatch.setattr(calibration, "MINIMUM_IMAGES", 9)
    plain, calibrated = (
        train_primary(Training(splits, INPUTS, PARAMETERS.model_copy(update={"calibration": rule})), transform)
        for rule in ("none", "platt")
    )
    assert plain.calibration is None
    for name in ("eval", "test"):
        logits = np.log(plain.scores[name].scores / (1.0 - plain.scores[name].scores.astype(np.float64)))
        expected = 1.0 / (1.0 + np.exp(-calibrated.calibration.logits(logits)))
        np.testing.assert_allclose(calibrated.scores[name].scores, expected, atol=1e-3)
    assert "fitted on" in calibrated.calibration.note
    assert calibrated.calibration.scale != 1.0
    # Nothing but the last layer changed.
    for one, other in zip(plain.model.get_weights()[:-2], calibrated.model.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_head_that_a_pooled_learner_trained_is_calibrated_all_the_same(splits, middle):
    alone, pooled = (
        train_head(Training(splits, INPUTS, PARAMETERS, learners=learners), STRIPES, middle[0])
        for learners in (None, LearnerPool())
    )
    assert alone.calibration == pooled.calibration
    np.testing.assert_array_equal(alone.scores["test"].scores, pooled.scores["test"].scores)


def test_a_calibration_reads_back(splits, transform, trained_primary, tmp_path):
    artifacts.write_module(tmp_path, trained_primary)
    assert artifacts.read_description(tmp_path).calibration == trained_primary.calibration


# --- augmented copies ---


def test_a_head_learns_from_augmented_copies_and_is_judged_on_the_images_themselves(splits, transform):
    inputs = InputParameters(representation="residual", size=32)
    augmentation = AugmentationParameters(crop="random", flip=True, noise=0.5)
    layers = LayerParameters(network="wide")
    parameters = PARAMETERS.model_copy(update={"augmentation": augmentation, "copies": 3, "layers": layers})
    training = Training(splits, inputs, parameters)
    primary = train_primary(training, transform)
    features = extract_middle_features(primary.model, training, transform)
    count = splits["train"].count
    assert {name: len(array) for name, array in features.items()} == {
        "train": 3 * count,
        "eval": splits["eval"].count,
        "test": splits["test"].count,
    }
    copies = features["train"].reshape(3, count, *features["train"].shape[1:])
    assert (copies[0] != copies[1]).any()
    longer = repeated(training)
    assert longer.splits["train"].sources.tolist() == splits["train"].sources.tolist() * 3
    head = train_head(longer, STRIPES, features)
    assert len(head.scores["test"].scores) == splits["test"].count
    assert "train" not in head.scores


# --- the network of block spectra ---


def test_a_head_learns_from_the_middle_features_of_block_spectra(splits, transform):
    inputs = InputParameters(representation="pixel", size=32)
    layers = LayerParameters(network="blocks")
    parameters = PARAMETERS.model_copy(update={"epochs": 4, "layers": layers})
    training = Training(splits, inputs, parameters)
    primary = train_primary(training, transform)
    assert primary.history.loss[-1] < primary.history.loss[0]
    features = extract_middle_features(primary.model, training, transform)
    assert features["eval"].shape[1:] == (4, 4, 64)
    head = train_head(training, STRIPES, features)
    assert head.history.loss[-1] < head.history.loss[0]
    is_source = splits["test"].sources == STRIPES
    scored = head.scores["test"]
    assert scored.scores[is_source].mean() > scored.scores[~is_source].mean() + 0.1


# --- distances ---


def test_a_head_knows_how_far_its_sources_images_are(splits, middle, tmp_path):
    parameters = PARAMETERS.model_copy(update={"distance": "mahalanobis", "distance_rejection": 0.5})
    head = train_head(Training(splits, INPUTS, parameters), STRIPES, middle[0])
    last = keras.Model(head.model.input, head.model.get_layer("aRelu_02").output)

    def averaged(name):
        own = splits[name].sources == STRIPES
        return last(middle[0][name][own]).numpy().mean(axis=(1, 2))

    expected = fit_distance(averaged("train"), averaged("eval"), 0.5)
    np.testing.assert_allclose(head.distance.mean, expected.mean, atol=1e-4)
    assert head.distance.limit == pytest.approx(expected.limit, rel=1e-2)
    artifacts.write_module(tmp_path / "head", head, STRIPES)
    assert artifacts.read_distance_of(tmp_path / "head").limit == head.distance.limit


def test_a_head_without_a_distance_leaves_none_behind(trained_head, tmp_path):
    artifacts.write_module(tmp_path, trained_head, STRIPES)
    assert trained_head.distance is None
    assert artifacts.read_distance_of(tmp_path) is None


def test_a_distance_without_eval_images_of_the_source_is_refused_before_training(splits, middle):
    others = splits["eval"].sources != STRIPES
    eval_split = dataclasses.replace(
        splits["eval"],
        **{name: getattr(splits["eval"], name)[others] for name in ("labels", "sources", "paths")},
    )
    features = {**middle[0], "eval": middle[0]["eval"][others]}
    parameters = PARAMETERS.model_copy(update={"distance": "mahalanobis"})
    with pytest.raises(ValueError, match="distance: needs images of"):
        train_head(Training({**splits, "eval": eval_split}, INPUTS, parameters), STRIPES, features)
