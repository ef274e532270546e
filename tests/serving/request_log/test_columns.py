"""Measurements of images, against Pillow and SciPy."""

import io

import numpy as np
import pytest
import scipy.fft
from PIL import ExifTags, Image

from serving.request_log.columns import BANDS, WINDOW, central_luma, log_dct_bands, measure
from serving.request_log.jpeg_quality import nearest_quality, standard_tables
from tests.support.images import encode, noise


def file_of(image, image_format, **options):
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def bands_by_scipy(luma):
    """The definition, coefficient by coefficient."""
    side = len(luma)
    spectrum = scipy.fft.dctn(luma, type=2, norm="ortho")
    rings = [[] for _ in range(BANDS)]
    for u in range(side):
        for v in range(side):
            if (u, v) != (0, 0):
                rings[min(BANDS - 1, int(BANDS * (u * u + v * v) ** 0.5 / side))].append(np.log1p(abs(spectrum[u, v])))
    return [np.mean(ring) if ring else 0.0 for ring in rings]


@pytest.mark.parametrize("side", [32, 57, WINDOW])
def test_bands_are_the_means_over_rings_of_scipys_dct(side):
    luma = np.random.default_rng(side).uniform(0, 255, (side, side))
    np.testing.assert_allclose(log_dct_bands(luma), bands_by_scipy(luma), atol=1e-4)  # rounded to four digits


def test_an_even_image_has_nothing_in_any_band():
    assert log_dct_bands(np.full((64, 64), 200.0)) == pytest.approx([0.0] * BANDS, abs=1e-4)


def test_a_blurred_image_loses_its_high_bands():
    sharp = Image.fromarray(noise(0, 200, 200))
    blurred = sharp.resize((50, 50)).resize((200, 200), Image.Resampling.BICUBIC)
    before, after = (measure(file_of(image, "PNG")).log_dct_bands for image in (sharp, blurred))
    assert after[-1] < before[-1] - 2


def test_the_window_is_the_central_one_at_native_resolution():
    image = Image.fromarray(noise(1, 301, 400))
    expected = np.asarray(image.convert("L"), np.float64)[86 : 86 + WINDOW, 136 : 136 + WINDOW]
    np.testing.assert_array_equal(central_luma(image), expected)


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 90, 95, 100])
def test_quality_is_the_one_that_pillow_wrote_with(quality):
    measured = measure(file_of(Image.fromarray(noise(2, 140, 160)), "JPEG", quality=quality))
    assert (measured.format, measured.height, measured.width) == ("JPEG", 140, 160)
    assert measured.jpeg_quality == quality


def test_the_nearest_quality_of_a_table_is_the_one_that_the_definition_gives():
    table = standard_tables(80)[0] + np.random.default_rng(0).integers(-2, 3, 64)
    distances = {quality: abs(standard_tables(quality)[0] - table).sum() for quality in range(1, 101)}
    assert nearest_quality(table) == min(distances, key=distances.get)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "BMP"])
def test_other_formats_have_no_quality(image_format):
    encoded = encode(noise(3, 40, 50), image_format)
    measured = measure(encoded)
    assert (measured.format, measured.height, measured.width) == (image_format, 40, 50)
    assert measured.jpeg_quality is None
    assert measured.bytes == len(encoded)


def test_height_and_width_are_those_of_the_upright_image():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    measured = measure(file_of(Image.fromarray(noise(4, 40, 70)), "JPEG", exif=exif))
    assert (measured.height, measured.width) == (70, 40)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_every_colour_mode_is_measured(mode):
    measured = measure(file_of(Image.fromarray(noise(5, 40, 40)).convert(mode), "PNG"))
    assert all(np.isfinite(measured.log_dct_bands))


@pytest.mark.parametrize("damage", [lambda data: data[:300], lambda data: b"\xff\xd8\xff" + data, lambda data: b""])
def test_what_cannot_be_decoded_is_refused_with_a_reason(damage):
    with pytest.raises(ValueError, match="cannot be decoded"):
        measure(damage(encode(noise(6, 64, 64))))
