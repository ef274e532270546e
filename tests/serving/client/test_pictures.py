import io
import itertools
from pathlib import Path
from typing import get_args

import matplotlib as mpl
import numpy as np
import pytest
import scipy.fft
from PIL import Image

from pipeline.cli.parser import build_parser
from serving import contract
from serving.client import open_predictor
from serving.client.answers import Answer, Heatmaps
from serving.client.file_search import find
from serving.client.pictures import PictureStyle, Scale, check_names, overlay, picture_name, write_heatmaps
from serving.client.predict import Row, predict_files
from serving.client.view import ModelView
from serving.decoding import decode

TURBO, JET = mpl.colormaps["turbo"], mpl.colormaps["jet"]


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def overlaid(encoded, heatmap, scale="relative", spectral=False):
    return np.asarray(overlay(decode(encoded), heatmap, scale, spectral))


def blend(colour, value):
    return (np.array(colour) + np.array(TURBO(value, bytes=True)[:3], float)) / 2


def test_overlay_is_half_image_half_colour_of_the_map_relative_to_its_peak(make_image):
    heatmap = np.full((4, 4), -7.0, np.float32)
    heatmap[:, 2:] = 0.01  # however weak, the peak has the strongest colour
    drawn = overlaid(make_image((40, 80, 120), (64, 32)), heatmap)
    assert drawn.shape == (32, 64, 3)
    np.testing.assert_allclose(drawn[16, 2], blend((40, 80, 120), 0.0), atol=1)
    np.testing.assert_allclose(drawn[16, 61], blend((40, 80, 120), 1.0), atol=1)
    # Bilinear: half-way between the columns the map is near a half, not one of the two.
    np.testing.assert_allclose(drawn[16, 32], blend((40, 80, 120), 0.53), atol=8)


def test_a_map_without_evidence_stays_in_the_lowest_colour(make_image):
    drawn = overlaid(make_image((0, 0, 0)), -np.ones((2, 2), np.float32))
    np.testing.assert_allclose(drawn.reshape(-1, 3), np.tile(blend((0, 0, 0), 0.0), (256, 1)), atol=1)


@pytest.mark.parametrize("heatmap", [np.zeros(4), np.full((2, 2), np.nan), np.zeros((0, 4))])
def test_maps_that_are_none_are_refused(make_image, heatmap):
    with pytest.raises(ValueError, match="heatmap: must be finite"):
        overlaid(make_image((0, 0, 0)), heatmap)


def overlays_of(make_image, values, scale, spectral=False):
    """The colours of the map's places over a black image of the map's own size: nothing is resized."""
    heatmap = np.asarray(values, np.float32)[np.newaxis]
    with Image.open(io.BytesIO(make_image((0, 0, 0), (heatmap.shape[1] * 4, 4)))) as image:
        stream = io.BytesIO()
        image.resize((heatmap.shape[1], 1)).save(stream, "PNG")
    return overlaid(stream.getvalue(), heatmap, scale, spectral)[0]


def test_an_absolute_map_has_the_same_colour_for_the_same_value_whatever_else_is_in_it(make_image):
    alone, beside = (overlays_of(make_image, values, "absolute") for values in ([0.4, 0.0], [0.4, 35.9]))
    np.testing.assert_array_equal(alone[0], beside[0])
    np.testing.assert_allclose(alone[0], blend((0, 0, 0), 0.4), atol=1)
    one, more = overlays_of(make_image, [1.0, 35.9], "absolute")
    np.testing.assert_array_equal(one, more)


def test_the_published_map_of_pixels_is_cut_off_at_0_and_1_in_the_colours_of_jet(make_image):
    values = [-255.6, 0.0, 0.25, 0.999, 1.0, 35.9]
    levels = [0, 0, 63, 254, 255, 255]  # uint8(clip(255 * map)): decimals are cut off
    expected = np.array([JET(level, bytes=True)[:3] for level in levels]) / 2
    np.testing.assert_allclose(overlays_of(make_image, values, "reference"), expected, atol=1)


