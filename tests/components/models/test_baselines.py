import numpy as np
import pytest

from components.models.gdaconv import build_gdaconv
from components.models.no_transfer import build_no_transfer
from components.models.parameters import PAPER_LAYERS, LayerParameters
from components.models.postpool import build_postpool

SHAPES = {"128 px": (128, 128, 3), "128 dct": (128, 128, 1), "256 px": (256, 256, 3), "256 dct": (256, 256, 1)}
DEFAULTS = LayerParameters()


def no_transfer(shape, classes, parameters=PAPER_LAYERS, seed=0):
    return build_no_transfer(shape, shape[2] == 3, classes, parameters, seed)


BUILDERS = {"gdaconv": build_gdaconv, "postpool": build_postpool, "no_transfer": no_transfer}
# Weights of the published implementation: model, classes -> one number for each of SHAPES.
PUBLISHED = {
    ("gdaconv", 1): (38885, 38831, 137189, 137135),
    ("gdaconv", 5): (169961, 169907, 661481, 661427),
    ("postpool", 1): (308513, 308441, 308513, 308441),
    ("postpool", 5): (309029, 308957, 309029, 308957),
    ("no_transfer", 5): (27393, 68139, 27393, 191019),
}


def count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def shapes(model) -> list[tuple]:
    return [(layer.name, tuple(layer.output.shape[1:])) for layer in model.layers]


@pytest.mark.parametrize("column", range(4), ids=SHAPES)
@pytest.mark.parametrize(("name", "classes"), PUBLISHED)
def test_a_baseline_has_the_published_number_of_weights(name, classes, column):
    model = BUILDERS[name](list(SHAPES.values())[column], classes, PAPER_LAYERS)
    total = PUBLISHED[name, classes][column]
    fixed = 208 if name == "no_transfer" else 0  # moving statistics; the other two have no batch normalisation
    assert (model.count_params(), count(model.non_trainable_weights)) == (total, fixed)
    assert model.output_shape == (None, classes)


def test_gdaconv_has_the_published_layers():
    assert shapes(build_gdaconv((128, 128, 1), 5, PAPER_LAYERS)) == [
        ("blInput", (128, 128, 1)),
        ("blConv_01", (128, 128, 3)),
        ("blRelu_01", (128, 128, 3)),
        ("blConv_02", (128, 128, 8)),
        ("blRelu_02", (128, 128, 8)),
        ("blAPool_02", (64, 64, 8)),
        ("blConv_03", (64, 64, 16)),
        ("blRelu_03", (64, 64, 16)),
        ("blAPool_03", (32, 32, 16)),
        ("blConv_04", (32, 32, 32)),
        ("blRelu_04", (32, 32, 32)),
        ("blFlatten", (32768,)),
        ("blDecision", (5,)),
    ]


def test_postpool_has_the_published_layers():
    model = build_postpool((128, 128, 3), 1, PAPER_LAYERS)
    assert shapes(model) == [
        ("blInput", (128, 128, 3)),
        ("blConv_01", (128, 128, 4)),
        ("blLRelu_01", (128, 128, 4)),
        ("blConv_02", (128, 128, 8)),
        ("blLRelu_02", (128, 128, 8)),
        ("blAPool_02", (64, 64, 8)),
        ("blConv_03", (64, 64, 8)),
        ("blLRelu_03", (64, 64, 8)),
        ("blConv_04", (64, 64, 16)),
        ("blLRelu_04", (64, 64, 16)),
        ("blAPool_04", (32, 32, 16)),
        ("blConv_05", (32, 32, 16)),
        ("blLRelu_05", (32, 32, 16)),
        ("blConv_06", (32, 32, 32)),
        ("blLRelu_06", (32, 32, 32)),
        ("blAPool_06", (16, 16, 32)),
        ("blAPool_07", (8, 8, 32)),
        ("blAPool_08", (4, 4, 32)),
        ("blConv_09", (4, 4, 128)),
        ("blLRelu_09", (4, 4, 128)),
        ("blFlatten", (2048,)),
        ("blDense_10", (128,)),
        ("blLRelu_10", (128,)),
        ("blDecision", (1,)),
    ]
    assert model.get_layer("blLRelu_01").negative_slope == pytest.approx(0.2)


def test_postpool_pools_once_more_at_256_px():
    names = [layer.name for layer in build_postpool((256, 256, 3), 1, PAPER_LAYERS).layers]
    assert [name for name in names if "APool" in name][-3:] == ["blAPool_07", "blAPool_08", "blAPool_09"]
    assert {"blConv_10", "blDense_11"} <= set(names)


@pytest.mark.parametrize(
    ("shape", "reduction"), [((128, 128, 3), ("aGAP", (32,))), ((128, 128, 1), ("aFlatten", (8192,)))]
)
def test_no_transfer_is_the_primary_module_with_a_decision_named_as_a_heads(shape, reduction):
    model = no_transfer(shape, 5)
    names = [layer.name for layer in model.layers]
    assert all(name.startswith("d") for name in names[:-2])
    assert names[0] == "dInput"
    assert names[-3] == "dRelu_06"
    assert shapes(model)[-2:] == [reduction, ("aDecision", (5,))]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("classes", [1, 3])
def test_one_class_is_a_sigmoid_and_several_are_a_softmax(name, classes):
    model = BUILDERS[name]((32, 32, 1), classes, DEFAULTS)
    inputs = np.random.default_rng(0).normal(size=(4, 32, 32, 1)).astype(np.float32)
    probabilities = model(inputs).numpy()
    assert probabilities.shape == (4, classes)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert model.layers[-1].activation.__name__ == ("sigmoid" if classes == 1 else "softmax")
    if classes > 1:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shape", [(36, 32, 1), (32, 20, 3), (4, 4, 1)])
def test_sizes_not_divisible_by_eight_are_refused(name, shape):
    with pytest.raises(ValueError, match="height and width must be divisible by 8") as error:
        BUILDERS[name](shape, 1, DEFAULTS)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("name", BUILDERS)
def test_less_than_one_class_is_refused(name):
    with pytest.raises(ValueError, match="classes: must be at least 1, got 0"):
        BUILDERS[name]((32, 32, 1), 0, DEFAULTS)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (24, 24, 1), (72, 72, 3), (136, 136, 1), (64, 96, 3)])
def test_any_other_size_divisible_by_eight_builds_and_answers(name, shape):
    model = BUILDERS[name](shape, 2, DEFAULTS)
    assert model(np.zeros((2, *shape), np.float32)).shape == (2, 2)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_seed_alone_decides_the_initial_weights_and_layers_start_different(name):
    first, again, other = (BUILDERS[name]((32, 32, 1), 2, DEFAULTS, seed) for seed in (3, 3, 4))
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [layer.kernel.numpy() for layer in first.layers if hasattr(layer, "kernel")]
    others = [layer.kernel.numpy() for layer in other.layers if hasattr(layer, "kernel")]
    assert not any(np.array_equal(one, two) for one, two in zip(kernels, others, strict=True))
    assert len({kernel.ravel()[:8].tobytes() for kernel in kernels}) == len(kernels)
