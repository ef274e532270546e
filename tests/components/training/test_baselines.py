"""Training of the baselines, and what a softmax is judged by."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.features.parameters import InputParameters
from components.training.baselines import Baseline, train_baseline
from components.training.examples import image_bytes
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import Learner
from components.training.loop import train
from components.training.parameters import BaselineParameters, TrainingParameters
from components.training.targets import class_targets
from components.training.training import Training
from tests.support.images import REAL, SMOOTH, STRIPES
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
TRAINING = TrainingParameters(epochs=2, batch_size=16, learning_rate=3e-3, seed=4)


def train_on(splits, architecture, task, **classes):
    baseline = Baseline(architecture, task, **classes)
    return train_baseline(Training(splits, INPUTS, TRAINING), baseline, FixedTransform())


@pytest.mark.parametrize("architecture", ["gdaconv", "postpool"])
def test_a_detection_baseline_tells_real_from_fake(splits, architecture):
    trained = train_on(splits, architecture, "detection")
    assert trained.model.name == architecture
    assert (trained.classes, trained.images_left_out) == ((), {})
    np.testing.assert_array_equal(trained.scores["test"].labels, splits["test"].labels)
    assert trained.scores["test"].scores.shape == (splits["test"].count,)


def test_an_attribution_baseline_tells_one_source_from_everything_else(splits):
    trained = train_on(splits, "notl", "attribution", source=STRIPES)
    assert trained.model.name == "no_transfer"
    np.testing.assert_array_equal(trained.scores["eval"].labels, splits["eval"].sources == STRIPES)


def test_an_attribution_baseline_at_architecture_level_learns_all_sources_of_its_architecture(splits):
    trained = train_on(splits, "notl", "attribution", source="stripes", level="architecture")
    np.testing.assert_array_equal(trained.scores["eval"].labels, splits["eval"].sources == STRIPES)


def test_a_multiclass_baseline_scores_every_class(splits):
    trained = train_on(splits, "gdaconv", "multiclass", sources=(STRIPES, SMOOTH))
    scored = trained.scores["test"]
    assert trained.classes == ("real", STRIPES, SMOOTH)
    assert scored.scores.shape == (24, 3)
    assert scored.scores.dtype == np.float32
    np.testing.assert_allclose(scored.scores.sum(axis=1), 1.0, rtol=1e-5)
    expected = {REAL: 0, STRIPES: 1, SMOOTH: 2}
    assert scored.labels.tolist() == [expected[source] for source in scored.sources]
    assert trained.images_left_out == {"train": 0, "eval": 0, "test": 0}
    assert trained.operating_point.rule == "argmax"


def test_generators_that_are_no_class_are_left_out_and_counted(splits):
    trained = train_on(splits, "gdaconv", "multiclass", sources=(SMOOTH,))
    assert trained.images_left_out == {"train": 24, "eval": 9, "test": 8}
    scored = trained.scores["test"]
    assert set(scored.sources.tolist()) == {REAL, SMOOTH}
    images = list(image_bytes(splits["test"]).as_numpy_iterator())
    expected = trained.model(FixedTransform()(tf.constant(images))["dct"])
    kept = splits["test"].sources != STRIPES
    np.testing.assert_allclose(scored.scores, np.asarray(expected)[kept], atol=1e-5)
    np.testing.assert_array_equal(scored.paths, splits["test"].paths[kept])


def test_classes_may_be_generator_architectures(splits):
    targets = class_targets(("stripes", "smooth"), splits, "architecture")
    np.testing.assert_array_equal(targets["eval"], class_targets((STRIPES, SMOOTH), splits, "instance")["eval"])


@pytest.mark.parametrize("sources", [(), ("real", SMOOTH)])
def test_a_softmax_without_a_source_or_with_one_named_real_is_refused(splits, sources):
    with pytest.raises(ValueError, match="sources: a softmax needs 'real' and at least one source of another name"):
        class_targets(sources, splits, "instance")


def test_a_class_without_a_training_image_is_refused_by_name(splits):
    with pytest.raises(ValueError, match="split 'train': holds no image of absent_x"):
        train_on(splits, "gdaconv", "multiclass", sources=(SMOOTH, "absent_x"))


def test_a_network_without_transfer_does_not_detect():
    with pytest.raises(ValidationError, match="it is the primary module itself"):
        BaselineParameters(architecture="notl", task="detection")


def softmax_model():
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", kernel_initializer="zeros")(inputs))


def test_a_softmax_is_trained_on_categorical_cross_entropy_and_judged_by_the_mean_area_of_one_against_the_rest():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(120, 2)).astype(np.float32)
    targets = np.argmax(np.stack([points[:, 0], points[:, 1], -points.sum(axis=1)]), axis=0).astype(np.int32)
    weights = np.where(targets == 1, 2.0, 0.5).astype(np.float32)
    model = softmax_model()
    labelled = LabelledInputs(StoredInputs(points), targets, weights)
    history = train(Learner(model, TrainingParameters(epochs=1, learning_rate=0.05)), labelled, labelled)
    probabilities = np.asarray(model(points), np.float64)
    expected = -np.mean(weights * np.log(probabilities[np.arange(120), targets]))
    assert history.val_loss[0] == pytest.approx(expected, rel=1e-4)
    areas = []
    for number in range(3):
        mine, others = probabilities[targets == number, number], probabilities[targets != number, number]
        areas.append(np.mean(mine[:, np.newaxis] > others) + 0.5 * np.mean(mine[:, np.newaxis] == others))
    assert history.val_roc_auc[0] == pytest.approx(np.mean(areas), abs=1e-3)
    assert history.loss[0] == pytest.approx(np.mean(weights) * np.log(3), rel=0.2)  # of zero weights: log 3 an image


def test_classes_that_an_eval_split_lacks_have_no_part_in_the_area():
    points = np.array([[0.0, 1.0], [1.0, 0.0]] * 4, np.float32)
    targets = np.array([0, 1] * 4, np.int32)
    labelled = LabelledInputs(StoredInputs(points), targets, np.ones(8, np.float32))
    history = train(Learner(softmax_model(), TrainingParameters(epochs=1, learning_rate=0.05)), labelled, labelled)
    assert history.val_roc_auc == [1.0]
