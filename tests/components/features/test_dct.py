import numpy as np
import pytest
import scipy.fft
import tensorflow as tf
from PIL import Image

from components.features.dct import dct2, log_spectrum, normalise

# float32: 1e-4 of each coefficient, and where terms cancel 1e-6 of the largest one.
RELATIVE, ABSOLUTE_SHARE = 1e-4, 1e-6


def assert_equal_spectra(actual, expected):
    np.testing.assert_allclose(actual, expected, RELATIVE, ABSOLUTE_SHARE * np.abs(expected).max())


@pytest.fixture(scope="module", params=[8, 32, 128])
def grey_images(request):
    size = request.param
    noise = np.random.default_rng(size).integers(0, 256, (3, size, size, 1)).astype(np.float32)
    noise[2] = np.linspace(0, 255, size, dtype=np.float32)[:, np.newaxis, np.newaxis]  # smooth: most terms vanish
    return noise


@pytest.fixture(scope="module")
def scipy_spectrum(grey_images):
    return scipy.fft.dctn(grey_images.astype(np.float64), type=2, norm="ortho", axes=(1, 2))


def test_dct2_equals_scipy_eagerly(grey_images, scipy_spectrum):
    assert_equal_spectra(dct2(tf.constant(grey_images)), scipy_spectrum)


def test_dct2_equals_scipy_inside_a_tf_function(grey_images, scipy_spectrum):
    size = grey_images.shape[1]
    transform = tf.function(dct2, input_signature=[tf.TensorSpec((None, size, size, 1))])
    assert_equal_spectra(transform(grey_images), scipy_spectrum)


def test_dct2_equals_scipy_inside_tf_data(grey_images, scipy_spectrum):
    dataset = tf.data.Dataset.from_tensor_slices(grey_images).batch(2).map(dct2)
    assert_equal_spectra(np.concatenate(list(dataset)), scipy_spectrum)


def test_dct2_puts_vertical_frequency_in_rows():
    stripes = np.zeros((1, 8, 8, 1), np.float32)
    stripes[0, ::2] = 255.0  # changes from row to row, constant along each row
    spectrum = dct2(tf.constant(stripes)).numpy()[0, ..., 0]
    np.testing.assert_allclose(spectrum[:, 1:], 0.0, atol=1e-3)
    assert abs(spectrum[7, 0]) > 100.0


def test_dct2_transforms_each_channel_by_itself():
    images = np.random.default_rng(7).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    assert_equal_spectra(dct2(tf.constant(images)), scipy.fft.dctn(images, type=2, norm="ortho", axes=(1, 2)))


@pytest.mark.parametrize("shape", [(1, 8, 9, 1), (8, 8, 1)])
def test_dct2_refuses_other_shapes_and_prints_them(shape):
    with pytest.raises(ValueError, match="must have shape \\(batch, size, size, channels\\)") as error:
        dct2(tf.zeros(shape))
    assert str(shape) in str(error.value)


def test_dct2_refuses_an_unknown_size_when_it_is_traced():
    with pytest.raises(ValueError, match="known size"):
        tf.function(dct2).get_concrete_function(tf.TensorSpec((None, None, None, 1), tf.float32))


def test_log_spectrum_is_the_natural_logarithm_of_the_magnitude(grey_images, scipy_spectrum):
    # Back through the exponential: near zero the logarithm amplifies rounding without bound.
    assert_equal_spectra(np.exp(log_spectrum(tf.constant(grey_images))), np.abs(scipy_spectrum))


def test_log_spectrum_of_a_black_image_is_the_logarithm_of_the_offset():
    np.testing.assert_allclose(log_spectrum(tf.zeros((1, 8, 8, 1))), np.full((1, 8, 8, 1), np.log(1e-12)), rtol=1e-6)


def test_normalise_standardises_each_coefficient_by_its_own_statistics():
    rng = np.random.default_rng(0)
    spectrum, mean, variance = (
        rng.uniform(0.5, 4.0, shape).astype(np.float32) for shape in ((2, 4, 4, 1),) + ((4, 4, 1),) * 2
    )
    expected = (spectrum - mean) / np.sqrt(variance)
    np.testing.assert_allclose(normalise(spectrum, mean, variance), expected, rtol=1e-6)


def test_normalise_divides_by_the_floor_where_a_coefficient_does_not_vary():
    result = normalise(tf.constant([[[[3.0]]]]), tf.constant([[[1.0]]]), tf.constant([[[0.0]]]))
    np.testing.assert_allclose(result, [[[[2.0 / 1e-3]]]], rtol=1e-6)


GOLDEN = ["128_03_grad3", "128_05_grad0", "128_06_photo0", "256_08_photo2"]


@pytest.mark.parametrize("name", GOLDEN)
def test_dct2_equals_the_golden_spectra_of_the_published_method(shared_folder, name):
    golden = np.load(shared_folder / "reference" / "golden" / "intermediate" / f"{name}.npz")
    grey = golden["grey"].astype(np.float32)[np.newaxis, ..., np.newaxis]
    assert_equal_spectra(dct2(tf.constant(grey))[0, ..., 0], golden["dct"])


@pytest.mark.parametrize(("name", "tolerance"), [("128_06_photo0", 0.02), ("256_08_photo2", 0.2)])
def test_normalised_spectra_equal_the_golden_ones_with_the_published_statistics(shared_folder, name, tolerance):
    reference = shared_folder / "reference"
    golden = np.load(reference / "golden" / "intermediate" / f"{name}.npz")
    statistics = reference / "statistics" / ("ganfp" if name.startswith("128") else "faceshq+") / "dctnorm"
    mean, variance = (
        np.load(statistics / f"{part}.npy").astype(np.float32)[..., np.newaxis] for part in ("mean", "variance")
    )
    grey = np.asarray(Image.open(reference / "golden" / "images" / f"{name}.png").convert("L"), np.float32)
    result = normalise(log_spectrum(tf.constant(grey[np.newaxis, ..., np.newaxis])), mean, variance)
    np.testing.assert_allclose(result[0, ..., 0], golden["norm"], atol=tolerance)
