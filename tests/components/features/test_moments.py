"""Sums of spectra: numpy's statistics in another order of computation, and the same bits in every order of images."""

import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

from components.features import dct, image, moments
from components.features.moments import batch_sums, mean_and_variance
from tests.support.images import log_spectrum_by_scipy, noise

COUNT = 11


@pytest.fixture(scope="module")
def windows():
    return np.stack([noise(seed) for seed in range(COUNT)])


def sums_of(windows, colour="grey"):
    return batch_sums(tf.constant(windows), colour).numpy()


def statistics(sums, count):
    return [value.numpy() for value in mean_and_variance(tf.constant(sums), tf.constant(count, tf.int64))]


def assert_numpys_statistics(sums, spectra):
    mean, variance = statistics(sums, COUNT)
    # Near zero the logarithm amplifies float32 rounding of the DCT: there are few such coefficients.
    assert np.quantile(np.abs(mean - spectra.mean(axis=0)), 0.99) < 1e-3
    assert np.quantile(np.abs(variance - spectra.var(axis=0)), 0.99) < 1e-3


def test_mean_and_variance_are_numpys_over_scipys_spectra(windows):
    assert_numpys_statistics(sums_of(windows), np.stack([log_spectrum_by_scipy(window) for window in windows]))


def test_in_colour_every_channel_has_statistics_of_its_own(windows):
    spectra = scipy.fft.dctn(windows.astype(np.float64), type=2, norm="ortho", axes=(1, 2))
    assert_numpys_statistics(sums_of(windows, "rgb"), np.log(np.abs(spectra) + 1e-12))


def test_rounding_to_steps_moves_statistics_by_less_than_a_millionth(windows):
    spectra = dct.log_spectrum(image.grey(tf.constant(windows))).numpy().astype(np.float64)
    mean, variance = statistics(sums_of(windows), COUNT)
    np.testing.assert_allclose(mean, spectra.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(variance, spectra.var(axis=0), rtol=1e-6, atol=1e-6)


def test_sums_are_the_same_bits_in_any_order_and_any_batches(windows):
    everything = sums_of(windows)
    order = np.random.default_rng(1).permutation(COUNT)
    np.testing.assert_array_equal(sums_of(windows[order]), everything)
    parts = [sums_of(part) for part in np.split(windows[order], [1, 3, 8])]
    np.testing.assert_array_equal(sum(parts), everything)
    np.testing.assert_array_equal(sum(reversed(parts)), everything)


@pytest.mark.parametrize("at_a_time", [1, 4, COUNT, 100])
def test_how_many_images_are_taken_at_a_time_changes_no_bit(windows, monkeypatch, at_a_time):
    everything = sums_of(windows)
    monkeypatch.setattr(moments, "_CHUNK", at_a_time * windows.shape[1] * windows.shape[2])
    np.testing.assert_array_equal(sums_of(windows), everything)


def test_a_coefficient_that_never_changes_has_next_to_no_variance():
    black = np.zeros((COUNT, 32, 32, 3), np.uint8)
    mean, variance = statistics(sums_of(black), COUNT)
    np.testing.assert_allclose(mean, np.log(1e-12), rtol=1e-6)
    assert (variance >= 0).all()
    assert np.sqrt(variance).max() < 1e-3  # below the floor of the deviation, which decides then


def test_an_empty_batch_adds_nothing():
    assert not sums_of(np.zeros((0, 32, 32, 3), np.uint8)).any()
