"""The baseline of Yu et al.: convolutions, then pooling down to 4 x 4 places, then dense layers.

Pooling starts at 1/8 of the resolution and every layer has a quarter of the original's channels.

Source: Yu, Davis & Fritz 2019 (arXiv 1811.08180), the post-pooling variant; layer names and sizes as in the comparison
of Khoo, Lim & Phan 2022 (arXiv 2203.09777).
"""

import keras

from components.models.layers import Block, LayerFactory, require_divisible_by_eight
from components.models.parameters import LayerParameters

DECISION_LAYER = "blDecision"
LEAK = 0.2  # slope of the leaky ReLU below zero
_SMALLEST_POOLED = 8  # sides from here on are halved: 4 to 7 places a side remain
_UNITS = 128


class _LeakyLayers(LayerFactory):
    """Makes layers that are followed by a leaky ReLU, e.g. blConv_02 and blLRelu_02."""

    def leaky_convolution(self, index: int, filters: int) -> Block:
        convolution = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=self._initializer(index, relu=True),
            name=f"{self._prefix}Conv_{index:02d}",
        )
        return self._leaky(index, convolution)

    def leaky_dense(self, index: int, units: int) -> Block:
        dense = keras.layers.Dense(
            units, kernel_initializer=self._initializer(index, relu=True), name=f"{self._prefix}Dense_{index:02d}"
        )
        return self._leaky(index, dense)

    def pooling(self, index: int) -> keras.layers.Layer:
        return keras.layers.AveragePooling2D(2, name=f"{self._prefix}APool_{index:02d}")

    def _leaky(self, index: int, layer: keras.layers.Layer) -> Block:
        activation = keras.layers.LeakyReLU(negative_slope=LEAK, name=f"{self._prefix}LRelu_{index:02d}")
        return lambda inputs: activation(layer(inputs))


def build_postpool(
    input_shape: tuple[int, int, int], classes: int, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds an untrained baseline of Yu et al.

    The number of poolings follows from the size (two after the third at 128 px, three at 256 px), and with it the
    numbers in the names of the layers after them.

    Args:
        input_shape: (height, width, channels), height and width divisible by 8.
        classes: 1 for detection or for one source against the rest; otherwise the number of classes (real included).
        parameters: initialisation; there is no batch normalisation.
        seed: of the initial weights.

    Input shape:
        float32 (batch, height, width, channels), pixels or DCT coefficients.

    Output shape:
        float32 (batch, classes): probabilities, 0..1; they sum to 1 if classes > 1.

    Raises:
        ValueError: if height or width is not divisible by 8, or classes is below 1.
    """
    require_divisible_by_eight(input_shape)
    layers = _LeakyLayers("bl", parameters, seed)
    decision = layers.classes(classes)
    inputs = keras.Input(input_shape, name="blInput")
    features = inputs
    for first, filters in ((1, (4, 8)), (3, (8, 16)), (5, (16, 32))):
        features = layers.leaky_convolution(first, filters[0])(features)
        features = layers.leaky_convolution(first + 1, filters[1])(features)
        features = layers.pooling(first + 1)(features)
    index = 7
    while min(features.shape[1:3]) >= _SMALLEST_POOLED:
        features = layers.pooling(index)(features)
        index += 1
    features = layers.leaky_convolution(index, _UNITS)(features)
    features = keras.layers.Flatten(name="blFlatten")(features)
    features = layers.leaky_dense(index + 1, _UNITS)(features)
    return keras.Model(inputs, decision(features), name="postpool")
