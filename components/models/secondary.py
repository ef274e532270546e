"""The secondary module, or head: did this one source make the image?

Two convolutions on the frozen middle features of the primary module. Heads are trained one by one and never see each
other, so that a generator is added by training one head and touching nothing else.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777). Layer names are those of the published weights.
"""

import keras

from components.models.layers import LayerFactory
from components.models.parameters import LayerParameters

LAST_LAYER = "aRelu_02"
DECISION_LAYER = "aDecision"


def build_secondary(
    feature_shape: tuple[int, int, int], pooled: bool, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds an untrained head.

    Args:
        feature_shape: (height, width, channels) of the primary module's middle features; even height and width, unless
            pooled.
        pooled: as in the primary module: True for pixel input, False for DCT input.
        parameters: initialisation and batch normalisation.
        seed: of the initial weights.

    Input shape:
        float32 (batch, height, width, channels).

    Output shape:
        float32 (batch, 1): probability that the source made the image, 0..1.

    Raises:
        ValueError: if height or width is odd, and the head is not pooled.
    """
    height, width, _ = feature_shape
    if not pooled and (height % 2 or width % 2):
        raise ValueError(f"feature_shape: height and width must be even, got {feature_shape}.")
    layers = LayerFactory("a", parameters, seed)
    inputs = keras.Input(feature_shape, name="aInput")
    features = layers.block(1, filters=32, kernel=3)(inputs)
    features = layers.block(2, filters=32, kernel=4, stride=2)(features)
    return keras.Model(inputs, layers.decision(pooled)(features), name="secondary")
