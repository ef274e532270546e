"""Perturbed copies against other computations of the same."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from components.dataset.perturbed_copies import check_name, jpeg_quality, perturbed, smallest_side


@pytest.fixture
def pixels():
    coarse = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def _decoded(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


def _format(encoded):
    return Image.open(io.BytesIO(encoded)).format


@pytest.mark.parametrize(
    ("low", "high"), [("jpeg_50", "jpeg_95"), ("resize_0.5", "resize_0.9"), ("noise_100", "noise_5")]
)
def test_stronger_means_further_from_the_original(pixels, low, high):
    def distance(name):
        copy = Image.fromarray(_decoded(perturbed(pixels, name, "a"))).resize(
            pixels.shape[1::-1], Image.Resampling.BICUBIC
        )
        return np.abs(np.asarray(copy, float) - pixels).mean()

    assert distance(low) > distance(high) > 0


def test_jpeg_equals_pillows_own(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75, subsampling=2)
    assert np.array_equal(_decoded(perturbed(pixels, "jpeg_75", "a")), np.asarray(Image.open(buffer)))


def test_noise_has_the_variance_of_its_name():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert np.var(_decoded(perturbed(grey, "noise_20", "a")).astype(float)) == pytest.approx(20, rel=0.05)


def test_blur_takes_away_what_a_gaussian_takes_away(pixels):
    # Kernel 5 is sigma 1.1 by OpenCV's rule; Pillow's Gaussian is an approximation by box filters.
    expected = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.1)), float)
    assert np.abs(_decoded(perturbed(pixels, "blur_5", "a")) - expected)[8:-8, 8:-8].mean() < 2


@pytest.mark.parametrize("name", ["resize_0.5", "resize_0.75", "resize_1.5", "resave", "jpeg_75", "crop_0.1", "blur_3"])
def test_the_size_of_a_copy_is_known_beforehand(pixels, name):
    assert min(_decoded(perturbed(pixels, name, "a")).shape[:2]) == smallest_side(*pixels.shape[:2], name)


@pytest.mark.parametrize("name", ["noise_10", "crop_0.2", "jpeg_75"])
def test_a_copy_depends_on_path_name_and_seed_alone(pixels, name):
    assert perturbed(pixels, name, "a", 1) == perturbed(pixels, name, "a", 1)
    if name != "jpeg_75":
        assert len({perturbed(pixels, name, path, seed) for path, seed in (("a", 1), ("b", 1), ("a", 2))}) == 3


def test_a_copy_is_a_jpeg_only_where_that_is_the_point(pixels):
    formats = {name: _format(perturbed(pixels, name, "a")) for name in ("jpeg_75", "resave", "blur_3", "resize_0.5")}
    assert formats == {"jpeg_75": "JPEG", "resave": "JPEG", "blur_3": "PNG", "resize_0.5": "PNG"}


def test_only_jpegs_of_one_quality_say_it():
    qualities = {name: jpeg_quality(name) for name in ("clean", "jpeg_95", "jpeg_50", "resave", "blur_3")}
    assert qualities == {"clean": None, "jpeg_95": 95, "jpeg_50": 50, "resave": None, "blur_3": None}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sharpen_2", "is unknown"),
        ("jpeg_0", "1..100, got 0"),
        ("blur_4", "kernel must be one of"),
        ("resize_9", "got 9"),
    ],
)
def test_what_there_is_not_is_refused_by_name(name, message):
    with pytest.raises(ValueError, match=message):
        check_name(name)
