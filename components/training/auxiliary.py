"""Auxiliary softmax over sources: a second task that keeps the features of sources apart while a module is trained.

Detection alone asks for features in which all generators look alike; heads need features in which they differ. The
middle and the last features are therefore averaged over places, and one dense layer at each place tells all sources of
the train split apart, real ones included. The dense layers belong to the learner: they have weights, moments in the
optimizer and a place in its checkpoints, but they are no part of the model. What is saved and served knows nothing of
them.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from components.training.losses import cross_entropy

# Far from the seeds of the model's own layers, which count up from the training's seed.
_SEED_OFFSET = 1_000_003


class AuxiliarySoftmax:
    """Dense layers on the averaged features of some layers of a model; to be built in the scope of the strategy.

    Args:
        model: Model that is trained.
        layers: Names of layers whose outputs are (batch, height, width, channels).
        sources: Names of the sources of the train split, at least two, each once.
        weight: Factor of the loss at each layer.
        seed: Seed of the initial weights.
        label_smoothing: Share of a target that is spread evenly over all sources.

    Raises:
        ValueError: if there are fewer than two sources.
    """

    def __init__(
        self,
        model: keras.Model,
        layers: Sequence[str],
        sources: Sequence[str],
        weight: float,
        seed: int,
        label_smoothing: float = 0.0,
    ) -> None:
        if len(sources) < 2:
            raise ValueError(f"sources: must be at least two to tell apart, got {', '.join(sources) or 'none'}.")
        self.outputs = [model.get_layer(name).output for name in layers]
        self._names = np.array(sorted(sources))
        self._weight, self._label_smoothing = weight, label_smoothing
        self._dense = []
        for number, output in enumerate(self.outputs):
            initializer = keras.initializers.GlorotUniform(seed=seed + _SEED_OFFSET + number)
            layer = keras.layers.Dense(len(sources), kernel_initializer=initializer, name=f"auxiliary_{number}")
            layer.build((None, int(output.shape[-1])))
            self._dense.append(layer)
        self._initial = self.get_weights()

    @property
    def variables(self) -> list[keras.Variable]:
        """Weights of all dense layers, in a fixed order."""
        return [variable for layer in self._dense for variable in layer.trainable_variables]

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights."""
        return [np.array(variable) for variable in self.variables]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Set all weights."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def reset(self) -> None:
        """Return to the initial weights."""
        self.set_weights(self._initial)

    def numbers_of(self, sources: np.ndarray) -> np.ndarray:
        """Return the class of each image, int32 (count,), for the name of its source.

        Raises:
            ValueError: if a source is none of those that the softmax was made for.
        """
        numbers = np.minimum(np.searchsorted(self._names, sources), len(self._names) - 1)
        unknown = sorted(set(sources[self._names[numbers] != sources].tolist()))
        if unknown:
            raise ValueError(f"sources: {', '.join(unknown)} must be among {', '.join(self._names)}.")
        return numbers.astype(np.int32)

    def losses(self, features: Sequence[tf.Tensor], numbers: tf.Tensor) -> tf.Tensor:
        """Return the weighted sum of the cross-entropies at all layers: float32 (batch,).

        Args:
            features: Outputs of the layers, (batch, height, width, channels), of any precision.
            numbers: int32 (batch,), class of each image.
        """
        total = tf.zeros(tf.shape(numbers), tf.float32)
        for one, layer in zip(features, self._dense, strict=True):
            averaged = tf.reduce_mean(tf.cast(one, tf.float32), axis=(1, 2))
            logits = tf.matmul(averaged, layer.kernel) + layer.bias
            total += cross_entropy(numbers, logits, self._label_smoothing)
        return self._weight * total
