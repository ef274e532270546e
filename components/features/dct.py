"""Orthonormal 2-D discrete cosine transform (DCT-II) as matrix products, and the log-spectrum built on it.

For a square image X of N x N pixels the transform is C @ X @ C.T, where C is the N x N DCT matrix. Two matrix products
beat the FFT formulation at the sizes we use (128 to 256 px), are differentiable, and run on any device that multiplies
matrices.

Source: Ahmed, Natarajan & Rao, "Discrete Cosine Transform", IEEE Trans. Computers C-23, 1974; the log-spectrum as a
detector's input: Frank et al., "Leveraging Frequency Analysis for Deep Fake Image Recognition", ICML 2020.
"""

import tensorflow as tf

from serving.dct import dct_matrix

# Keeps the logarithm finite where a coefficient is exactly zero; Frank et al. use the same value.
LOG_OFFSET = 1e-12

# A coefficient whose standard deviation over the training images lies below this carries no information; dividing by
# the floor instead keeps rounding noise from being blown up. Published statistics lie between 0.25 and 1.5.
MINIMUM_DEVIATION = 1e-3

_MINIMUM_ROWS = 128


def dct2(images: tf.Tensor) -> tf.Tensor:
    """Transforms a batch of images, each channel by itself.

    Args:
        images: float32 tensor of shape (batch, size, size, channels), any value range; published weights expect 0..255.

    Returns:
        float32 tensor of the same shape: coefficient (u, v) at row u, column v, the constant term at (0, 0).

    Raises:
        ValueError: if the images are not square, or their shape is not known.
    """
    size, channels = _square_shape(images)
    basis = tf.constant(dct_matrix(size).T, tf.float32)
    return tf.stack([_along_both(images[..., channel], basis, size) for channel in range(channels)], axis=-1)


def log_spectrum(images: tf.Tensor) -> tf.Tensor:
    """Returns the natural logarithm of the magnitude of every DCT coefficient.

    Args:
        images: float32 tensor of shape (batch, size, size, channels), values 0..255; published weights expect luma.

    Returns:
        float32 tensor of the same shape; at least log(1e-12) = -27.6.
    """
    return tf.math.log(tf.abs(dct2(images)) + LOG_OFFSET)


def normalise(spectrum: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
    """Standardises each coefficient by its own statistics over the training images.

    Args:
        spectrum: float32 (batch, size, size, channels), as from `log_spectrum`.
        mean: float32 (size, size, channels), mean of each coefficient.
        variance: float32 (size, size, channels), population variance of each coefficient.

    Returns:
        float32 tensor of the shape of `spectrum`: (spectrum - mean) / max(sqrt(variance), 1e-3).
    """
    return (spectrum - mean) / tf.maximum(tf.sqrt(variance), MINIMUM_DEVIATION)


def _along_both(planes: tf.Tensor, basis: tf.Tensor, size: int) -> tf.Tensor:
    """Transforms rows, then columns, of planes of shape (batch, size, size).

    As products of two matrices, all rows of the batch below each other. In a product of batches oneDNN adds up in
    another order for other batches, and the logarithm of a small coefficient makes much of that.
    """
    count = tf.shape(planes)[0]
    # Few rows are multiplied by other routines than many.
    missing = tf.maximum(_MINIMUM_ROWS - count * size, 0)
    for _ in range(2):
        rows = tf.pad(tf.reshape(planes, (-1, size)), ((0, missing), (0, 0)))
        products = tf.linalg.matmul(rows, basis)[: count * size]
        planes = tf.transpose(tf.reshape(products, (-1, size, size)), (0, 2, 1))
    return planes


def _square_shape(images: tf.Tensor) -> tuple[int, int]:
    """Returns N and C for images of static shape (batch, N, N, C)."""
    shape = images.shape
    if shape.rank != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] is None:
        raise ValueError(
            f"images: must have shape (batch, size, size, channels) with known size and channels, got {shape}."
        )
    return int(shape[1]), int(shape[3])
