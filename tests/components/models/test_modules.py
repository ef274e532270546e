import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models import primary as primary_module
from components.models.parameters import PAPER_LAYERS, LayerParameters
from components.models.primary import build_primary
from components.models.secondary import build_secondary

# Input shape, pooled, total, trainable and non-trainable weights of the published models.
PRIMARIES = {
    "pixel 128": ((128, 128, 3), True, 27261, 27053, 208),
    "dct 128": ((128, 128, 1), False, 35367, 35159, 208),
    "pixel 256": ((256, 256, 3), True, 27261, 27053, 208),
    "dct 256": ((256, 256, 1), False, 59943, 59735, 208),
}
# The published attribution models hold primary module and head; a head is the difference.
HEADS = {
    "pixel 128": ((32, 32, 16), True, 48606 - 27261, 128),
    "dct 128": ((32, 32, 16), False, 64872 - 35367, 128),
    "pixel 256": ((64, 64, 16), True, 48606 - 27261, 128),
    "dct 256": ((64, 64, 16), False, 114024 - 59943, 128),
}
DEFAULTS = LayerParameters()


def count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    return {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}


def shapes(model: keras.Model) -> list[tuple]:
    return [(layer.name, tuple(layer.output.shape[1:])) for layer in model.layers]


@pytest.fixture(scope="module")
def random_inputs():
    return np.random.default_rng(0).normal(size=(3, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def primary():
    return build_primary((32, 32, 1), pooled=False, parameters=DEFAULTS, seed=5)


@pytest.fixture(scope="module")
def head():
    return build_secondary((8, 8, 16), pooled=False, parameters=DEFAULTS, seed=5)


@pytest.mark.parametrize("case", PRIMARIES)
def test_a_primary_module_has_the_published_numbers_of_weights(case):
    shape, pooled, total, trainable, fixed = PRIMARIES[case]
    model = build_primary(shape, pooled, PAPER_LAYERS)
    assert (model.count_params(), count(model.trainable_weights), count(model.non_trainable_weights)) == (
        total,
        trainable,
        fixed,
    )


@pytest.mark.parametrize("case", HEADS)
def test_a_head_has_the_published_number_of_weights(case):
    shape, pooled, total, fixed = HEADS[case]
    model = build_secondary(shape, pooled, PAPER_LAYERS)
    assert (model.count_params(), count(model.non_trainable_weights)) == (total, fixed)


def test_the_wide_network_keeps_the_resolutions_and_names_that_others_read():
    wide = build_primary((64, 64, 6), True, LayerParameters(network="wide"), 1)
    assert wide.get_layer(primary_module.MIDDLE_LAYER).output.shape == (None, 16, 16, 24)
    assert wide.get_layer(primary_module.LAST_LAYER).output.shape == (None, 8, 8, 32)
    head = build_secondary((16, 16, 24), True, DEFAULTS)
    assert head.output.shape == (None, 1)


def test_the_wide_network_sees_its_input_at_three_gains():
    wide = build_primary((16, 16, 2), True, LayerParameters(network="wide"), 1)
    seen = keras.Model(wide.input, wide.get_layer("dGains").output)
    inputs = np.random.default_rng(0).normal(size=(2, 16, 16, 2)).astype(np.float32)
    expected = np.concatenate([np.tanh(16 * inputs), np.tanh(4 * inputs), np.tanh(inputs)], axis=-1)
    np.testing.assert_allclose(seen(inputs), expected, atol=1e-5)


def test_the_primary_module_has_the_published_layers():
    assert shapes(build_primary((128, 128, 1), pooled=False, parameters=PAPER_LAYERS)) == [
        ("dInput", (128, 128, 1)),
        ("dConv_01", (128, 128, 3)),
        ("dRelu_01", (128, 128, 3)),
        ("dConv_02", (64, 64, 8)),
        ("dBNorm_02", (64, 64, 8)),
        ("dRelu_02", (64, 64, 8)),
        ("dConv_03", (64, 64, 16)),
        ("dBNorm_03", (64, 64, 16)),
        ("dRelu_03", (64, 64, 16)),
        ("dConv_04", (32, 32, 16)),
        ("dBNorm_04", (32, 32, 16)),
        ("dRelu_04", (32, 32, 16)),
        ("dConv_05", (32, 32, 32)),
        ("dBNorm_05", (32, 32, 32)),
        ("dRelu_05", (32, 32, 32)),
        ("dConv_06", (16, 16, 32)),
        ("dBNorm_06", (16, 16, 32)),
        ("dRelu_06", (16, 16, 32)),
        ("dFlatten", (8192,)),
        ("dDecision", (1,)),
    ]


def test_a_head_has_the_published_layers():
    assert shapes(build_secondary((32, 32, 16), pooled=True, parameters=PAPER_LAYERS)) == [
        ("aInput", (32, 32, 16)),
        ("aConv_01", (32, 32, 32)),
        ("aBNorm_01", (32, 32, 32)),
        ("aRelu_01", (32, 32, 32)),
        ("aConv_02", (16, 16, 32)),
        ("aBNorm_02", (16, 16, 32)),
        ("aRelu_02", (16, 16, 32)),
        ("aGAP", (32,)),
        ("aDecision", (1,)),
    ]


def test_kernel_sizes_and_batch_normalisation_are_the_published_ones():
    model = build_primary((128, 128, 3), pooled=True, parameters=PAPER_LAYERS)
    sizes = [model.get_layer(f"dConv_0{index}").kernel_size[0] for index in range(1, 7)]
    norms = [model.get_layer(f"dBNorm_0{index}") for index in range(2, 7)]
    assert sizes == [3, 4, 3, 4, 3, 4]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.99, 1e-3)}


