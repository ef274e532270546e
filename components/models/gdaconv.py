"""The baseline of Frank et al.: four convolutions without batch normalisation, and one dense layer over all places.

Source: Frank, Eisenhofer, Schoenherr, Fischer, Kolossa & Holz 2020 (arXiv 2003.08685), the simple CNN; layer names and
sizes as in the comparison of Khoo, Lim & Phan 2022 (arXiv 2203.09777).
"""

import keras

from components.models.layers import LayerFactory, require_divisible_by_eight
from components.models.parameters import LayerParameters

DECISION_LAYER = "blDecision"


def build_gdaconv(
    input_shape: tuple[int, int, int], classes: int, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds an untrained baseline of Frank et al.

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
    layers = LayerFactory("bl", parameters, seed)
    decision = layers.classes(classes)
    inputs = keras.Input(input_shape, name="blInput")
    features = layers.block(1, filters=3, kernel=3, normalise=False)(inputs)
    features = layers.block(2, filters=8, kernel=3, normalise=False)(features)
    features = keras.layers.AveragePooling2D(2, name="blAPool_02")(features)
    features = layers.block(3, filters=16, kernel=3, normalise=False)(features)
    features = keras.layers.AveragePooling2D(2, name="blAPool_03")(features)
    features = layers.block(4, filters=32, kernel=3, normalise=False)(features)
    return keras.Model(inputs, decision(keras.layers.Flatten(name="blFlatten")(features)), name="gdaconv")
