"""Sums of log-spectra over all images, from which mean and variance of every coefficient follow.

Exact sums: they do not depend on the order in which images come, nor on how Beam cuts them into batches and merges its
partial sums. ImportExampleGen gives another order in each execution, and the same seed must give the same weights.
"""

import tensorflow as tf

from components.features import dct, image
from components.features.parameters import Colour

# Spectra and their squares are rounded to multiples of 2**-24, sums of which are exact in float64 up to 2**29: enough
# for 26 million images whose coefficients are 4.5 each; beyond, sums are as good as float64 is. Half a step, 3e-8, lies
# below what float32 resolves in a coefficient of more than 0.5.
_STEPS = 2.0**24

# Coefficients at a time. Larger tensors leave the processor's cache, and every one is new memory from the system.
_CHUNK = 2**18


def batch_sums(windows: tf.Tensor, colour: Colour) -> tf.Tensor:
    """Adds up the log-spectra of a batch and their squares, a few images at a time.

    Args:
        windows: uint8 tensor of shape (batch, size, size, 3), RGB; size known.
        colour: channels that the spectrum is of (see `image.channels`).

    Returns:
        float64 tensor of shape (2, size, size, channels): sums of values and of squares, in steps of 2**-24.
    """
    size = int(windows.shape[1])
    channels = 3 if colour == "rgb" else 1
    at_a_time = max(_CHUNK // (size * size * channels), 1)

    def add(start: tf.Tensor, values: tf.Tensor, squares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chunk = windows[start : start + at_a_time]
        spectrum = tf.cast(dct.log_spectrum(image.channels(chunk, colour)), tf.float64)
        return (
            start + at_a_time,
            values + tf.reduce_sum(tf.round(spectrum * _STEPS), axis=0),
            squares + tf.reduce_sum(tf.round(tf.square(spectrum) * _STEPS), axis=0),
        )

    nothing = tf.zeros((size, size, channels), tf.float64)
    _, values, squares = tf.while_loop(
        lambda start, *_: start < tf.shape(windows)[0], add, (tf.constant(0), nothing, nothing)
    )
    return tf.stack([values, squares])


def mean_and_variance(sums: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the statistics that sums amount to.

    Args:
        sums: float64 (2, size, size, channels), from `batch_sums`, added over all batches.
        count: int64 scalar, images.

    Returns:
        Mean and population variance, float32 (size, size, channels) each. Where an exact zero is left over by rounding,
        the variance is 0, never below.
    """
    mean, square = tf.unstack(sums / _STEPS / tf.cast(count, tf.float64))
    # In float64 the difference of two numbers of up to 763 is good to 1e-13.
    variance = tf.maximum(square - tf.square(mean), 0.0)
    return tf.cast(mean, tf.float32), tf.cast(variance, tf.float32)
