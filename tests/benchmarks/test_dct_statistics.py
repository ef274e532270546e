"""The yardstick of the DCT statistics computes what the product computes."""

import numpy as np

from benchmarks.dct_statistics import published_loop
from tests.support.images import SIZE, encode, log_spectrum_by_scipy, noise


def test_the_published_loop_gives_mean_and_population_variance_of_every_coefficient():
    windows = [noise(seed) for seed in range(7)]
    spectra = np.stack([log_spectrum_by_scipy(window)[..., 0] for window in windows])
    mean, variance = published_loop([encode(window) for window in windows], SIZE)
    np.testing.assert_allclose(mean, spectra.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, spectra.var(axis=0), rtol=1e-9)