def test_the_published_map_is_resized_before_it_is_cut_off(make_image):
    """So a strong value reaches into its neighbours: half-way from -1 to 3 lies 1, not (0 + 1) / 2."""
    heatmap = np.array([[-1.0, 3.0]], np.float32)
    drawn = overlaid(make_image((0, 0, 0), (64, 4)), heatmap, "reference")
    centres = (np.arange(64) + 0.5) / 32 - 0.5  # place of each pixel, in columns of the map
    resized = np.interp(centres, [0, 1], [-1.0, 3.0])
    levels = np.clip(255 * resized, 0, 255).astype(np.uint8)
    # 3: float32 and float64 may fall on two sides of a whole number; one step of jet is four levels, halved here.
    np.testing.assert_allclose(drawn[0], JET(levels, bytes=True)[:, :3] / 2.0, atol=3)


def test_the_published_map_of_spectra_is_relative_to_its_own_maximum(make_image):
    shown = overlays_of(make_image, [-3.0, 0.001, 0.002], "reference", spectral=True)
    expected = np.array([JET(level, bytes=True)[:3] for level in (0, 127, 255)]) / 2
    np.testing.assert_allclose(shown, expected, atol=1)


def test_every_scale_is_an_option_of_the_command_and_the_other_way_round(capsys):
    for scale in get_args(Scale):
        options = build_parser().parse_args(["predict", "a.png", "--model", "m", "--heatmap-scale", scale])
        assert options.heatmap_scale == scale
    with pytest.raises(SystemExit):
        build_parser().parse_args(["predict", "a.png", "--model", "m", "--heatmap-scale", "other"])
    message = capsys.readouterr().err
    assert all(scale in message for scale in get_args(Scale))


def test_an_image_that_can_no_longer_be_decoded_is_refused_by_name(tmp_path, make_image, undecodable):
    row = row_of(tmp_path / "x.png", make_image)
    row.path.write_bytes(undecodable)
    with pytest.raises(ValueError, match=r"x\.png: cannot be decoded"):
        write_heatmaps(row, tmp_path / "out")


