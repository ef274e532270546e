import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.heatmaps import contribution_map, spread_map
from components.models.parameters import LayerParameters
from components.models.primary import DECISION_LAYER, build_primary, detection_map, with_features
from serving.client.pictures import relative_values


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


# --- a decision on means and deviations ---


@pytest.fixture(scope="module")
def blocks():
    """A primary module of block spectra, the last features of three images, and their logits by the model's layers."""
    model = build_primary((64, 96, 3), True, LayerParameters(network="blocks"), seed=11)
    model.get_layer("dDecision").bias.assign([0.25])
    images = np.random.default_rng(12).uniform(-1, 1, (3, 64, 96, 3)).astype(np.float32)
    summary = keras.Model(model.input, model.get_layer("dRelu_08").output)(images)
    _, features, logits, _ = with_features(model)(images)
    return model, features, logits[:, 0], summary


def test_a_map_of_means_and_deviations_is_hirescam_by_the_gradient(blocks):
    model, features, logits, summary = blocks
    decision = model.get_layer(DECISION_LAYER)
    with tf.GradientTape() as tape:
        tape.watch(features)
        reduced = model.get_layer("dConcat")([model.get_layer("dMeanStd")(features), summary])
        again = (tf.matmul(reduced, tf.convert_to_tensor(decision.kernel)) + decision.bias)[:, 0]
    np.testing.assert_allclose(again, logits, rtol=1e-4, atol=1e-5)
    hirescam = tf.reduce_sum(tape.gradient(again, features) * features, axis=-1)
    heatmap = detection_map(model, features).numpy()
    assert heatmap.shape == (3, 4, 6)
    np.testing.assert_allclose(heatmap, hirescam * (4 * 6), rtol=1e-3, atol=1e-4)


def test_a_map_of_means_and_deviations_adds_up_to_what_places_contribute(blocks):
    model, features, logits, summary = blocks
    kernel = model.get_layer(DECISION_LAYER).kernel.numpy()
    placeless = (summary.numpy() @ kernel[2 * 96 :])[:, 0] + 0.25
    floor = (1e-4 / np.sqrt(np.var(features, axis=(1, 2)) + 1e-4)) @ kernel[96 : 2 * 96, 0]
    means = detection_map(model, features).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(means + floor + placeless, logits, rtol=1e-4, atol=1e-4)


def test_networks_that_average_keep_their_maps(model, features, heatmap):
    np.testing.assert_array_equal(detection_map(model, features), heatmap)


def test_a_kernel_without_weights_of_deviations_is_refused():
    with pytest.raises(ValueError, match="must have at least 64 rows for means and deviations of 32 channels"):
        spread_map(tf.zeros((2, 4, 4, 32)), tf.zeros((32, 1)))


# --- maps relative to their peaks, as pictures show them ---


def relative(maps):
    return np.stack([relative_values(one) for one in np.asarray(maps)])


def test_a_normalised_map_keeps_what_speaks_for_the_class_relative_to_its_greatest_value(heatmap):
    expected = np.maximum(heatmap, 0) / np.maximum(heatmap, 0).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(relative(heatmap), expected, rtol=1e-6)


def test_a_normalised_map_depends_on_its_own_image_alone_and_not_on_a_positive_factor(heatmap):
    stronger = np.concatenate([heatmap[1:2] * 1e-4, heatmap[:1] * 1e3])
    np.testing.assert_allclose(relative(stronger)[0], relative(heatmap)[1], rtol=1e-5)


def test_a_map_without_evidence_is_zero_and_not_undefined():
    maps = np.stack([np.zeros((2, 2), np.float32), -np.ones((2, 2), np.float32), np.eye(2, dtype=np.float32)])
    np.testing.assert_array_equal(relative(maps), [np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)])


# --- the published maps ---


@pytest.fixture(scope="module")
def golden_maps(shared_folder):
    return {file.stem: np.load(file) for file in sorted((shared_folder / "reference/golden/cam").glob("*.npz"))}


def test_all_published_class_activation_maps_follow_from_their_features_and_weights(golden_maps):
    """1e-6 of the greatest value: a sum of 32 float32 products in another order (measured: 1.6e-7)."""
    compared = []
    for name, golden in golden_maps.items():
        for model in [model for model in ("det", "att") if f"{model}_cam" in golden]:
            ours = contribution_map(tf.constant(golden[f"{model}_fmaps"]), tf.constant(golden[f"{model}_w"]))
            theirs = golden[f"{model}_cam"]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
            compared.append(f"{name}.{model}")
    assert {"primary_ganfp.det", "attribution_ganfp_progan.det", "attribution_ganfp_progan.att"} <= set(compared)


def test_all_published_spectral_maps_follow_from_their_features_and_gradients(golden_maps):
    """The published gradient is that of p = sigmoid(z): the decision's weights times dp/dz = p (1 - p), which differs
    from image to image. So maps of the logit z, times that factor and without what speaks against, are the published
    ones, and the factor cancels in the normalised map.

    1e-5 of each map's greatest value: sums of 32 float32 products that partly cancel, with weights that are had by
    dividing float32 gradients (equal over the images to 7e-8 of the greatest weight).
    """
    compared = []
    for name, golden in golden_maps.items():
        for model in [model for model in ("det", "att") if f"{model}_gradcam" in golden]:
            p = golden[model].astype(np.float64)
            factor = (p * (1 - p))[:, np.newaxis, np.newaxis]
            weights = golden[f"{model}_grads"] / factor[..., np.newaxis]
            kernel = weights.mean(axis=0)
            # One kernel for all images: nothing but the factor differs.
            np.testing.assert_allclose(weights - kernel, 0, atol=1e-6 * np.abs(kernel).max())
            features = tf.constant(golden[f"{model}_fmaps"])
            ours = contribution_map(features, tf.constant(kernel.reshape(-1, 1), tf.float32)).numpy()
            theirs = golden[f"{model}_gradcam_unnorm"]
            peaks = theirs.max(axis=(1, 2), keepdims=True)
            np.testing.assert_allclose(np.maximum(ours * factor, 0) / peaks, theirs / peaks, rtol=0, atol=1e-5)
            np.testing.assert_allclose(relative(ours), theirs / peaks, rtol=0, atol=1e-5)
            # Theirs is divided by the greatest value of the batch, so that a picture depends on its neighbours.
            np.testing.assert_allclose(golden[f"{model}_gradcam"], theirs / theirs.max(), rtol=0, atol=1e-6)
            compared.append(f"{name}.{model}")
    expected = {"primary_ganfp_dct_aug.det", "attribution_ganfp_progan_dct.det", "attribution_ganfp_progan_dct.att"}
    assert expected <= set(compared)


def test_every_golden_file_of_maps_is_compared(golden_maps):
    for name, golden in golden_maps.items():
        assert {"det_cam", "det_gradcam"} & set(golden), f"{name}: holds no map that the tests above compare"
    assert len(golden_maps) >= 4
