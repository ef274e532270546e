"""Trained modules read back from a servable, so that other heads can stand on its primary module.

The variables of a servable are the weights of its modules. What they lack is the layers that they belong to, and how
each threshold was chosen: that stands in `assets.extra/modules.json`, a few kilobytes, where the modules themselves
would double the servable. Heads come back with batch normalisation folded into their convolutions (grouped_heads.py):
they answer as they did, up to rounding.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.models.blocks import CUSTOM_LAYERS
from components.models.distances import SourceDistance
from components.models.primary import with_features
from components.models.secondary import DECISION_LAYER
from components.servable.grouped_heads import CONVOLUTIONS
from serving.servable.versions import Version

MODULES_FILE = "assets.extra/modules.json"  # below the version directory; TF Serving does not look at it
FORMAT_VERSION = 1

_VARIABLES = "variables/variables"
_HEADS = "_judge/_heads/{}/{}/.ATTRIBUTES/VARIABLE_VALUE"
_NOTE = "as in the servable that the head was taken from"


@dataclass(frozen=True, eq=False)
class RebuiltModule:
    """A module as it was read back.

    Attributes:
        model: Keras model with its weights, inference only.
        description: What was known of it when it was assembled, plain values as module.json holds them.
        distance: Of a head that refuses images too far from its source's; else None.
    """

    model: keras.Model
    description: dict[str, Any]
    distance: SourceDistance | None = None


def write_modules(
    version: Path,
    primary: keras.Model,
    heads: Mapping[str, keras.Model],
    descriptions: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write into a version directory what its variables lack of its modules.

    Args:
        version: Directory of the servable.
        primary: Primary module.
        heads: Source -> head, in the order of the servable's outputs.
        descriptions: "primary" and each source -> plain values for JSON.
    """
    layers = {"primary": primary, **({"head": next(iter(heads.values()))} if heads else {})}
    content = {
        "format_version": FORMAT_VERSION,
        "layers": {name: json.loads(model.to_json()) for name, model in layers.items()},
        "primary": dict(descriptions["primary"]),
        "heads": {source: dict(descriptions[source]) for source in heads},
    }
    path = version / MODULES_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def rebuild_modules(version: Version) -> tuple[RebuiltModule, dict[str, RebuiltModule]]:
    """Read the modules of a servable back.

    Args:
        version: Version of a servable.

    Returns:
        The primary module; and source -> head, in the order of the servable's outputs.

    Raises:
        ValueError: If the servable does not say what its modules are made of, is damaged, or is of a later format.
    """
    path = version.path / MODULES_FILE
    if not path.is_file():
        raise ValueError(
            f"{version.path}: holds no {MODULES_FILE}, so its modules cannot be built upon: it was assembled by an "
            "earlier release, or imported. Push it again with genattr run."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"must be of format {FORMAT_VERSION}, is of {content['format_version']!r}")
        primary = _rebuilt_primary(version.path, content)
        reader = tf.train.load_checkpoint(str(version.path / _VARIABLES))
        heads = {source: _rebuilt_head(reader, index, content) for index, source in enumerate(content["heads"])}
    except (OSError, ValueError, KeyError, TypeError, AssertionError, tf.errors.OpError) as error:
        raise ValueError(f"{path}: does not fit the servable beside it: {error}. Push it again.") from error
    return RebuiltModule(primary, content["primary"]), heads


def _model_of(layers: Mapping[str, Any]) -> keras.Model:
    return keras.models.model_from_json(json.dumps(layers), CUSTOM_LAYERS)


def _rebuilt_primary(version: Path, content: Mapping[str, Any]) -> keras.Model:
    model = _model_of(content["layers"]["primary"])
    # Named as the attributes of AttributionModule and its judge, under which the servable saved the variables.
    saved = tf.train.Checkpoint(_judge=tf.train.Checkpoint(_primary=with_features(model)))
    saved.read(str(version / _VARIABLES)).expect_partial().assert_existing_objects_matched()
    return model


def _rebuilt_head(reader: Any, index: int, content: Mapping[str, Any]) -> RebuiltModule:
    """Return a head from its slice of the stacked weights, whose batch normalisation changes nothing."""
    model = _model_of(content["layers"]["head"])
    *folded, kernel, bias = (
        reader.get_tensor(_HEADS.format("_weights", part))[index] for part in range(2 * len(CONVOLUTIONS) + 2)
    )
    for number, (convolution, normalisation) in enumerate(CONVOLUTIONS):
        model.get_layer(convolution).set_weights(folded[2 * number : 2 * number + 2])
        layer = model.get_layer(normalisation)
        scale, shift, mean, variance = layer.get_weights()
        ones, zeros = np.ones_like(scale), np.zeros_like(shift)
        layer.set_weights([ones, zeros, np.zeros_like(mean), np.full_like(variance, 1.0 - layer.epsilon)])
    model.get_layer(DECISION_LAYER).set_weights([kernel, bias])
    source = list(content["heads"])[index]
    return RebuiltModule(model, content["heads"][source], _distance(reader, index))


def _distance(reader: Any, index: int) -> SourceDistance | None:
    if not reader.has_tensor(_HEADS.format("_distances", 0)):
        return None
    mean, precision, limit = (reader.get_tensor(_HEADS.format("_distances", part))[index] for part in range(3))
    if not precision.any():  # a head without a distance among others that have one
        return None
    return SourceDistance(mean.astype(np.float64), precision.astype(np.float64), float(limit), _NOTE)
