"""Losses and the optimizer of a step, against independent formulas."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import special

from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import Learner
from components.training.loop import train
from components.training.losses import cross_entropy
from components.training.parameters import TrainingParameters

RATE = 0.01


def normalised_classifier():
    inputs = keras.Input((3,))
    features = keras.layers.BatchNormalization()(keras.layers.Dense(4, bias_initializer="ones")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", bias_initializer="ones")(features))


def labelled(weight=1.0):
    points = np.random.default_rng(3).normal(size=(16, 3)).astype(np.float32)
    targets = (points[:, 0] > 0).astype(np.int32)
    return LabelledInputs(StoredInputs(points), targets, np.full(16, weight, np.float32))


def one_step(weight=1.0, **options):
    """Return the weights before and after one step, by the path of each."""
    model = normalised_classifier()
    model.set_weights([np.random.default_rng(4).uniform(0.5, 1.5, one.shape) for one in model.get_weights()])
    before = [np.array(one) for one in model.trainable_variables]
    parameters = TrainingParameters(epochs=1, batch_size=16, learning_rate=RATE, monitor="last", **options)
    train(Learner(model, parameters), labelled(weight), labelled())
    return list(zip(model.trainable_variables, before, strict=True))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_weight_decay_shrinks_kernels_and_nothing_else(precision):
    decay = 0.1
    # Images that weigh nothing give no gradient: what moves has decayed.
    for variable, before in one_step(weight=0.0, weight_decay=decay, precision=precision):
        share = 1.0 - RATE * decay if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable, before * share, rtol=1e-6, err_msg=variable.path)


def test_without_weight_decay_nothing_shrinks():
    for variable, before in one_step(weight=0.0):
        np.testing.assert_array_equal(variable, before, err_msg=variable.path)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothed_binary_cross_entropy_is_that_of_the_shares(smoothing):
    logits, targets = np.array([[-2.0], [0.5], [3.0]], np.float32), np.array([0, 1, 0], np.int32)
    shares = targets * (1 - smoothing) + smoothing / 2
    log_fake, log_real = special.log_expit(logits[:, 0]), special.log_expit(-logits[:, 0])
    expected = -(shares * log_fake + (1 - shares) * log_real)
    np.testing.assert_allclose(cross_entropy(targets, logits, smoothing), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothed_categorical_cross_entropy_is_that_of_the_shares(smoothing):
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    targets = np.array([0, 2, 1, 2], np.int32)
    shares = np.eye(3)[targets] * (1 - smoothing) + smoothing / 3
    expected = -(shares * special.log_softmax(logits, axis=1)).sum(axis=1)
    np.testing.assert_allclose(cross_entropy(targets, logits, smoothing), expected, rtol=1e-5)


def test_smoothing_is_part_of_the_training_loss_and_not_of_the_eval_split():
    losses = {}
    for smoothing in (0.0, 0.3):
        parameters = TrainingParameters(epochs=1, batch_size=16, learning_rate=1e-9, label_smoothing=smoothing)
        inputs = keras.Input((3,))
        unit = keras.layers.Dense(1, activation="sigmoid", kernel_initializer="ones")
        losses[smoothing] = train(Learner(keras.Model(inputs, unit(inputs)), parameters), labelled(), labelled())
    assert losses[0.3].loss[0] > losses[0.0].loss[0] + 0.01
    assert losses[0.3].val_loss == pytest.approx(losses[0.0].val_loss, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampling_power": 0.5}, "sampling_power: must be 0 unless sampling is 'sources', got 0.5"),
        ({"label_smoothing": 0.5}, "less than 0.5"),
        ({"weight_decay": -0.1}, "greater than or equal to 0"),
        ({"auxiliary": {"weight": 0.0}}, "greater than 0"),
        ({"auxiliary": {"kind": "contrastive"}}, "softmax"),
    ],
)
def test_parameters_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        TrainingParameters.model_validate(values)
