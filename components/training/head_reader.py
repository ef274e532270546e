"""What open-set scores ask of a head: its logits, and its last features averaged over the image."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.models.any_size import input_of_any_size
from components.models.secondary import LAST_LAYER

_BATCH = 64


class HeadAnswers(NamedTuple):
    """What a head says of images.

    Attributes:
        logits: float32 (images,), log-odds that its source made the image.
        features: float32 (images, channels), its last features averaged over places.
    """

    logits: np.ndarray
    features: np.ndarray


class HeadReader:
    """Asks heads of one architecture, one after the other: TensorFlow traces their layers once for all of them.

    Args:
        head: any of the heads.
    """

    def __init__(self, head: keras.Model) -> None:
        # Heads that average over places may be trained on windows of another size than they are asked about.
        self._layers = keras.models.clone_model(_up_to_last_features(head), input_tensors=input_of_any_size(head))
        self._averages = any(isinstance(layer, keras.layers.GlobalAveragePooling2D) for layer in head.layers)

        @tf.function(reduce_retracing=True)
        def answer(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            last = self._layers(inputs, training=False)
            averaged = tf.reduce_mean(last, axis=(1, 2))
            decisive = averaged if self._averages else tf.reshape(last, (tf.shape(last)[0], -1))
            return tf.matmul(decisive, kernel)[:, 0] + bias[0], averaged

        self._answer = answer

    def read(self, head: keras.Model, middle_features: np.ndarray, rows: np.ndarray) -> HeadAnswers:
        """Asks a head about some images.

        Args:
            head: of the reader's architecture.
            middle_features: float32 (count, height, width, channels), of a split; may be memory-mapped.
            rows: int (images,), which of its images, at least one.
        """
        self._layers.set_weights(_up_to_last_features(head).get_weights())
        kernel, bias = (tf.constant(values) for values in head.layers[-1].get_weights())
        answers = [
            self._answer(tf.constant(middle_features[batch]), kernel, bias)
            for batch in np.array_split(rows, range(_BATCH, len(rows), _BATCH))
        ]
        return HeadAnswers(*(_joined(parts) for parts in zip(*answers, strict=True)))


def _up_to_last_features(head: keras.Model) -> keras.Model:
    return keras.Model(head.input, head.get_layer(LAST_LAYER).output)


def _joined(parts: Sequence[tf.Tensor]) -> np.ndarray:
    return np.concatenate([part.numpy() for part in parts])
