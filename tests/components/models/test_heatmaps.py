import numpy as np
import pytest
import tensorflow as tf

from components.models.heatmaps import contribution_map
from components.models.parameters import LayerParameters
from components.models.primary import build_primary, with_features


@pytest.fixture(scope="module", params=[True, False], ids=["averaged", "flattened"])
def pooled(request):
    return request.param


@pytest.fixture(scope="module")
def model(pooled):
    model = build_primary((32, 32, 3), pooled, LayerParameters(), seed=11)
    model.get_layer("dDecision").bias.assign([0.25])
    return model


@pytest.fixture(scope="module")
def features(model):
    images = np.random.default_rng(12).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    return with_features(model)(images)[1]


@pytest.fixture(scope="module")
def heatmap(model, features):
    return contribution_map(features, tf.convert_to_tensor(model.get_layer("dDecision").kernel)).numpy()


def logits_of(model, features, pooled):
    """The logit as the model computes it, from its last features on."""
    probability = model.get_layer("dDecision")(model.get_layer("dGAP" if pooled else "dFlatten")(features))[:, 0]
    return tf.math.log(probability) - tf.math.log1p(-probability)


def test_a_map_has_the_resolution_of_the_last_features(heatmap):
    assert heatmap.shape == (3, 4, 4)


def test_a_map_and_the_bias_add_up_to_the_logit(model, features, heatmap, pooled):
    reduced = heatmap.mean(axis=(1, 2)) if pooled else heatmap.sum(axis=(1, 2))
    np.testing.assert_allclose(reduced + 0.25, logits_of(model, features, pooled), rtol=1e-4, atol=1e-5)


def test_a_map_is_hirescam_by_the_gradient(model, features, heatmap, pooled):
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = logits_of(model, features, pooled)
    hirescam = tf.reduce_sum(tape.gradient(logits, features) * features, axis=-1)
    # The mean over 4 x 4 places divides the gradient by 16; the class activation map leaves that factor out.
    np.testing.assert_allclose(heatmap, hirescam * (16 if pooled else 1), rtol=1e-4, atol=1e-5)


def test_a_map_depends_on_its_own_image_alone(model, features, heatmap):
    kernel = tf.convert_to_tensor(model.get_layer("dDecision").kernel)
    np.testing.assert_allclose(contribution_map(features[1:2], kernel)[0], heatmap[1], rtol=1e-5, atol=1e-6)


def test_a_kernel_that_fits_neither_reduction_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"must have 32 rows \(averaged\) or 512 \(flattened\)"):
        contribution_map(tf.zeros((2, 4, 4, 32)), tf.zeros((31, 1)))
