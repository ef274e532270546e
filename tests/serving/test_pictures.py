import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import scipy.fft
from PIL import Image

from serving import contract
from serving.answers import Answer, Heatmaps
from serving.client import open_predictor
from serving.pictures import heatmap_overlay, picture_name, write_heatmaps
from serving.predict import Row, find_images, predict_files
from serving.view import ModelView

TURBO = mpl.colormaps["turbo"]


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def blend(colour, value):
    return (np.array(colour) + np.array(TURBO(value, bytes=True)[:3], float)) / 2


def test_overlay_is_half_image_half_colour_of_the_map_relative_to_its_peak(make_image):
    heatmap = np.full((4, 4), -7.0, np.float32)
    heatmap[:, 2:] = 0.01  # however weak, the peak has the strongest colour
    overlay = pixels(heatmap_overlay(make_image((40, 80, 120), (64, 32)), heatmap))
    assert overlay.shape == (32, 64, 3)
    np.testing.assert_allclose(overlay[16, 2], blend((40, 80, 120), 0.0), atol=1)
    np.testing.assert_allclose(overlay[16, 61], blend((40, 80, 120), 1.0), atol=1)
    # Bilinear: half-way between the columns the map is near a half, not one of the two.
    np.testing.assert_allclose(overlay[16, 32], blend((40, 80, 120), 0.53), atol=8)


def test_a_map_without_evidence_stays_in_the_lowest_colour(make_image):
    overlay = pixels(heatmap_overlay(make_image((0, 0, 0)), -np.ones((2, 2), np.float32)))
    np.testing.assert_allclose(overlay.reshape(-1, 3), np.tile(blend((0, 0, 0), 0.0), (256, 1)), atol=1)


@pytest.mark.parametrize("heatmap", [np.zeros(4), np.full((2, 2), np.nan), np.zeros((0, 4))])
def test_maps_that_are_none_are_refused(make_image, heatmap):
    with pytest.raises(ValueError, match="heatmap: must be finite"):
        heatmap_overlay(make_image((0, 0, 0)), heatmap)


def test_an_undecodable_image_is_refused(undecodable):
    with pytest.raises(ValueError, match="cannot be decoded"):
        heatmap_overlay(undecodable, np.zeros((2, 2)))


def test_files_of_equal_names_get_pictures_of_their_own(tmp_path, server, make_image):
    for name, colour in (("a/x.png", (255, 0, 0)), ("b/x.png", (0, 0, 0)), ("a/x.jpg", (9, 9, 9))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(make_image(colour, (64, 64)))
    with open_predictor(rest=server.rest) as predictor:
        rows = list(predict_files(predictor, find_images([tmp_path]), signature=contract.SIGNATURE_EXPLAIN))
    written = [write_heatmaps(row, tmp_path / "out") for row in rows]
    assert sorted((tmp_path / "out").iterdir()) == sorted(set(written))
    assert len(written) == 3
    with Image.open(written[0]) as picture:
        panels = 4  # the image, detection, two sources
        assert picture.size == (panels * 256 + (panels - 1) * 6, 18 + 256)
    assert write_heatmaps(rows[0], tmp_path / "out") == written[0]


def test_the_map_of_each_source_lies_in_its_own_panel(tmp_path, make_image):
    path = tmp_path / "x.png"
    path.write_bytes(make_image((0, 0, 0), (64, 64)))
    corner = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    heatmaps = Heatmaps(np.zeros((2, 2), np.float32), {"progan_a": corner, "sngan_b": corner[::-1, ::-1]})
    row = Row(path, Answer(0.9, {"progan_a": 0.8, "sngan_b": 0.7}, "progan_a", heatmaps))
    picture = pixels(write_heatmaps(row, tmp_path).read_bytes())
    hot, cold = blend((0, 0, 0), 1.0), blend((0, 0, 0), 0.0)
    first, second = 2 * 262, 3 * 262
    np.testing.assert_allclose(picture[18, first], hot, atol=1)
    np.testing.assert_allclose(picture[-1, first + 255], cold, atol=1)
    np.testing.assert_allclose(picture[18, second], cold, atol=1)
    np.testing.assert_allclose(picture[-1, second + 255], hot, atol=1)
    np.testing.assert_allclose(picture[18, 0], 0)
    assert (picture[:18] < 128).any(), "no caption was drawn"


def test_a_row_without_heatmaps_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ValueError, match=r"x\.png: has no heatmaps: it has an error \(is empty\)"):
        write_heatmaps(Row(Path("x.png"), error="is empty"), tmp_path)
    with pytest.raises(ValueError, match="signature explain"):
        write_heatmaps(Row(Path("x.png"), Answer(0.1, {}, "real")), tmp_path)


def test_names_are_short_enough_for_any_file_system():
    assert len(picture_name(Path("y" * 250 + ".png"))) < 120


def test_a_pixel_models_view_is_the_window_at_the_centre():
    ramp = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    seen = np.asarray(ModelView(4, "pixel").of(Image.fromarray(ramp)))
    np.testing.assert_array_equal(seen, ramp[3:7, 4:8])


def test_a_dct_models_view_is_the_log_spectrum():
    grey = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    seen = np.asarray(ModelView(16, "dct").of(Image.fromarray(grey)))[..., 0].astype(float)
    expected = np.log(np.abs(scipy.fft.dctn(grey.astype(float), norm="ortho")) + 1.0)
    np.testing.assert_allclose(seen, 255.0 * expected / expected.max(), atol=0.51)
