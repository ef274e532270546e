import numpy as np
import pytest
import scipy.fft
import tensorflow as tf
from PIL import Image

from components.features.residual import residuals
from components.features.transform import ExportedTransform
from tests.support.images import SIZE, central_window, encode, log_spectrum_by_scipy, noise


def transformed(graph: str, images: list[bytes]) -> dict[str, np.ndarray]:
    transform = ExportedTransform(graph)
    features = tf.function(transform.__call__)(tf.constant(images))
    return {name: value.numpy() for name, value in features.items()}


@pytest.fixture(scope="module")
def windows(train_images):
    return [central_window(tf.io.decode_png(image).numpy()) for image in train_images]


@pytest.fixture(scope="module")
def features(transform_graph, train_images):
    return transformed(transform_graph, train_images)


def test_transform_exports_all_representations_and_nothing_else(features):
    assert {name: value.shape[1:] for name, value in features.items()} == {
        "pixel": (SIZE, SIZE, 3),
        "dct": (SIZE, SIZE, 1),
        "residual": (SIZE, SIZE, 6),
    }


def test_residuals_are_those_of_the_central_window(features, windows):
    expected = residuals(tf.constant(np.stack(windows), tf.float32))
    np.testing.assert_allclose(features["residual"], expected, atol=1e-5)


def test_statistics_are_those_of_numpy_over_scipys_spectra_of_all_images(features, windows):
    spectra = np.stack([log_spectrum_by_scipy(window) for window in windows])
    expected = (spectra - spectra.mean(axis=0)) / spectra.std(axis=0)  # population standard deviation
    difference = np.abs(features["dct"] - expected)
    # Near zero the logarithm amplifies float32 rounding: there are few such coefficients, and they err little.
    assert np.quantile(difference, 0.99) < 1e-3
    assert difference.max() < 0.1


def test_pixels_are_those_of_the_central_window(features, windows):
    np.testing.assert_allclose(features["pixel"], np.stack(windows) / 127.5 - 1.0, atol=1e-6)


def test_other_colours_give_luma_pixels_and_a_spectrum_of_each_channel_with_its_own_statistics(
    analyse, train_images, windows
):
    graph = analyse(train_images, SIZE, colours={"pixel": "grey", "dct": "rgb"})
    features = transformed(graph, train_images)
    luma = np.stack([np.asarray(Image.fromarray(window).convert("L")) for window in windows])[..., np.newaxis]
    np.testing.assert_allclose(features["pixel"], luma / 127.5 - 1.0, atol=1e-6)
    planes = np.stack(windows).astype(np.float64)
    spectra = np.log(np.abs(scipy.fft.dctn(planes, type=2, norm="ortho", axes=(1, 2))) + 1e-12)
    difference = np.abs(features["dct"] - (spectra - spectra.mean(axis=0)) / spectra.std(axis=0))
    assert features["dct"].shape[1:] == (SIZE, SIZE, 3)
    assert np.quantile(difference, 0.99) < 1e-3


def test_statistics_do_not_depend_on_the_order_of_the_images(analyse, train_images, features):
    """Bit by bit, or the same seed would not train the same weights on a dataset that was read in another order."""
    shuffled = [train_images[index] for index in np.random.default_rng(0).permutation(len(train_images))]
    again = transformed(analyse(shuffled, SIZE), train_images)
    np.testing.assert_array_equal(again["dct"], features["dct"])


def test_an_image_that_was_not_analysed_uses_the_same_statistics(transform_graph, windows):
    stranger = noise(99)
    spectra = np.stack([log_spectrum_by_scipy(window) for window in windows])
    expected = (log_spectrum_by_scipy(stranger) - spectra.mean(axis=0)) / spectra.std(axis=0)
    difference = np.abs(transformed(transform_graph, [encode(stranger)])["dct"][0] - expected)
    assert np.quantile(difference, 0.99) < 1e-3


def test_undecodable_bytes_are_an_invalid_argument_in_the_exported_graph(transform_graph):
    with pytest.raises(tf.errors.InvalidArgumentError):
        transformed(transform_graph, [b"junk"])


def test_statistics_equal_the_published_methods_welford_pass_over_twelve_images(shared_folder, analyse):
    golden = shared_folder / "reference" / "golden"
    paths = sorted((golden / "images").glob("128_*.png"))
    assert len(paths) == 12
    graph = analyse([path.read_bytes() for path in paths], 128)
    welford = np.load(golden / "intermediate" / "welford_128.npz")
    photo = golden / "images" / "128_06_photo0.png"
    spectrum = log_spectrum_by_scipy(np.asarray(Image.open(photo).convert("RGB")))[..., 0]
    expected = (spectrum - welford["mean"]) / welford["std_dev"]
    difference = np.abs(transformed(graph, [photo.read_bytes()])["dct"][0, ..., 0] - expected)
    assert np.quantile(difference, 0.99) < 1e-3
