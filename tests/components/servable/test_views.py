"""Servables that judge images of any size, reloaded, against a plain loop over windows."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.features.parameters import SMALLEST_SIDE, InputParameters
from components.features.preprocessing import features_without_statistics
from components.features.views import grid
from components.models.any_size import of_any_size
from components.models.parameters import LayerParameters
from components.models.primary import MIDDLE_LAYER, build_primary
from components.models.secondary import build_secondary
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from components.servable.stitching import SIDE
from serving import contract
from serving.servable.acceptance import Acceptance
from tests.support.transforms import FixedTransform

SIZE, MOST = 96, 4
SHAPES = ((96, 96), (64, 80), (250, 100), (400, 500), (96, 97), (71, 90), (70, 300))


def encoded(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), pixels


def models(sources, representation):
    inputs = InputParameters(representation=representation, size=SIZE, views=MOST)
    layers = LayerParameters(network={"residual": "wide", "pixel": "blocks"}[representation])
    primary = build_primary(inputs.shape, True, layers, seed=1)
    shape = primary.get_layer(MIDDLE_LAYER).output.shape[1:]
    heads = {name: build_secondary(shape, True, layers, seed=seed) for seed, name in enumerate(sources, 2)}
    for model in (primary, *heads.values()):  # answers that differ, but are not all 0 or 1
        scale = 3.0 if representation == "residual" else 0.05 if model is not primary else 1.0
        model.layers[-1].kernel.assign(model.layers[-1].kernel * scale)
    return inputs, primary, heads


def export(folder, sources=("gan_a", "gan_b"), representation="residual", points=None):
    inputs, primary, heads = models(sources, representation)
    points = points or OperatingPoints(0.5, dict.fromkeys(heads, 0.5))
    export_servable(folder, AttributionModule(FixedTransform(SIZE), inputs, primary, heads, points))
    return primary, heads


@pytest.fixture(scope="module", params=["residual", "pixel"])
def servable(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("views") / "1"
    primary, heads = export(folder, representation=request.param)
    return tf.saved_model.load(str(folder)), primary, heads


def asked(servable, *images, signature=contract.SIGNATURE_DEFAULT):
    return servable[0].signatures[signature](image_bytes=tf.constant(list(images), tf.string))


def windows_of(pixels):
    """Windows at native resolution; of an image that is smaller, as much as is a multiple of 8."""
    height, width = pixels.shape[:2]
    tall, wide = (SIZE if side >= SIZE else side // 8 * 8 for side in (height, width))

    def along(side, count):
        room = max(side - SIZE, 0)
        exact = [room // 2] if count == 1 else [number * room // (count - 1) for number in range(count)]
        return [start // 8 * 8 for start in exact]

    down, across = grid(height, width, SIZE, MOST)
    return np.stack(
        [pixels[top : top + tall, left : left + wide] for top in along(height, down) for left in along(width, across)]
    )


def logit(probability):
    probability = np.asarray(probability, np.float64)
    return np.log(probability) - np.log1p(-probability)


def by_hand(primary, heads, pixels):
    representation = "pixel" if primary.input_shape[-1] == 3 else "residual"
    seen = features_without_statistics(tf.constant(windows_of(pixels)), representation, "rgb")
    middle = of_any_size(keras.Model(primary.input, primary.get_layer(MIDDLE_LAYER).output))(seen)
    fake = of_any_size(primary)(seen)[:, 0]
    logits = [logit(fake), *(logit(of_any_size(head)(middle)[:, 0]) for head in heads.values())]
    return [1 / (1 + np.exp(-one.mean())) for one in logits]


def test_logits_of_all_windows_are_averaged(servable):
    pairs = [encoded(*shape, seed) for seed, shape in enumerate(SHAPES)]
    answers = asked(servable, *(data for data, _ in pairs))
    found = np.column_stack([answers["fake_probability"], answers["source_probabilities"]])
    expected = [by_hand(*servable[1:], pixels) for _, pixels in pairs]
    assert np.std(expected, axis=0).min() > 1e-4
    assert 0.001 < np.min(expected) < np.max(expected) < 0.999
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("score", ["max_logit", "energy"])
def test_the_acceptance_score_is_that_of_averaged_logits(score, tmp_path):
    """The threshold lies between the scores of two images, computed window by window."""
    pairs = [encoded(*shape, seed) for seed, shape in enumerate(SHAPES)]
    _, primary, heads = models(("gan_a", "gan_b"), "residual")
    logits = logit([by_hand(primary, heads, pixels)[1:] for _, pixels in pairs])
    scores = logits.max(axis=1) if score == "max_logit" else np.log(np.exp(logits).sum(axis=1))
    ordered = np.sort(scores)
    cut = int(np.argmax(np.diff(ordered)))
    assert np.diff(ordered)[cut] > 1e-3
    acceptance = Acceptance(score, float(ordered[cut : cut + 2].mean()), 0.05)
    # Whatever a probability, each image is fake and every head claims it.
    export(tmp_path / "1", points=OperatingPoints(0.0, {"gan_a": 0.0, "gan_b": 0.0}, acceptance=acceptance))
    answers = asked([tf.saved_model.load(str(tmp_path / "1"))], *(data for data, _ in pairs))
    unknown = answers["verdict"].numpy() == b"unknown_generator"
    np.testing.assert_array_equal(unknown, scores < acceptance.threshold)
    assert unknown.any() and not unknown.all()


def test_an_image_is_judged_alike_alone_and_in_company(servable):
    images = [encoded(*shape, seed)[0] for seed, shape in enumerate(SHAPES)]
    together = asked(servable, *images)["fake_probability"].numpy()
    alone = [asked(servable, image)["fake_probability"].numpy()[0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_more_windows_than_one_pass_takes(servable):
    images = [encoded(400, 500, seed)[0] for seed in range(11)]  # 44 windows
    together = asked(servable, *images)["fake_probability"].numpy()
    np.testing.assert_allclose(together[-1:], asked(servable, images[-1])["fake_probability"], atol=1e-6)


def test_heatmaps_cover_the_whole_image(servable):
    images = [encoded(*shape, seed)[0] for seed, shape in enumerate(SHAPES)]
    answers = asked(servable, *images, signature=contract.SIGNATURE_EXPLAIN)
    assert answers["detection_heatmap"].shape == (len(SHAPES), SIDE, SIDE)
    assert answers["source_heatmaps"].shape == (len(SHAPES), 2, SIDE, SIDE)
    if servable[1].input_shape[-1] == 3:
        return  # what deviations contribute is linearised: the map does not add up to the logit
    # Of an image of the window's size every place is seen once: the mean of the map and the bias are the logit.
    bias = float(servable[1].layers[-1].bias.numpy()[0])
    expected = logit(answers["fake_probability"][0]) - bias
    assert answers["detection_heatmap"][0].numpy().mean() == pytest.approx(expected, abs=0.02 * abs(expected) + 1e-3)


def test_an_empty_batch_gets_empty_answers(servable):
    answers = asked(servable, signature=contract.SIGNATURE_EXPLAIN)
    assert answers["verdict"].shape == (0,)
    assert answers["source_probabilities"].shape == (0, 2)


def test_what_is_below_the_smallest_side_is_refused_with_its_row(servable):
    images = [encoded(100, 100)[0], encoded(SMALLEST_SIDE - 1, 400)[0]]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: is 400 x 63 pixels"):
        asked(servable, *images)


def test_a_servable_without_heads_judges_any_size(tmp_path):
    export(tmp_path / "1", sources=())
    answers = asked(
        (tf.saved_model.load(str(tmp_path / "1")),), encoded(300, 70)[0], signature=contract.SIGNATURE_EXPLAIN
    )
    assert answers["source_heatmaps"].shape[:2] == (1, 0)
    assert answers["verdict"].numpy()[0] in (b"real", b"unknown_generator")


def test_pictures_of_its_heatmaps_cover_the_whole_image(servable, tmp_path):
    from serving.client.local_model import LocalModel
    from serving.client.predict import predict_files

    export(tmp_path / "1")
    assert LocalModel(tmp_path).view is None
    (tmp_path / "photo.png").write_bytes(encoded(300, 90)[0])
    (row,) = predict_files(LocalModel(tmp_path), [tmp_path / "photo.png"], signature=contract.SIGNATURE_EXPLAIN)
    assert row.answer.heatmaps.detection.shape == (SIDE, SIDE)
