"""Block spectra against SciPy's transform of each block by itself."""

import io

import numpy as np
import pytest
import scipy.fft
from PIL import Image

from components.models.block_spectra import CHANNELS, BlockSpectra, LogMagnitude, SpectrumSummary
from tests.support.images import encode

JFIF = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def windows(height, width, count=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def pixels(images):
    return images.astype(np.float32) / 127.5 - 1.0


def by_scipy(image):
    """Magnitudes of one image, block by block, in float64: (height / 8, width / 8, 384)."""
    planes = image.astype(np.float64) @ JFIF.T
    height, width = image.shape[0] // 8, image.shape[1] // 8
    halved = planes.reshape(4 * height, 2, 4 * width, 2, 3).mean(axis=(1, 3))
    padded = np.pad(halved, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = np.zeros((height, width, 2, 3, 64))
    for row in range(height):
        for column in range(width):
            for scale, (values, stride) in enumerate(((planes, 8), (padded, 4))):
                block = values[stride * row : stride * row + 8, stride * column : stride * column + 8]
                spectrum = scipy.fft.dctn(block, type=2, norm="ortho", axes=(0, 1))
                expected[row, column, scale] = spectrum.reshape(64, 3).T
    return np.abs(expected).reshape(height, width, CHANNELS)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 104), (8, 16)])
def test_magnitudes_are_scipys_of_every_block_at_both_scales(height, width):
    images = windows(height, width)
    ours = BlockSpectra()(pixels(images)).numpy()
    assert ours.dtype == np.float32
    for image, magnitudes in zip(images, ours, strict=True):
        np.testing.assert_allclose(magnitudes, by_scipy(image), atol=2e-3)  # float32, values up to 2040


@pytest.mark.parametrize("size", range(64, 1025, 8))
def test_both_scales_have_as_many_places_as_an_image_has_blocks(size):
    blocks = size // 8
    assert BlockSpectra().compute_output_shape((None, size, 64, 3)) == (None, blocks, 8, CHANNELS)
    assert (size // 2 + 2 * 2 - 8) // 4 + 1 == blocks


@pytest.mark.parametrize("size", [64, 88, 200])
def test_the_shape_is_that_of_the_output(size):
    layer = BlockSpectra()
    assert layer(pixels(windows(size, 64))).shape == layer.compute_output_shape((2, size, 64, 3))
    assert layer.compute_output_shape((None, None, None, 3)) == (None, None, None, CHANNELS)


def test_places_of_both_scales_have_the_same_centre():
    """An image that is symmetric about the centre of block (3, 4) has no odd frequencies there, at both scales."""
    rows, columns = np.mgrid[:64, :80].astype(np.float64)
    distance = np.hypot(rows - (8 * 3 + 3.5), columns - (8 * 4 + 3.5))
    image = np.repeat(128 + 100 * np.cos(distance / 5), 3).reshape(1, 64, 80, 3)
    magnitudes = BlockSpectra()(image.astype(np.float32) / 127.5 - 1.0).numpy().reshape(8, 10, 2, 3, 8, 8)
    down, across = (odd.max(axis=(-3, -2, -1)) for odd in (magnitudes[..., 1::2, :], magnitudes[..., 1::2]))
    assert (down[3, 4] < 1e-3).all() and (across[3, 4] < 1e-3).all()
    assert (down[[2, 4], 4] > 1.0).all() and (across[3, [3, 5]] > 1.0).all()


def test_steps_of_a_jpegs_quantisation_are_those_of_the_full_resolution():
    """On the grid of a JPEG in grey, luma coefficients are multiples of the quantiser, up to rounded pixels."""
    smooth = windows(16, 16, 1)[0].repeat(6, axis=0).repeat(6, axis=1)
    grey = Image.fromarray(smooth).convert("L")
    stream = io.BytesIO()
    grey.save(stream, "JPEG", quality=40)
    saved = Image.open(stream)
    steps = np.array(saved.quantization[0])  # Pillow keeps them row by row
    values = np.asarray(saved.convert("RGB"))[np.newaxis]
    magnitudes = BlockSpectra()(pixels(values)).numpy()[..., 1:64].reshape(-1, 63)
    remainders = magnitudes / steps[1:] - np.round(magnitudes / steps[1:])
    shifted = BlockSpectra()(pixels(np.roll(values, 4, axis=(1, 2)))).numpy()[..., 1:64].reshape(-1, 63)
    others = shifted / steps[1:] - np.round(shifted / steps[1:])
    assert np.median(np.abs(remainders)) < 0.02
    assert np.median(np.abs(others)) > 0.05


def test_the_logarithm_is_of_magnitudes_plus_three_tenths():
    magnitudes = np.array([[0.0, 0.7, 2040.0]], np.float32)
    np.testing.assert_allclose(LogMagnitude()(magnitudes), np.log(magnitudes + 0.3), rtol=1e-6)


def test_a_summary_has_three_figures_of_each_channel():
    magnitudes = np.random.default_rng(3).exponential(2.0, (2, 5, 7, 4)).astype(np.float32)
    over = {"axis": (1, 2)}
    expected = [
        np.log(magnitudes + 0.3).mean(**over),
        np.log(magnitudes.mean(**over) + 0.1),
        3.0 * np.minimum(magnitudes, 1.0).mean(**over),
    ]
    np.testing.assert_allclose(SpectrumSummary()(magnitudes), np.concatenate(expected, axis=1), rtol=1e-5)


def test_magnitudes_change_with_the_order_of_colours():
    """A PNG of pure red: what is decoded as RGB must not be read as BGR."""
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    decoded = np.asarray(Image.open(io.BytesIO(encode(red))))[np.newaxis]
    constant = BlockSpectra()(pixels(decoded)).numpy()[0, 0, 0, [0, 64, 128]]
    np.testing.assert_allclose(constant, 8 * 255 * np.abs(JFIF[:, 0]), rtol=1e-5)
