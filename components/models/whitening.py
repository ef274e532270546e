"""Projection of whitened features: a linear layer that is trained in a basis in which its inputs are uncorrelated.

Logarithms of neighbouring cosine coefficients rise and fall together: the few directions in which all of them do so
carry nearly all of the variance, and those that tell generators apart nearly none. Steps of gradient descent on a plain
linear layer are therefore large where little is to be learnt. Mean and covariance of the features are measured once,
before training; from then on the layer computes

    outputs = (features - mean) @ basis @ kernel

of which only the kernel is trained. Basis and kernel are multiplied with each other first, so that the layer costs
hardly more than a plain one.

Source: LeCun et al. 1998, "Efficient BackProp", section 4.3, for decorrelated inputs; Kessy, Lewin & Strimmer 2018,
"Optimal whitening and decorrelation" (arXiv 1512.00809), table 1, "PCA", for the basis.
"""

import keras
import numpy as np
import tensorflow as tf

# Share of the mean variance that is added to the variance along each direction: what is fainter is rounding.
_FLOOR = 0.01
_SMALLEST = 1e-6


@keras.saving.register_keras_serializable(package="generator_attribution")
class WhitenedProjection(keras.layers.Layer):
    """(features - mean) @ basis @ kernel over the last axis; mean and basis are measured, the kernel is trained.

    Before `fit_whitening` the mean is zero, and the basis keeps the first features as they are.

    Args:
        units: Number of outputs.
        rank: Directions of greatest variance that are kept, at most the number of features.
        kernel_initializer: Initialiser of the kernel, (rank, units).
        **options: Options of every Keras layer, e.g. `name`.

    Input shape:
        Floats (..., features); the mean is subtracted in float32.

    Output shape:
        (..., units).
    """

    def __init__(
        self, units: int, rank: int, kernel_initializer: str | keras.Initializer = "he_normal", **options: object
    ) -> None:
        super().__init__(**options)
        self.units, self.rank = units, rank
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights.

        Raises:
            ValueError: if there are fewer features than directions to keep.
        """
        features = int(input_shape[-1] or 0)
        if features < self.rank:
            raise ValueError(f"rank: must be at most the number of features, {features}, got {self.rank}.")
        self.mean = self.add_weight(name="mean", shape=(features,), initializer="zeros", trainable=False)
        self.basis = self.add_weight(
            name="basis",
            shape=(features, self.rank),
            initializer=lambda shape, dtype: tf.eye(*shape, dtype=dtype),
            # Half the room of a saved model, and rounded by less than a thousandth: the kernel is trained on top of it.
            dtype="float16",
            trainable=False,
        )
        self.kernel = self.add_weight(
            name="kernel", shape=(self.rank, self.units), initializer=self.kernel_initializer, trainable=True
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the projection, computed in the precision in which Keras reads the weights."""
        return self.project(inputs, self.compute_dtype)

    def project(self, inputs: tf.Tensor, dtype: str) -> tf.Tensor:
        """Returns the projection, whose one large product is computed in `dtype`."""
        centred = tf.cast(tf.cast(inputs, tf.float32) - tf.convert_to_tensor(self.mean), dtype)
        basis, kernel = (tf.cast(tf.convert_to_tensor(part), tf.float32) for part in (self.basis, self.kernel))
        weights = tf.linalg.matmul(basis, kernel)
        rows = tf.linalg.matmul(tf.reshape(centred, (-1, self.basis.shape[0])), tf.cast(weights, dtype))
        return tf.reshape(rows, tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, object]:
        """Returns the arguments of a layer like this one."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "units": self.units, "rank": self.rank, "kernel_initializer": initializer}


def whitening_basis(covariance: np.ndarray, rank: int) -> np.ndarray:
    """Returns the basis in which features of a covariance are uncorrelated and of about unit variance.

    Args:
        covariance: floats (features, features), symmetric.
        rank: directions of greatest variance that are kept.

    Returns:
        float32 (features, rank): eigenvectors, the one of greatest variance first, each divided by the root of its
        variance plus a hundredth of the mean variance. The sign of each is that in which its entry of greatest
        magnitude is positive, so that the basis does not depend on the routine that found it.
    """
    variances, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    variances, vectors = variances[::-1][:rank], vectors[:, ::-1][:, :rank]
    floor = max(_FLOOR * float(np.trace(covariance)) / len(covariance), _SMALLEST)
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
    return (vectors * signs / np.sqrt(np.maximum(variances, 0.0) + floor)).astype(np.float32)
