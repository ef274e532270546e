"""A training view computes what Keras computes on the same weights: outputs, gradients, moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.parameters import LayerParameters
from components.models.postpool import build_postpool
from components.models.primary import build_primary
from components.models.secondary import build_secondary
from components.models.training_view import training_view

LAYERS = LayerParameters()
MODELS = {
    "pixel": lambda: build_primary((32, 32, 3), True, LAYERS, 1),
    "dct": lambda: build_primary((40, 32, 1), False, LAYERS, 1),
    "residual": lambda: build_primary((32, 32, 6), True, LayerParameters(network="wide"), 1),
    "blocks": lambda: build_primary((64, 48, 3), True, LayerParameters(network="blocks"), 1),
    "head": lambda: build_secondary((8, 8, 16), True, LAYERS, 1),
    "postpool": lambda: build_postpool((32, 32, 3), 1, LAYERS, 1),
}
# Relative, by the norm of an array. Gradients: in float32 a few places behind a ReLU round to either side of
# zero; against the same network in float64, Keras and the view are equally far off.
CLOSE, GRADIENTS_CLOSE = 2e-5, 2e-3


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def taught(model, network):
    """Outputs, gradients and weights after one pass in training mode; leaves the model as it was."""
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(16, *model.input_shape[1:])).astype(np.float32)
    targets = draw.integers(0, 2, (16, 1)).astype(np.float32)
    before = model.get_weights()
    with tf.GradientTape() as tape:
        outputs = network(inputs, training=True)
        loss = tf.reduce_mean(keras.losses.binary_crossentropy(targets, outputs))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    after = model.get_weights()
    model.set_weights(before)
    return {
        "output": outputs,
        **{f"gradient of {v.path}": one for v, one in zip(model.trainable_variables, gradients, strict=True)},
        **{variable.path: one for variable, one in zip(model.weights, after, strict=True)},
    }


def test_a_view_computes_what_keras_does(model):
    ours, theirs = taught(model, training_view(model)), taught(model, model)
    assert ours.keys() == theirs.keys()
    for name, other in theirs.items():
        close = GRADIENTS_CLOSE if "gradient" in name else CLOSE
        difference = np.linalg.norm(ours[name] - np.asarray(other))
        # Normalisation undoes the bias before it: that gradient is zero but for rounding. So are means of what a
        # convolution makes of normalised channels.
        assert difference <= close * np.linalg.norm(other) + 5e-6, name


@pytest.mark.parametrize("channels", [1, 3])
def test_the_input_gradient_of_a_strided_convolution_is_that_of_keras(channels):
    inputs = keras.Input((12, 20, channels))
    hidden = keras.layers.ReLU()(inputs)
    outputs = keras.layers.Conv2D(5, 4, strides=2, padding="same")(hidden)
    model = keras.Model(inputs, outputs)
    view = training_view(model)
    assert type(view.layers[-1]) is not type(model.layers[-1])
    images = tf.random.stateless_uniform((2, 12, 20, channels), (1, 2))
    gradients = []
    for network in (model, view):
        with tf.GradientTape() as tape:
            tape.watch(images)
            squares = tf.reduce_sum(network(images, training=True) ** 2)
        gradients.append(tape.gradient(squares, images))
    np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-5)


def test_a_view_leaves_the_model_as_it_is(model):
    before = model.to_json()
    training_view(model, "bfloat16")
    assert model.to_json() == before
    fixed = ("batches", "basis")  # a counter, and what is rounded on purpose
    assert {variable.dtype for variable in model.weights if variable.name not in fixed} == {"float32"}


def test_blocks_in_bfloat16_are_close_to_float32():
    model = MODELS["blocks"]()
    view = training_view(model, "bfloat16")
    kinds = {layer.name: layer.compute_dtype for layer in view.layers}
    exact = ("Spectra", "Log", "Project", "BNorm", "Summary", "MeanStd", "Dense", "Concat", "Dropout", "Decision")
    assert {kind for name, kind in kinds.items() if any(word in name for word in exact)} == {"float32"}
    assert {kind for name, kind in kinds.items() if any(word in name for word in ("Conv", "Add"))} == {"bfloat16"}
    ours, theirs = taught(model, view), taught(model, model)
    assert 0 < np.max(np.abs(ours["output"] - theirs["output"])) < 0.02
    for name in (name for name in theirs if "gradient" in name and "kernel" in name):
        difference = np.linalg.norm(ours[name] - np.asarray(theirs[name]))
        # Rounded to 8 bits, forwards and backwards, and places near zero on the other side of a ReLU: measured 0.16.
        assert difference < 0.25 * np.linalg.norm(theirs[name]), name


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_convolutions_compute_in_the_precision_asked_for_and_gradients_stay_float32(precision):
    model = MODELS["pixel"]()
    view = training_view(model, precision)
    kinds = {layer.name: layer.compute_dtype for layer in view.layers}
    assert {kind for name, kind in kinds.items() if "Conv" in name or "Relu" in name} == {precision}
    assert {kind for name, kind in kinds.items() if "BNorm" in name or "Decision" in name} == {"float32"}
    rounded = taught(model, view)
    assert {np.asarray(value).dtype for value in rounded.values()} == {np.dtype(np.float32)}
    difference = np.max(np.abs(rounded["output"] - taught(model, model)["output"]))
    assert 0 < difference < 0.02  # rounded to 8 (bfloat16) or 11 bits, six times


def test_synchronised_batch_normalisation_is_left_to_keras():
    model = MODELS["pixel"]()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    kept = [layer for layer in training_view(model).layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(kept) == 5
