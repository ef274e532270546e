"""The network of block spectra: weights, shapes, any size, and a saved model that answers the same."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.metrics.operating_point import OperatingPoint
from components.models import primary as primary_module
from components.models.any_size import of_any_size
from components.models.no_transfer import build_no_transfer
from components.models.parameters import LayerParameters
from components.models.primary import build_primary, with_features
from components.models.secondary import build_secondary
from components.training import artifacts
from components.training.history import History
from components.training.trained import TrainedModule

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = LayerParameters(network="blocks")


def build(height=64, width=64, seed=1):
    return build_primary((height, width, 3), True, BLOCKS, seed)


def images(height=64, width=64, count=3):
    return np.random.default_rng(0).uniform(-1, 1, (count, height, width, 3)).astype(np.float32)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_the_number_of_weights():
    model = build()
    # Scale and shift of each normalised channel, and its moving statistics.
    channels = 3 * 64 + 2 * 96 + 40
    kernels = 384 * 64 + 2 * 9 * 64 * 64 + 9 * 64 * 96 + 9 * 96 * 96 + 256 * 40 + (2 * 96 + 40 + 1)
    assert count(model.trainable_weights) == kernels + 2 * channels == 247_865
    # Cosines, colour transform and counter; mean and basis of both projections.
    fixed = 64 * 64 + 9 + 1 + 384 + 384 * 384 + 3 * 384 + 3 * 384 * 256
    assert count(model.non_trainable_weights) == fixed + 2 * channels


def test_the_network_keeps_the_names_that_others_read():
    model = build(128, 192)
    assert model.get_layer(primary_module.MIDDLE_LAYER).output.shape == (None, 16, 24, 64)
    assert model.get_layer(primary_module.LAST_LAYER).output.shape == (None, 8, 12, 96)
    assert model.layers[-1].name == primary_module.DECISION_LAYER
    assert model.output_shape == (None, 1)


def test_an_untrained_residual_unit_adds_half_of_its_normalised_convolution():
    model = build()
    parts = [model.get_layer(name).output for name in ("dRelu_02", "dConv_03", "dRelu_03")]
    before, convolved, after = (np.asarray(part) for part in keras.Model(model.input, parts)(images()))
    # Untrained moving statistics are mean 0 and variance 1.
    expected = np.maximum(before + 0.5 * convolved / np.sqrt(1.0 + 1e-3), 0.0)
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-5)


def test_the_seed_alone_decides_the_initial_weights():
    for one, two in zip(build(seed=3).get_weights(), build(seed=3).get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    first, other = build(seed=3), build(seed=4)
    kernels = [model.get_layer("dConv_03").kernel.numpy() for model in (first, other)]
    assert not np.array_equal(*kernels)
    assert not np.array_equal(kernels[0], first.get_layer("dConv_04").kernel.numpy())


@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 88), (40, 200)])
def test_a_view_of_any_size_is_the_model_built_at_that_size(height, width):
    whole, other = build(128, 128), build(height, width, seed=2)
    other.set_weights(whole.get_weights())
    inputs = images(height, width)
    np.testing.assert_allclose(of_any_size(whole)(inputs), other(inputs), atol=1e-6)
    view = of_any_size(with_features(whole))
    for ours, theirs in zip(view(inputs), with_features(other)(inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_view_with_features_gives_the_logit_of_the_probability():
    model = build()
    _, _, logit, probability = with_features(model)(images())
    assert logit.shape == probability.shape == (3, 1)
    np.testing.assert_array_equal(probability, model(images()))
    np.testing.assert_allclose(tf.sigmoid(logit), probability, rtol=1e-6)


def test_a_saved_model_answers_the_same(tmp_path):
    model = build()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.random.default_rng(1).normal(0, 0.5, layer.moving_mean.shape))
    artifacts.write_module(tmp_path, TrainedModule(model, OperatingPoint(0.5, "fixed", ""), History(), {}, 0.0))
    reloaded = artifacts.read_model(tmp_path)
    assert [layer.name for layer in reloaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(reloaded(images()), model(images()))


def test_a_process_that_built_no_network_reads_a_saved_model(tmp_path):
    model = build()
    artifacts.write_module(tmp_path, TrainedModule(model, OperatingPoint(0.5, "fixed", ""), History(), {}, 0.0))
    code = (
        "import sys, pathlib\n"
        "from components.training.artifacts import read_model\n"
        "print(read_model(pathlib.Path(sys.argv[1])).count_params())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == model.count_params()


def test_a_copy_by_its_configuration_has_the_same_layers():
    model = build()
    copy = keras.Model.from_config(model.get_config())
    assert copy.to_json() == model.to_json()


def test_an_image_alone_is_answered_as_among_others():
    model, inputs = build(), images(count=5)
    np.testing.assert_allclose(model(inputs[2:3]), model(inputs)[2:3], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "pooled", "got"),
    [((64, 64, 6), True, "6 of places"), ((64, 64, 1), True, "1 of places"), ((64, 64, 3), False, "3 of frequencies")],
)
def test_inputs_that_are_no_colour_pixels_are_refused(shape, pooled, got):
    with pytest.raises(ValueError, match=rf"network: 'blocks' must read colour pixels.* got {got}.*Set input") as error:
        build_primary(shape, pooled, BLOCKS)
    assert "representation: pixel" in str(error.value)


def test_the_variant_without_transfer_decides_on_all_that_the_primary_module_reads():
    model = build_no_transfer((64, 64, 3), True, 4, BLOCKS)
    assert model.output_shape == (None, 4)
    assert model.layers[-1].kernel.shape == (2 * 96 + 40, 4)


@pytest.mark.parametrize("places", [(8, 8), (9, 11)])
def test_a_head_reads_middle_features_of_any_number_of_places(places):
    head = build_secondary((*places, 64), True, LayerParameters())
    assert head.get_layer("aRelu_02").output.shape[1:3] == tuple(-(-count // 2) for count in places)
