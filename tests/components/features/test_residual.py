"""Residuals against SciPy, and what they cannot see."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from components.features.residual import SCALE, residuals


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3)).astype(np.float32)


def test_they_are_second_differences_of_luma_and_colour_differences(picture):
    found = residuals(tf.constant(picture)).numpy()
    red, green, blue = np.moveaxis(picture.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma, 0.5 * (blue - luma) / (1 - 0.114), 0.5 * (red - luma) / (1 - 0.299)]
    expected = [
        ndimage.convolve1d(plane, [0.5, -1.0, 0.5], axis=axis, mode="mirror") / SCALE
        for axis in (2, 1)  # along rows, along columns
        for plane in planes
    ]
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), atol=1e-4)


def test_of_grey_images_there_are_two(picture):
    found = residuals(tf.constant(picture[..., :1])).numpy()
    assert found.shape == (2, 20, 28, 2)
    expected = ndimage.convolve1d(picture[..., 0].astype(float), [0.5, -1.0, 0.5], axis=2, mode="mirror") / SCALE
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)


def test_an_even_ramp_of_light_leaves_nothing_but_at_the_borders():
    ramp = np.add.outer(np.arange(16.0), 3 * np.arange(16.0))[None, :, :, None].repeat(3, axis=3)
    found = residuals(tf.constant(ramp, tf.float32)).numpy()
    assert np.abs(found[:, 1:-1, 1:-1]).max() < 1e-5
    assert np.abs(found).max() > 0.01


def test_colours_are_pillows_luma_and_colour_differences(picture):
    """Pillow's YCbCr is rounded to whole levels, so a second difference is off by two at most."""
    image = picture[0].astype(np.uint8)
    planes = np.asarray(Image.fromarray(image).convert("YCbCr")).astype(float)
    expected = ndimage.convolve1d(planes, [0.5, -1.0, 0.5], axis=1, mode="mirror") / SCALE
    found = residuals(tf.constant(picture[:1])).numpy()[0, :, :, :3]
    assert np.abs(found - expected).max() <= 2 / SCALE


def test_an_empty_batch_has_none():
    assert residuals(tf.zeros((0, 8, 8, 3))).shape == (0, 8, 8, 6)


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="3 channels, RGB, or 1, luma"):
        residuals(tf.zeros((1, 8, 8, 2)))
