"""Dropout whose masks follow from a training's state, so that an interrupted training ends as it would have ended."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="generator_attribution")
class CountedDropout(keras.layers.Layer):
    """Dropout with masks that follow from a seed and from the number of batches seen.

    The number is a weight that is never trained: checkpoints hold it, and models that start from the same weights draw
    the same masks. The state of Keras' own dropout is not among a model's weights. All devices that train together draw
    one mask, for different images.

    Args:
        rate: Share of values set to zero in training, 0 or more and below 1; the others grow by 1 / (1 - rate).
        seed: Seed of the masks.
        **options: Options of every Keras layer, e.g. `name`.

    Input and output shape:
        (batch, ...); outside training the output is the input.

    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
    """

    def __init__(self, rate: float, seed: int = 0, **options: object) -> None:
        super().__init__(**options)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate: must be at least 0 and below 1, got {rate}.")
        self.rate, self.seed = rate, seed
        self._batches = self.add_weight(
            name="batches",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the inputs, in training with some of them set to zero."""
        if not training or self.rate == 0.0:
            return inputs
        number = tf.convert_to_tensor(self._batches)
        draws = tf.random.stateless_uniform(tf.shape(inputs), tf.stack([tf.cast(self.seed, tf.int64), number]))
        self._batches.assign(number + 1)
        return tf.where(draws >= self.rate, inputs / (1.0 - self.rate), tf.zeros_like(inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        return input_shape

    def get_config(self) -> dict[str, object]:
        """Returns the arguments of a layer like this one."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
