"""The primary module: real or synthesised?

Six convolutions, three of them halving the resolution. The output of the fourth, `mid_features`, carries the
fingerprints of generators; every secondary module reads it.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777). Layer names are those of the published weights.
"""

import keras

from components.models.layers import LayerFactory, require_divisible_by_eight
from components.models.parameters import LayerParameters

MIDDLE_LAYER = "dRelu_04"  # (batch, size / 4, size / 4, 16)
LAST_LAYER = "dRelu_06"  # (batch, size / 8, size / 8, 32)
DECISION_LAYER = "dDecision"
MIDDLE_CHANNELS = 16


def build_primary(
    input_shape: tuple[int, int, int], pooled: bool, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds an untrained primary module.

    Args:
        input_shape: (height, width, channels), height and width divisible by 8.
        pooled: True averages the last features over the image (pixel input, where a fingerprint may be anywhere);
            False keeps their places (DCT input, where the place is the frequency).
        parameters: initialisation and batch normalisation.
        seed: of the initial weights.

    Input shape:
        float32 (batch, height, width, channels).

    Output shape:
        float32 (batch, 1): probability that the image is synthesised, 0..1.

    Raises:
        ValueError: if height or width is not divisible by 8.
    """
    require_divisible_by_eight(input_shape)
    layers = LayerFactory("d", parameters, seed)
    inputs = keras.Input(input_shape, name="dInput")
    features = layers.block(1, filters=3, kernel=3, normalise=False)(inputs)
    features = layers.block(2, filters=8, kernel=4, stride=2)(features)
    features = layers.block(3, filters=16, kernel=3)(features)
    features = layers.block(4, filters=MIDDLE_CHANNELS, kernel=4, stride=2)(features)
    features = layers.block(5, filters=32, kernel=3)(features)
    features = layers.block(6, filters=32, kernel=4, stride=2)(features)
    return keras.Model(inputs, layers.decision(pooled)(features), name="primary")


def with_features(primary: keras.Model) -> keras.Model:
    """Returns a view on a primary module, sharing its weights, that also gives its features.

    Output shape:
        A list: middle features (batch, size/4, size/4, 16), last features (batch, size/8, size/8, 32), and the
        probability (batch, 1).
    """
    return keras.Model(
        primary.input,
        [primary.get_layer(MIDDLE_LAYER).output, primary.get_layer(LAST_LAYER).output, primary.outputs[0]],
        name="primary_with_features",
    )
