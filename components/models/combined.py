"""A primary module and its heads as one network: one pass gives detection and attribution.

With one head this is the model that the published attribution files hold (layers d* and a*); with several, each head's
layers carry its number (a1*, a2*, ...), as heads do not know each other and all name their layers alike.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777).
"""

from collections.abc import Mapping

import keras

from components.models.parameters import LayerParameters
from components.models.primary import LAST_LAYER as LAST_PRIMARY_LAYER
from components.models.primary import MIDDLE_LAYER, build_primary
from components.models.secondary import LAST_LAYER as LAST_HEAD_LAYER
from components.models.secondary import build_secondary

_SEEDS_A_MODULE = 10  # a module takes consecutive seeds, one a layer; the modules' seeds must not overlap


def build_combined(primary: keras.Model, heads: Mapping[str, keras.Model]) -> keras.Model:
    """Combines trained modules.

    The primary module's layers are shared: freezing or training it in one place does so in the other. Heads are
    copied, since their layers must be renamed; later training of a head does not reach the combined model.

    Args:
        primary: from build_primary.
        heads: source -> head, from build_secondary; at least one. One head keeps its layers' prefix "a"; several get
            "a1", "a2", ... in the order of the mapping.

    Input shape:
        float32 (batch, height, width, channels), as the primary module.

    Output shape:
        A list of float32 (batch, 1): the probability that the image is synthesised, then for each head, in the order
        of the mapping, the probability that its source made it. Each is 0..1; they do not sum to anything.

    Raises:
        ValueError: if there is no head, or a head does not fit the primary module's middle features.
    """
    if not heads:
        raise ValueError("heads: must hold at least one head, got none. A primary module alone needs no combining.")
    middle = primary.get_layer(MIDDLE_LAYER).output
    for source, head in heads.items():
        if tuple(head.input_shape[1:]) != tuple(middle.shape[1:]):
            raise ValueError(
                f"heads: '{source}' must read middle features of shape {tuple(middle.shape[1:])}, got a head for "
                f"{tuple(head.input_shape[1:])}. Train it on this primary module, at this image size."
            )
    outputs = [primary.outputs[0]]
    outputs += [_copy_head(head, middle, prefix) for prefix, head in zip(_prefixes(heads), heads.values(), strict=True)]
    return keras.Model(primary.input, outputs, name="combined")


def build_untrained(
    input_shape: tuple[int, int, int], pooled: bool, heads: int, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds the combined model of a new primary module and new heads, e.g. to load published weights into.

    Args:
        input_shape: (height, width, channels), height and width divisible by 8.
        pooled: True for pixel input, False for DCT input.
        heads: number of heads, at least 1.
        parameters: initialisation and batch normalisation.
        seed: of the initial weights; no two layers start from the same draws.

    Returns:
        What build_combined returns.

    Raises:
        ValueError: if height or width is not divisible by 8, or heads is below 1.
    """
    primary = build_primary(input_shape, pooled, parameters, seed)
    shape = primary.get_layer(MIDDLE_LAYER).output.shape[1:]
    return build_combined(
        primary,
        {
            f"a{number}": build_secondary(shape, pooled, parameters, seed + _SEEDS_A_MODULE * number)
            for number in range(1, heads + 1)
        },
    )


def with_features(combined: keras.Model) -> keras.Model:
    """Returns a view on a combined model, sharing its weights, that also gives the last features of each module.

    Output shape:
        A list: detection (batch, 1), its features (batch, size/8, size/8, 32), then the same two for each head.
    """
    layers = [
        LAST_PRIMARY_LAYER,
        *(prefix + LAST_HEAD_LAYER.removeprefix("a") for prefix in _prefixes(combined.outputs[1:])),
    ]
    outputs: list[keras.KerasTensor] = []
    for probability, layer in zip(combined.outputs, layers, strict=True):
        outputs += [probability, combined.get_layer(layer).output]
    return keras.Model(combined.input, outputs, name="combined_with_features")


def _prefixes(heads: Mapping[str, keras.Model] | list[keras.KerasTensor]) -> list[str]:
    """Returns the prefix of each head's layers: "a" for a single head, else "a1", "a2", ..."""
    return ["a"] if len(heads) == 1 else [f"a{number}" for number in range(1, len(heads) + 1)]


def _copy_head(head: keras.Model, middle: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    """Applies a copy of a head, its layers renamed, to the middle features; returns its probability."""
    # A head is a chain of layers, so their order is all there is to its topology.
    features = middle
    for layer in head.layers[1:]:
        copy = type(layer).from_config({**layer.get_config(), "name": prefix + layer.name.removeprefix("a")})
        features = copy(features)
        copy.set_weights(layer.get_weights())
    return features
