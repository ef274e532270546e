"""Servables that judge mild re-savings as well, against re-savings made by hand."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.features.image import decode_whole
from components.features.parameters import InputParameters
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from components.servable.resaving import RESAVINGS, resaved
from serving import contract
from serving.client.answers import answers_from_outputs
from serving.servable.description import describe
from tests.support.transforms import FixedTransform

SIZE, COUNT = 64, 12
REPRESENTATIONS = {"views": ("pixel", 2), "window": ("residual", None)}


def picture(seed, height=SIZE, width=SIZE):
    draw = np.random.default_rng(seed)
    blocks = draw.integers(40, 216, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.clip(blocks + draw.normal(0, 6, blocks.shape), 0, 255).astype(np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def by_hand(pixels, resaving):
    """The re-saving, through Pillow."""
    if resaving == "shifted":
        return np.pad(pixels[1:, 1:], ((0, 1), (0, 1), (0, 0)), "edge")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(resaving.removeprefix("jpeg_")), subsampling="4:2:0")
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())))


def export(folder, kind, stability, detection=0.5):
    representation, views = REPRESENTATIONS[kind]
    inputs = InputParameters(representation=representation, size=SIZE, views=views)
    layers = LayerParameters(network={"pixel": "blocks", "residual": "wide"}[representation])
    primary = build_primary(inputs.shape, True, layers, seed=1)
    points = OperatingPoints(detection, {}, stability=stability)
    export_servable(folder, AttributionModule(FixedTransform(SIZE), inputs, primary, {}, points))
    return tf.saved_model.load(str(folder)).signatures


def asked(signatures, images, signature=contract.SIGNATURE_DEFAULT):
    outputs = signatures[signature](image_bytes=tf.constant(images, tf.string))
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.parametrize("resaving", RESAVINGS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (70, 101)])
def test_a_resaving_is_that_of_a_common_library(resaving, height, width):
    pixels = picture(3, height, width)
    found = decode_whole(resaved(tf.constant([png(pixels)]), resaving, 64)[0], 64).numpy()
    expected = by_hand(pixels, resaving)
    assert found.shape == expected.shape == pixels.shape
    difference = np.abs(found.astype(int) - expected.astype(int))
    # Encoders may round coefficients to either side: the difference is far below that of the re-saving itself.
    assert difference.mean() <= 0.1 * np.abs(found.astype(int) - pixels.astype(int)).mean()
    assert (found != pixels).any()


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_verdicts_that_mild_resavings_change_are_uncertain(kind, tmp_path):
    images = [picture(seed) for seed in range(COUNT)]
    encoded = [png(pixels) for pixels in images]
    plain = export(tmp_path / "plain" / "1", kind, 0)
    first = asked(plain, encoded)["fake_probability"]
    # Lossless copies of what the graph makes, judged by the graph that does not make any.
    again = [
        asked(plain, [png(decode_whole(one, SIZE).numpy()) for one in resaved(tf.constant(encoded), resaving, SIZE)])
        for resaving in RESAVINGS
    ]
    every = np.stack([first, *(answers["fake_probability"] for answers in again)])
    threshold = float(np.median(every.max(axis=0)))
    stable = export(tmp_path / "stable" / "1", kind, 3, threshold)
    answers = asked(stable, encoded)
    np.testing.assert_allclose(answers["fake_probability"], first, atol=1e-6)
    spans = np.stack([every.min(axis=0), every.max(axis=0)], axis=1)
    np.testing.assert_allclose(answers["fake_probability_range"], spans, atol=1e-5)
    lowest, highest = answers["fake_probability_range"].T
    flips = (lowest < np.float32(threshold)) & (highest >= np.float32(threshold))
    assert 0 < flips.sum() < COUNT
    sure = np.where(first >= np.float32(threshold), b"unknown_generator", b"real")
    np.testing.assert_array_equal(answers["verdict"], np.where(flips, b"uncertain", sure))
    explained = asked(stable, encoded, contract.SIGNATURE_EXPLAIN)
    np.testing.assert_array_equal(explained["verdict"], answers["verdict"])


def test_one_resaving_is_the_first(tmp_path):
    encoded = [png(picture(seed, 80, 200)) for seed in range(3)]
    one, three = (export(tmp_path / str(number) / "1", "views", number) for number in (1, 3))
    narrow, wide = (asked(each, encoded)["fake_probability_range"] for each in (one, three))
    assert (wide[:, 0] <= narrow[:, 0] + 1e-6).all()
    assert (wide[:, 1] >= narrow[:, 1] - 1e-6).all()


def test_a_servable_without_stability_has_the_four_outputs(tmp_path):
    outputs = export(tmp_path / "1", "views", 0)[contract.SIGNATURE_DEFAULT].structured_outputs
    assert set(outputs) == set(contract.PREDICTION_OUTPUTS)
    assert "stability" not in json.loads((tmp_path / "1" / "assets" / "operating_points.json").read_text())


def test_assets_and_clients_carry_it(tmp_path):
    signatures = export(tmp_path / "1", "views", 2)
    assert "uncertain" in json.loads((tmp_path / "1" / "assets" / "label_map.json").read_text())["verdicts"]
    described = describe(tmp_path)
    assert described.stability == 2
    assert described.can_be_uncertain
    assert "one of 2 mild re-savings changes its mind" in described.in_words()
    outputs = asked(signatures, [png(picture(0))])
    answer = answers_from_outputs(outputs, 1)[0]
    lowest, highest = answer.fake_probability_range
    assert lowest <= answer.fake_probability <= highest


def test_an_empty_batch_and_an_image_that_is_too_small(tmp_path):
    signatures = export(tmp_path / "1", "views", 3)
    assert asked(signatures, [])["fake_probability_range"].shape == (0, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: is 63 x 64 pixels"):
        asked(signatures, [png(picture(0)), png(picture(1, 64, 63))])
