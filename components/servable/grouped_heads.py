"""All heads of a servable as one computation, whose graph is the same size for one head and for a hundred.

The heads' weights are stacked, batch normalisation is folded into the convolutions before it, and one loop in the graph
runs over the stack. A hundred heads cost a hundred times the arithmetic of one, which no grouping saves. Saved is all
else: nodes to load, to optimise and to schedule, and memory, since a head's features are dropped before the next one's
are made. (Grouped convolutions do not save arithmetic either, and oneDNN's are slower than one after the other.)
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from components.models import secondary
from components.models.heatmaps import contribution_map

_FIRST, _SECOND = ("aConv_01", "aBNorm_01"), ("aConv_02", "aBNorm_02")


class GroupedHeads(tf.Module):
    """Trained heads that answer together.

    Args:
        heads: source -> its head, all for the same middle features; their order is the order of the answers.

    Raises:
        ValueError: if the heads' weights differ in shape.
    """

    def __init__(self, heads: Mapping[str, keras.Model]) -> None:
        super().__init__(name="heads")
        self._count = len(heads)
        weights = [_folded_weights(head) for head in heads.values()]
        for source, its_weights in zip(heads, weights, strict=True):
            shapes, expected = ([part.shape for part in one] for one in (its_weights, weights[0]))
            if shapes != expected:
                raise ValueError(
                    f"heads: '{source}' has weights of shapes {shapes}, the others {expected}. Train all heads on the "
                    "same primary module, at the same image size."
                )
        self._weights = [
            tf.Variable(np.stack(parts), trainable=False, dtype=tf.float32) for parts in zip(*weights, strict=True)
        ]
        models = list(heads.values())
        self._pooled = bool(models) and any(
            isinstance(one, keras.layers.GlobalAveragePooling2D) for one in models[0].layers
        )
        self._map_shape = tuple(models[0].get_layer(secondary.LAST_LAYER).output.shape[1:3]) if models else (0, 0)

    def probabilities(self, middle_features: tf.Tensor) -> tf.Tensor:
        """Returns what each head says.

        Args:
            middle_features: float32 (batch, height, width, channels); not an empty batch.

        Returns:
            float32 (batch, heads), 0..1.
        """
        return self._run(middle_features, with_maps=False)[0]

    def explained(self, middle_features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what each head says, and what each place contributes to it.

        Args:
            middle_features: float32 (batch, height, width, channels); not an empty batch.

        Returns:
            float32 (batch, heads), 0..1; float32 (batch, heads, height / 2, width / 2), as `contribution_map`.
        """
        return self._run(middle_features, with_maps=True)

    def _run(self, middle_features: tf.Tensor, with_maps: bool) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.shape(middle_features)[0]
        if not self._count:
            # As large as the maps of heads would be: their second convolution halves the resolution.
            _, height, width, _ = middle_features.shape
            return tf.zeros((batch, 0)), tf.zeros((batch, 0, height // 2, width // 2))

        def answer(weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            features = self._last_features(middle_features, weights)
            *_, kernel, bias = weights
            # The decision layer is linear: its logit is the mean, or the sum, of what the places contribute.
            reduced = (
                tf.reduce_mean(features, (1, 2)) if self._pooled else tf.reshape(features, (batch, kernel.shape[0]))
            )
            logits = tf.linalg.matmul(reduced, kernel) + bias
            maps = contribution_map(features, kernel) if with_maps else tf.zeros((batch, 0, 0))
            return tf.sigmoid(logits[:, 0]), maps

        shapes = (tf.TensorSpec((None,), tf.float32), tf.TensorSpec((None, None, None), tf.float32))
        # One head at a time keeps its features in the processor's cache; a convolution uses all cores by itself.
        found, maps = tf.map_fn(answer, tuple(self._weights), fn_output_signature=shapes, parallel_iterations=1)
        return tf.transpose(found), tf.transpose(maps, (1, 0, 2, 3))

    def _last_features(self, middle_features: tf.Tensor, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        first_kernel, first_bias, second_kernel, second_bias, *_ = weights
        features = tf.nn.relu(tf.nn.conv2d(middle_features, first_kernel, 1, "SAME") + first_bias)
        features = tf.nn.relu(tf.nn.conv2d(features, second_kernel, 2, "SAME") + second_bias)
        return tf.ensure_shape(features, (None, *self._map_shape, second_kernel.shape[-1]))


def _folded_weights(head: keras.Model) -> list[np.ndarray]:
    """Returns kernel and bias of both convolutions, normalisation folded in, and of the decision layer."""
    decision = head.get_layer(secondary.DECISION_LAYER)
    folded = [
        *_fold(head, *_FIRST),
        *_fold(head, *_SECOND),
        *(weight.numpy() for weight in (decision.kernel, decision.bias)),
    ]
    return [np.asarray(part, np.float32) for part in folded]


def _fold(head: keras.Model, convolution_name: str, normalisation_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Folds batch normalisation into the convolution before it, in float64: both are linear in the input."""
    convolution, normalisation = head.get_layer(convolution_name), head.get_layer(normalisation_name)
    kernel, bias = (np.asarray(weight, np.float64) for weight in convolution.get_weights())
    scale, shift, mean, variance = (np.asarray(weight, np.float64) for weight in normalisation.get_weights())
    factor = scale / np.sqrt(variance + normalisation.epsilon)
    return kernel * factor, (bias - mean) * factor + shift
