"""A network that averages over places: the same weights for windows and for whole images."""

import keras
import numpy as np

from components.models.any_size import of_any_size
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.models.training_view import training_view

WIDE = LayerParameters(network="wide")


def test_a_view_of_any_size_is_the_model_built_at_that_size():
    whole, small = (build_primary((size, size, 6), True, WIDE, seed=3) for size in (64, 32))
    small.set_weights(whole.get_weights())
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 6)).astype(np.float32)
    np.testing.assert_allclose(of_any_size(whole)(images), small(images), atol=1e-6)
    assert whole.input_shape == (None, 64, 64, 6)


def test_a_step_on_windows_teaches_blocks_of_whole_images():
    layers = LayerParameters(network="blocks")
    whole, small = (build_primary((*size, 3), True, layers, seed=3) for size in ((96, 96), (64, 40)))
    images = np.random.default_rng(0).uniform(-1, 1, (8, 64, 40, 3)).astype(np.float32)
    features = [keras.Model(model.input, model.get_layer("dDropout").output) for model in (whole, small)]
    view = training_view(features[0])
    np.testing.assert_allclose(view(images, training=True), features[1](images, training=True), atol=1e-3)
    for ours, theirs in zip(whole.weights, small.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_step_on_windows_teaches_the_model_of_whole_images():
    whole = build_primary((64, 64, 6), True, WIDE, seed=3)
    small = build_primary((32, 32, 6), True, WIDE, seed=3)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 6)).astype(np.float32)
    view = training_view(keras.Model(whole.input, whole.get_layer("dGAP").output))
    np.testing.assert_allclose(
        view(images, training=True),
        keras.Model(small.input, small.get_layer("dGAP").output)(images, training=True),
        atol=2e-5,
    )
    for ours, theirs in zip(whole.weights, small.weights, strict=True):  # the moving statistics moved alike
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