@pytest.mark.parametrize("model", ["primary", "head"])
def test_a_module_answers_with_one_probability_an_image(model, request):
    module = request.getfixturevalue(model)
    inputs = np.random.default_rng(1).normal(size=(4, *module.input_shape[1:])).astype(np.float32)
    probabilities = module(inputs).numpy()
    assert probabilities.shape == (4, 1)
    assert ((probabilities > 0) & (probabilities < 1)).all()


@pytest.mark.parametrize("initialization", ["he", "paper"])
def test_equally_shaped_layers_start_different(initialization):
    layers = LayerParameters(initialization=initialization)
    starts = kernels(build_secondary((8, 8, 32), pooled=True, parameters=layers))
    primary_starts = kernels(build_primary((32, 32, 3), pooled=True, parameters=layers))
    # A head's aConv_02 has the shape of the primary module's dConv_06; with one shared seed they would start equal.
    assert starts["aConv_02"].shape == primary_starts["dConv_06"].shape
    assert not np.array_equal(starts["aConv_02"], primary_starts["dConv_06"])


def test_the_seed_alone_decides_the_initial_weights():
    first, again, other = (build_primary((32, 32, 1), False, DEFAULTS, seed) for seed in (3, 3, 4))
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(kernels(first)["dConv_04"], kernels(other)["dConv_04"])


def test_paper_initialisation_is_normal_with_deviation_two_hundredths_and_zero_biases():
    model = build_primary((128, 128, 1), pooled=False, parameters=PAPER_LAYERS, seed=1)
    for name in ("dConv_05", "dConv_06", "dDecision"):  # 4608, 16384 and 8192 draws: the deviation is known to 2 %
        assert np.std(kernels(model)[name]) == pytest.approx(0.02, rel=0.05), name
        assert np.mean(kernels(model)[name]) == pytest.approx(0.0, abs=0.002), name
        np.testing.assert_array_equal(model.get_layer(name).bias, 0.0)


def test_he_initialisation_scales_with_the_fan_in():
    start = kernels(build_primary((128, 128, 1), pooled=False, parameters=DEFAULTS, seed=1))["dConv_06"]
    assert np.std(start) == pytest.approx(np.sqrt(2.0 / (4 * 4 * 32)), rel=0.05)


@pytest.mark.parametrize("shape", [(36, 32, 1), (32, 20, 1), (31, 31, 3)])
def test_a_primary_module_refuses_sizes_that_cannot_be_halved_three_times(shape):
    with pytest.raises(ValueError, match="height and width must be divisible by 8") as error:
        build_primary(shape, pooled=False, parameters=DEFAULTS)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(7, 8, 16), (8, 9, 16)])
def test_a_head_refuses_odd_sizes(shape):
    with pytest.raises(ValueError, match="height and width must be even") as error:
        build_secondary(shape, pooled=False, parameters=DEFAULTS)
    assert str(shape) in str(error.value)


def test_primary_features_are_those_of_the_named_layers(primary, random_inputs):
    middle, last, logit, probability = primary_module.with_features(primary)(random_inputs)
    assert (middle.shape, last.shape) == ((3, 8, 8, 16), (3, 4, 4, 32))
    for features, layer in ((middle, "dRelu_04"), (last, "dRelu_06")):
        expected = keras.Model(primary.input, primary.get_layer(layer).output)(random_inputs)
        np.testing.assert_array_equal(features, expected)
    np.testing.assert_array_equal(probability, primary(random_inputs))
    np.testing.assert_allclose(tf.sigmoid(logit), probability, rtol=1e-6)


def test_the_view_with_features_shares_its_weights(primary):
    model = keras.models.clone_model(primary)
    inputs = np.random.default_rng(2).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    view = primary_module.with_features(model)
    before = view(inputs)[-1].numpy()
    model.get_layer("dConv_05").kernel.assign(model.get_layer("dConv_05").kernel * -1.0)
    after = view(inputs)[-1].numpy()
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, model(inputs))
