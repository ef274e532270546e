"""Orthonormal DCT-II of small square images on the CPU, without TensorFlow.

Source: Ahmed, Natarajan & Rao, "Discrete Cosine Transform", IEEE Trans. Computers C-23, 1974.
"""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=8)  # a process uses few sizes; a matrix of 1024 px takes 8 MB
def dct_matrix(size: int) -> np.ndarray:
    """Return the orthonormal DCT-II matrix.

    Args:
        size: N, at least 1.

    Returns:
        float64 array of shape (N, N), read-only: row k holds the k-th cosine; C @ C.T is the identity.

    Raises:
        ValueError: if size is below 1.
    """
    if size < 1:
        raise ValueError(f"size: must be at least 1, got {size}.")
    frequency = np.arange(size)[:, np.newaxis]
    position = np.arange(size)[np.newaxis, :]
    matrix = np.sqrt(2.0 / size) * np.cos(np.pi * (2 * position + 1) * frequency / (2 * size))
    matrix[0] /= np.sqrt(2.0)
    matrix.setflags(write=False)
    return matrix


def dct2(values: np.ndarray) -> np.ndarray:
    """Return the two-dimensional DCT-II of a square array.

    Args:
        values: float64 (size, size).

    Returns:
        float64 (size, size): coefficient (u, v) at row u, column v, the constant term at (0, 0).
    """
    basis = dct_matrix(len(values))
    return basis @ values @ basis.T
