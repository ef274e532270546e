"""Reduction of features over the places of an image to their means and standard deviations."""

import keras
import tensorflow as tf

DEVIATION_FLOOR = 1e-4  # added to a variance before its root, whose gradient is infinite at zero


@keras.saving.register_keras_serializable(package="generator_attribution")
class MeanAndDeviation(keras.layers.Layer):
    """Mean, then standard deviation sqrt(variance + 1e-4), of each channel over places.

    A mean says how much of a trace an image holds; a deviation whether it is everywhere or in one place.

    Input shape:
        Floats (batch, height, width, channels); reduced in float32.

    Output shape:
        float32 (batch, 2 * channels).
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns means and deviations."""
        return tf.concat(mean_and_deviation(inputs), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        channels = input_shape[-1]
        return (input_shape[0], channels and 2 * channels)


def mean_and_deviation(features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and standard deviation over places, each (batch, channels), of (batch, height, width, channels)."""
    mean, variance = tf.nn.moments(features, (1, 2))
    return mean, tf.sqrt(variance + DEVIATION_FLOOR)
