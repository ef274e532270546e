"""The variant without transfer: the primary module's network, trained from scratch to tell sources apart.

It shows what frozen features and one head a source cost, or gain, against one network for all classes. The
convolutions keep the primary module's names; the decision is named as a head's.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777), "no transfer learning" (notl).
"""

import keras

from components.models.layers import LayerFactory
from components.models.parameters import LayerParameters
from components.models.primary import DECISION_LAYER as DETECTION_LAYER
from components.models.primary import LAST_LAYER, build_primary

DECISION_LAYER = "aDecision"


def build_no_transfer(
    input_shape: tuple[int, int, int], pooled: bool, classes: int, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds an untrained variant without transfer.

    Args:
        input_shape: (height, width, channels), height and width divisible by 8.
        pooled: as in the primary module: True for pixel input, False for DCT input.
        classes: number of classes: one for each generator and one for real; 1 for one source against the rest.
        parameters: initialisation and batch normalisation.
        seed: of the initial weights.

    Input shape:
        float32 (batch, height, width, channels).

    Output shape:
        float32 (batch, classes): probabilities, 0..1; they sum to 1 if classes > 1.

    Raises:
        ValueError: if height or width is not divisible by 8, or classes is below 1.
    """
    decision = LayerFactory("a", parameters, seed).classes(classes)
    network = build_primary(input_shape, pooled, parameters, seed)
    if parameters.network == "blocks":
        # Its decision reads more than the last features.
        return keras.Model(network.input, decision(network.get_layer(DETECTION_LAYER).input), name="no_transfer")
    reduction = keras.layers.GlobalAveragePooling2D(name="aGAP") if pooled else keras.layers.Flatten(name="aFlatten")
    features = reduction(network.get_layer(LAST_LAYER).output)
    return keras.Model(network.input, decision(features), name="no_transfer")
