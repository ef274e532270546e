"""All heads of a servable as one computation, whose graph is the same size for one head and for a hundred.

The heads' weights are stacked, batch normalisation is folded into the convolutions before it, and one loop in the graph
runs over the stack. A hundred heads cost a hundred times the arithmetic of one, which no grouping saves. Saved is all
else: nodes to load, to optimise and to schedule, and memory, since a head's features are dropped before the next one's
are made. (Grouped convolutions do not save arithmetic either, and oneDNN's are slower than one after the other.)
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.models import secondary
from components.models.distances import SourceDistance
from components.models.heatmaps import contribution_map

# Convolutions of a head with the normalisation behind each, in the order in which their weights are stacked.
CONVOLUTIONS = (("aConv_01", "aBNorm_01"), ("aConv_02", "aBNorm_02"))


class HeadAnswers(NamedTuple):
    """What heads say of a batch of images.

    Attributes:
        probabilities: float32 (batch, heads), 0..1.
        within: bool (batch, heads), whether the image is near enough to the head's source to be claimed.
        maps: float32 (batch, heads, height / 2, width / 2), rounded up, as `contribution_map`; not to be read if not
            asked for.
    """

    probabilities: tf.Tensor
    within: tf.Tensor
    maps: tf.Tensor


class GroupedHeads(tf.Module):
    """Trained heads that answer together.

    Args:
        heads: source -> its head, all for the same middle features; their order is the order of the answers.
        distances: source -> beyond which distance from its images its head claims nothing; None, or left out: there is
            no such distance.

    Attributes:
        count: Number of heads.
        map_shape: Height and width of a head's map.

    Raises:
        ValueError: if the heads' weights differ in shape.
    """

    def __init__(
        self, heads: Mapping[str, keras.Model], distances: Mapping[str, SourceDistance | None] | None = None
    ) -> None:
        super().__init__(name="heads")
        self.count = len(heads)
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
        last = models[0].get_layer(secondary.LAST_LAYER).output.shape[1:] if models else (0, 0, 0)
        self.map_shape, channels = tuple(last[:2]), last[2]
        given = [(distances or {}).get(source) for source in heads]
        # Without any distance nothing is computed of it.
        self._distances = (
            [tf.Variable(np.stack(parts), trainable=False, dtype=tf.float32)
             for parts in zip(*(_distance_weights(one, channels) for one in given), strict=True)]
            if any(given) else []
        )  # fmt: skip

    def answers(self, middle_features: tf.Tensor, with_maps: bool = False) -> HeadAnswers:
        """Returns what each head says.

        Args:
            middle_features: float32 (batch, height, width, channels); not an empty batch.
            with_maps: also what each place contributes to it.
        """
        batch = tf.shape(middle_features)[0]
        if not self.count:
            # As large as the maps of heads would be: their second convolution halves the resolution.
            _, height, width, _ = middle_features.shape
            maps = tf.zeros((batch, 0, (height + 1) // 2, (width + 1) // 2))
            return HeadAnswers(tf.zeros((batch, 0)), tf.zeros((batch, 0), tf.bool), maps)
        parts = len(self._weights)

        def answer(of_head: Sequence[tf.Tensor]) -> HeadAnswers:
            weights, distance = of_head[:parts], of_head[parts:]
            features = self._last_features(middle_features, weights)
            *_, kernel, bias = weights
            averaged = tf.reduce_mean(features, (1, 2)) if self._pooled or distance else None
            # The decision layer is linear: its logit is the mean, or the sum, of what the places contribute.
            reduced = averaged if self._pooled else tf.reshape(features, (batch, kernel.shape[0]))
            logits = tf.linalg.matmul(reduced, kernel) + bias
            within = _within(averaged, *distance) if distance else tf.ones((batch,), tf.bool)
            maps = contribution_map(features, kernel) if with_maps else tf.zeros((batch, 0, 0))
            return HeadAnswers(tf.sigmoid(logits[:, 0]), within, maps)

        shapes = HeadAnswers(
            tf.TensorSpec((None,), tf.float32), tf.TensorSpec((None,), tf.bool), tf.TensorSpec((None,) * 3, tf.float32)
        )
        stacked = (*self._weights, *self._distances)
        # One head at a time keeps its features in the processor's cache; a convolution uses all cores by itself.
        found = tf.map_fn(answer, stacked, fn_output_signature=shapes, parallel_iterations=1)
        return HeadAnswers(
            tf.transpose(found.probabilities), tf.transpose(found.within), tf.transpose(found.maps, (1, 0, 2, 3))
        )

    def pooled_features(self, middle_features: tf.Tensor, with_maps: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what each head averages over places: the part of its work that windows of one image can share out.

        Args:
            middle_features: float32 (batch, height, width, channels); not an empty batch.
            with_maps: Whether maps are computed; without, they hold no place.

        Returns:
            float32 (batch, heads, channels), averaged last features; float32 (batch, heads, height / 2, width / 2),
            maps as of `answers`.

        Raises:
            ValueError: if the heads keep places instead of averaging over them.
        """
        if self.count and not self._pooled:
            raise ValueError("heads: must average over places, to judge several windows of an image as one.")
        batch = tf.shape(middle_features)[0]
        if not self.count:
            places = (tf.shape(middle_features)[1:3] + 1) // 2
            return tf.zeros((batch, 0, 1)), tf.zeros(tf.concat([[batch, 0], places], axis=0))

        def of_head(weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            features = self._last_features(middle_features, weights)
            maps = contribution_map(features, weights[-2]) if with_maps else tf.zeros((batch, 0, 0))
            return tf.reduce_mean(features, (1, 2)), maps

        shapes = (tf.TensorSpec((None, None), tf.float32), tf.TensorSpec((None,) * 3, tf.float32))
        averaged, maps = tf.map_fn(of_head, tuple(self._weights), fn_output_signature=shapes, parallel_iterations=1)
        return tf.transpose(averaged, (1, 0, 2)), tf.transpose(maps, (1, 0, 2, 3))

    def decide(self, averaged: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return probabilities and nearness from averaged features.

        Args:
            averaged: float32 (batch, heads, channels), as `pooled_features` returns them, averaged over the windows of
                each image.

        Returns:
            float32 (batch, heads), probabilities; bool (batch, heads), as `HeadAnswers.within`.
        """
        if not self.count:
            empty = tf.zeros((tf.shape(averaged)[0], 0))
            return empty, tf.cast(empty, tf.bool)
        *_, kernels, biases = self._weights
        # (batch, heads, channels) x (heads, channels, 1), head by head.
        logits = tf.einsum("bhc,hco->bh", averaged, tf.convert_to_tensor(kernels)) + biases[:, 0]
        if not self._distances:
            return tf.sigmoid(logits), tf.ones_like(logits, tf.bool)
        mean, precision, limit = (tf.convert_to_tensor(part) for part in self._distances)
        centred = averaged - mean
        return tf.sigmoid(logits), tf.einsum("bhc,hcd,bhd->bh", centred, precision, centred) <= limit

    def _last_features(self, middle_features: tf.Tensor, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        first_kernel, first_bias, second_kernel, second_bias, *_ = weights
        features = tf.nn.relu(tf.nn.conv2d(middle_features, first_kernel, 1, "SAME") + first_bias)
        features = tf.nn.relu(tf.nn.conv2d(features, second_kernel, 2, "SAME") + second_bias)
        # Heads that average over places take windows of any size; those that keep them are tied to one.
        places = (None, None) if self._pooled else self.map_shape
        return tf.ensure_shape(features, (None, *places, second_kernel.shape[-1]))


def _within(averaged: tf.Tensor, mean: tf.Tensor, precision: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Returns whether averaged last features, (batch, channels), are no farther from a source's than its limit."""
    centred = averaged - mean
    return tf.reduce_sum(tf.linalg.matmul(centred, precision) * centred, axis=1) <= limit


def _distance_weights(distance: SourceDistance | None, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns mean, precision and limit; where there is no distance, those by which every image is near."""
    if distance is None:
        return np.zeros(channels), np.zeros((channels, channels)), np.zeros(())
    return distance.mean, distance.precision, np.array(distance.limit)


def _folded_weights(head: keras.Model) -> list[np.ndarray]:
    """Returns kernel and bias of both convolutions, normalisation folded in, and of the decision layer."""
    decision = head.get_layer(secondary.DECISION_LAYER)
    folded = [
        *(weight for names in CONVOLUTIONS for weight in _fold(head, *names)),
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
