"""The DCT of the CPU, against SciPy."""

import numpy as np
import pytest
import scipy.fft

from serving.dct import dct2, dct_matrix


@pytest.mark.parametrize("size", [1, 2, 31, 128, 256])
def test_the_dct_matrix_is_orthonormal(size):
    matrix = dct_matrix(size)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)


def test_the_dct_matrix_is_scipys_transform_of_the_unit_vectors():
    np.testing.assert_allclose(dct_matrix(16), scipy.fft.dct(np.eye(16), axis=0, norm="ortho"), atol=1e-14)


@pytest.mark.parametrize("size", [0, -3])
def test_a_dct_matrix_below_one_row_is_refused(size):
    with pytest.raises(ValueError, match=f"size: must be at least 1, got {size}"):
        dct_matrix(size)


@pytest.mark.parametrize("size", [1, 8, 57])
def test_dct2_equals_scipy(size):
    values = np.random.default_rng(size).uniform(0, 255, (size, size))
    np.testing.assert_allclose(dct2(values), scipy.fft.dctn(values, norm="ortho"), rtol=1e-9, atol=1e-9)


def test_the_matrix_that_all_callers_share_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        dct_matrix(8)[0, 0] = 1.0