def test_files_of_equal_names_get_pictures_of_their_own(tmp_path, server, make_image):
    for name, colour in (("a/x.png", (255, 0, 0)), ("b/x.png", (0, 0, 0)), ("a/x.jpg", (9, 9, 9))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(make_image(colour, (64, 64)))
    with open_predictor(rest=server.rest) as predictor:
        rows = list(predict_files(predictor, find([tmp_path]).images, signature=contract.SIGNATURE_EXPLAIN))
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


def row_of(path, make_image, colour=(0, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_image(colour, (64, 64)))
    return Row(path, Answer(0.9, {}, "unknown_generator", Heatmaps(np.full((2, 2), 0.1, np.float32), {})))


def test_without_captions_nothing_is_written_and_the_panels_are_the_same(tmp_path, make_image):
    row = row_of(tmp_path / "x.png", make_image)
    labelled = pixels(write_heatmaps(row, tmp_path / "a").read_bytes())
    plain = pixels(write_heatmaps(row, tmp_path / "b", style=PictureStyle(captions=False)).read_bytes())
    np.testing.assert_array_equal(plain, labelled[18:])


def test_the_scale_reaches_the_panels_of_a_picture(tmp_path, make_image):
    row = row_of(tmp_path / "x.png", make_image)
    for scale, spectral, value in (
        ("relative", False, TURBO(1.0, bytes=True)),
        ("absolute", True, TURBO(25, bytes=True)),
        ("reference", False, JET(25, bytes=True)),
        ("reference", True, JET(255, bytes=True)),
    ):
        view = ModelView(64, "dct" if spectral else "pixel")
        picture = pixels(write_heatmaps(row, tmp_path / "out", view, PictureStyle(scale)).read_bytes())
        # The spectrum of a black image is black, but for its constant term.
        np.testing.assert_allclose(picture[150, 262 + 150], np.array(value[:3]) / 2, atol=1)


def test_source_tags_name_pictures_after_the_folder_of_their_image(tmp_path, make_image):
    row = row_of(tmp_path / "progan_a" / "0001.png", make_image)
    tagged = PictureStyle(source_tags=True)
    assert write_heatmaps(row, tmp_path / "out", style=tagged).name == "progan_a_0001.png"
    assert picture_name(Path("0001.png"), tagged) == f"{Path.cwd().name}_0001.png"


def test_pictures_that_would_overwrite_each_other_are_refused_by_both_names():
    paths = [Path("a/gan/1.png"), Path("b/gan/1.png"), Path("b/gan/2.png")]
    with pytest.raises(ValueError, match=r"b/gan/1\.png: its picture would be gan_1\.png, as that of a/gan/1\.png"):
        check_names(paths, PictureStyle(source_tags=True))
    check_names(paths[1:], PictureStyle(source_tags=True))
    check_names(paths, PictureStyle())
    assert all(picture_name(one) != picture_name(other) for one, other in itertools.combinations(paths, 2))


# What each EXIF orientation makes of the rows and columns as stored, by the standard.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def four_colours():
    """64 x 128 pixels, a colour in each quarter, along the blocks of a JPEG."""
    colours = np.array([[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (200, 200, 0)]], np.uint8)
    return colours.repeat(32, axis=0).repeat(64, axis=1)


def picture_of_file(path, image_format, stored, orientation):
    """Draws a picture of a file with a map over all of it; returns the panels of the image and of the map."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(image_format, {})
    Image.fromarray(stored).save(path, image_format, exif=exif, **options)
    answer = Answer(0.9, {}, "unknown_generator", Heatmaps(np.zeros((2, 2), np.float32), {}))
    picture = pixels(write_heatmaps(Row(path, answer), path.parent / "out").read_bytes())[18:]
    return picture[:, :256].astype(int), picture[:, 262:].astype(int)


def fitted(image):
    """As large as a panel; below it the canvas is white."""
    scale = 256 // max(image.shape[:2])
    return image.repeat(scale, axis=0).repeat(scale, axis=1).astype(int)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photograph_is_drawn_upright_as_its_heatmap_is(tmp_path, orientation):
    stored = four_colours()
    expected = fitted(UPRIGHT[orientation](stored))
    height, width = expected.shape[:2]
    image, drawn = picture_of_file(tmp_path / "x.jpg", "JPEG", stored, orientation)
    np.testing.assert_allclose(image[:height, :width], expected, atol=6)  # what the compression changes
    lowest = np.array(TURBO(0, bytes=True)[:3])
    np.testing.assert_allclose(drawn[:height, :width], (expected + lowest) / 2, atol=4)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_the_orientation_of_other_formats_is_left_as_the_servable_leaves_it(tmp_path, image_format):
    stored = four_colours()
    image, _ = picture_of_file(tmp_path / f"x.{image_format.lower()}", image_format, stored, 6)
    expected = fitted(stored)
    np.testing.assert_array_equal(image[: expected.shape[0], : expected.shape[1]], expected)


def test_a_row_without_heatmaps_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ValueError, match=r"x\.png: has no heatmaps: it has an error \(is empty\)"):
        write_heatmaps(Row(Path("x.png"), error="is empty"), tmp_path)
    with pytest.raises(ValueError, match="signature explain"):
        write_heatmaps(Row(Path("x.png"), Answer(0.1, {}, "real")), tmp_path)


def test_names_are_short_enough_for_any_file_system():
    assert len(picture_name(Path("y" * 250 + ".png"))) < 120
    assert len(picture_name(Path("x" * 250) / ("y" * 250 + ".png"), PictureStyle(source_tags=True))) < 220


def test_a_pixel_models_view_is_the_window_at_the_centre():
    ramp = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    seen = np.asarray(ModelView(4, "pixel").of(Image.fromarray(ramp)))
    np.testing.assert_array_equal(seen, ramp[3:7, 4:8])


def test_a_dct_models_view_is_the_log_spectrum():
    grey = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    seen = np.asarray(ModelView(16, "dct").of(Image.fromarray(grey)))[..., 0].astype(float)
    expected = np.log(np.abs(scipy.fft.dctn(grey.astype(float), norm="ortho")) + 1.0)
    np.testing.assert_allclose(seen, 255.0 * expected / expected.max(), atol=0.51)
