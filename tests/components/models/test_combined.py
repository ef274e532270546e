import keras
import numpy as np
import pytest

from components.models import primary as primary_module
from components.models.combined import build_combined, build_untrained, with_features
from components.models.parameters import PAPER_LAYERS, LayerParameters
from components.models.primary import build_primary
from components.models.secondary import build_secondary

DEFAULTS = LayerParameters()
SHAPES = {"128 px": (128, 128, 3), "128 dct": (128, 128, 1), "256 px": (256, 256, 3), "256 dct": (256, 256, 1)}
# Weights of the published implementation for each of SHAPES, by number of heads.
PUBLISHED = {
    1: (48606, 64872, 48606, 114024),
    3: (91296, 123882, 91296, 222186),
    4: (112641, 153387, 112641, 276267),
}
# Moving statistics: 208 in the primary module, 128 in each head.
NON_TRAINABLE = {1: 336, 3: 592, 4: 720}


def count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def unsettled(model: keras.Model, seed: int) -> keras.Model:
    """Gives a module weights and moving statistics that no initialiser gives, so that none can be mixed up."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        change = random.normal(0.0, 0.05, variable.shape)
        # Standard deviations must stay positive.
        variable.assign(variable + (np.abs(change) if "variance" in variable.name else change))
    return model


@pytest.fixture(params=[True, False], ids=["pooled", "flattened"])
def modules(request):
    pooled = request.param
    primary = unsettled(build_primary((32, 32, 1), pooled, DEFAULTS, seed=1), 1)
    heads = {
        name: unsettled(build_secondary((8, 8, 16), pooled, DEFAULTS, seed=number), number)
        for number, name in enumerate(("zeta_a", "alpha_b", "mid_c"), start=2)
    }
    return primary, heads


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, 32, 32, 1)).astype(np.float32)


@pytest.mark.parametrize("column", range(4), ids=SHAPES)
@pytest.mark.parametrize("heads", PUBLISHED)
def test_a_combined_model_has_the_published_number_of_weights(heads, column):
    shape = list(SHAPES.values())[column]
    model = build_untrained(shape, shape[2] == 3, heads, PAPER_LAYERS)
    total = PUBLISHED[heads][column]
    assert (model.count_params(), count(model.trainable_weights), count(model.non_trainable_weights)) == (
        total,
        total - NON_TRAINABLE[heads],
        NON_TRAINABLE[heads],
    )


def test_freezing_the_primary_module_leaves_the_heads_weights_to_train():
    primary = build_primary((128, 128, 3), True, PAPER_LAYERS)
    model = build_combined(primary, {"gan_a": build_secondary((32, 32, 16), True, PAPER_LAYERS)})
    assert count(model.trainable_weights) == 48270
    primary.trainable = False
    assert count(model.trainable_weights) == 21217


def test_one_head_has_the_layers_of_a_published_attribution_model():
    model = build_untrained((128, 128, 3), True, 1, PAPER_LAYERS)
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}
    assert len(shapes) == 28
    assert {name: shape for name, shape in shapes.items() if name.startswith("a")} == {
        "aConv_01": (32, 32, 32),
        "aBNorm_01": (32, 32, 32),
        "aRelu_01": (32, 32, 32),
        "aConv_02": (16, 16, 32),
        "aBNorm_02": (16, 16, 32),
        "aRelu_02": (16, 16, 32),
        "aGAP": (32,),
        "aDecision": (1,),
    }
    primary = build_primary((128, 128, 3), True, PAPER_LAYERS)
    assert {layer.name: tuple(layer.output.shape[1:]) for layer in primary.layers}.items() <= shapes.items()
    assert model.output_names == ["dDecision", "aDecision"]


def test_several_heads_are_numbered():
    model = build_untrained((32, 32, 1), False, 3, PAPER_LAYERS)
    assert model.output_names == ["dDecision", "a1Decision", "a2Decision", "a3Decision"]
    heads = [layer.name for layer in model.layers if layer.name.startswith("a")]
    parts = ("Conv_01", "BNorm_01", "Relu_01", "Conv_02", "BNorm_02", "Relu_02", "Flatten", "Decision")
    assert sorted(heads) == sorted(f"a{number}{part}" for number in (1, 2, 3) for part in parts)


@pytest.mark.parametrize("count_of_heads", [1, 3])
def test_outputs_equal_those_of_the_separate_models_in_the_order_given(modules, images, count_of_heads):
    primary, all_heads = modules
    heads = dict(list(all_heads.items())[:count_of_heads])
    detection, *attributions = build_combined(primary, heads)(images)
    middle, _, expected = primary_module.with_features(primary)(images)
    np.testing.assert_array_equal(detection, expected)
    assert len(attributions) == count_of_heads
    for attribution, head in zip(attributions, heads.values(), strict=True):
        np.testing.assert_array_equal(attribution, head(middle))
    assert len({attribution.numpy().tobytes() for attribution in attributions}) == count_of_heads


def test_the_primary_module_is_shared_and_heads_are_copied(modules, images):
    primary, heads = modules
    model = build_combined(primary, heads)
    before = [output.numpy() for output in model(images)]
    primary.get_layer("dDecision").bias.assign_add([0.25])
    heads["zeta_a"].get_layer("aDecision").bias.assign_add([0.25])
    after = [output.numpy() for output in model(images)]
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(after[0], primary(images))
    np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.parametrize("heads", [1, 2])
def test_the_view_with_features_gives_each_modules_last_features_after_its_probability(heads, images):
    model = build_untrained((32, 32, 1), False, heads, DEFAULTS)
    outputs = with_features(model)(images)
    layers = ["dRelu_06", *(["aRelu_02"] if heads == 1 else ["a1Relu_02", "a2Relu_02"])]
    assert len(outputs) == 2 * len(layers)
    for number, (probability, layer) in enumerate(zip(model(images), layers, strict=True)):
        np.testing.assert_array_equal(outputs[2 * number], probability)
        expected = keras.Model(model.input, model.get_layer(layer).output)(images)
        assert expected.shape == (3, 4, 4, 32)
        np.testing.assert_array_equal(outputs[2 * number + 1], expected)


def test_a_combined_model_survives_saving(modules, images, tmp_path):
    primary, heads = modules
    model = build_combined(primary, heads)
    model.save(tmp_path / "model.keras")
    for one, two in zip(keras.models.load_model(tmp_path / "model.keras")(images), model(images), strict=True):
        np.testing.assert_array_equal(one, two)


def test_no_two_layers_of_an_untrained_model_start_equal():
    model = build_untrained((32, 32, 3), True, 4, PAPER_LAYERS)
    starts = [layer.kernel.numpy().ravel()[:8].tobytes() for layer in model.layers if hasattr(layer, "kernel")]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("heads", [0, -1])
def test_a_combined_model_needs_a_head(heads):
    with pytest.raises(ValueError, match="heads: must hold at least one head"):
        build_untrained((32, 32, 1), False, heads, DEFAULTS)


def test_a_head_for_another_size_is_refused_by_name():
    primary = build_primary((32, 32, 1), False, DEFAULTS)
    heads = {
        "gan_a": build_secondary((8, 8, 16), False, DEFAULTS),
        "gan_b": build_secondary((32, 32, 16), False, DEFAULTS),
    }
    with pytest.raises(ValueError, match=r"'gan_b' must read .*\(8, 8, 16\), got a head for \(32, 32, 16\)"):
        build_combined(primary, heads)


@pytest.mark.parametrize("shape", [(36, 32, 1), (32, 20, 3)])
def test_sizes_not_divisible_by_eight_are_refused(shape):
    with pytest.raises(ValueError, match="height and width must be divisible by 8"):
        build_untrained(shape, False, 2, DEFAULTS)


@pytest.mark.parametrize("shape", [(8, 8, 1), (24, 24, 3), (72, 72, 1), (64, 96, 3)])
def test_any_other_size_divisible_by_eight_builds_and_answers(shape):
    outputs = build_untrained(shape, shape[2] == 3, 2, DEFAULTS)(np.zeros((2, *shape), np.float32))
    assert [tuple(output.shape) for output in outputs] == [(2, 1)] * 3
