"""Published weights: Keras 2 files (.h5) of whole models, read as data and set into modules that we build ourselves.

A file holds a primary module (20 layers, names start with "d"), or a primary module and one head (28 layers; the head's
names start with "a"). Keras is never asked to load one, because a model file may carry code. What is read is the
description of the layers, which is compared with our own, and float32 arrays of shapes known beforehand.

Layout of a file: attribute `model_config` (JSON) at the root, arrays at `model_weights/<layer>/<layer>/<variable>:0`.
Source: weights published with Khoo, Lim & Phan 2022 (arXiv 2203.09777).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from components.models.parameters import PAPER_LAYERS
from components.models.primary import MIDDLE_CHANNELS, build_primary
from components.models.secondary import build_secondary

INPUT_LAYER = "dInput"
SIZES = range(32, 1025, 8)  # heights and widths that our modules take

# Settings that change what a layer computes but not the shape of its weights.
_SETTINGS = (
    "strides", "padding", "dilation_rate", "groups", "data_format", "use_bias", "activation",
    "epsilon", "center", "scale", "negative_slope", "threshold", "max_value",
)  # fmt: skip

Layers = dict[str, dict[str, Any]]  # layer name -> its entry in `model_config`


class PublishedFileError(ValueError):
    """A file is not one of published weights; the message names file, layer, expected and found."""


@dataclass(frozen=True)
class PublishedModel:
    """What one published file holds.

    Attributes:
        path: the file.
        size: height and width of the input in pixels.
        pooled: True for RGB pixels, (size, size, 3); False for the log-spectrum of the grey image, (size, size, 1).
        primary: the primary module, with the file's weights.
        head: the head, with the file's weights; None in the file of a primary module.
    """

    path: Path
    size: int
    pooled: bool
    primary: keras.Model
    head: keras.Model | None


def read_published(path: Path) -> PublishedModel:
    """Reads one published file.

    Args:
        path: HDF5 file of a whole model, as Keras 2 saves it.

    Returns:
        The modules, with their weights.

    Raises:
        PublishedFileError: if the file cannot be read, is no HDF5, describes other layers than ours, or holds weights
            that are missing, of another shape or type, or not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise PublishedFileError(f"{path}: is not a file. Give a published .h5 file.")
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file)
    except PublishedFileError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:  # what h5py raises on damaged files
        raise PublishedFileError(f"{path}: cannot be read as HDF5 ({error}). Download the file again.") from error


def differing_layers(first: keras.Model, second: keras.Model) -> list[str]:
    """Compares the weights of two modules of the same architecture, bit by bit.

    Args:
        first: a module.
        second: a module with the same layers.

    Returns:
        Names of the layers that differ, in the order of the layers; empty if the modules are bit-equal.

    Raises:
        ValueError: if the layers' names or the shapes of their weights are not the same.
    """
    shapes = [[(layer.name, [weight.shape for weight in layer.weights]) for layer in m.layers] for m in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError("the modules have different layers; only modules of one architecture are compared.")
    return [
        ours.name
        for ours, theirs in zip(first.layers, second.layers, strict=True)
        if any(
            np.asarray(a).tobytes() != np.asarray(b).tobytes()
            for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True)
        )
    ]


def _read(path: Path, file: h5py.File) -> PublishedModel:
    layers = _described_layers(path, file)
    pooled = "dGAP" in layers
    size = _input_size(path, layers, 3 if pooled else 1)
    primary = build_primary((size, size, 3 if pooled else 1), pooled, PAPER_LAYERS)
    head = build_secondary((size // 4, size // 4, MIDDLE_CHANNELS), pooled, PAPER_LAYERS)
    # The input of a head is a layer of its own only where the head stands alone.
    modules = [primary.layers, [layer for layer in head.layers if not isinstance(layer, keras.layers.InputLayer)]]
    if not any(name.startswith("a") for name in layers):
        modules.pop()
    expected = {layer.name: layer for module in modules for layer in module}
    _check_names(path, expected, layers)
    for layer in expected.values():
        _check_settings(path, layer, layers[layer.name])
    for layer in expected.values():
        for variable in layer.weights:
            variable.assign(_read_weight(path, file, layer.name, variable))
    return PublishedModel(path, size, pooled, primary, head if len(modules) == 2 else None)


def _described_layers(path: Path, file: h5py.File) -> Layers:
    """Returns the entries of `model_config` by the layers' names."""
    text = file.attrs.get("model_config")
    if text is None:
        raise PublishedFileError(
            f"{path}: has no attribute 'model_config', so the size of its input is unknown. "
            "Give a file of a whole model (Keras model.save), not of weights alone."
        )
    try:
        entries = json.loads(text)["config"]["layers"]
        return {str(entry["config"]["name"]): dict(entry) for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishedFileError(f"{path}: 'model_config' does not describe a Keras model ({error!r}).") from error


def _input_size(path: Path, layers: Layers, channels: int) -> int:
    """Returns height = width of the input."""
    if INPUT_LAYER not in layers:
        raise PublishedFileError(f"{path}: has no layer '{INPUT_LAYER}'; found {_listed(layers)}.")
    shape = layers[INPUT_LAYER]["config"].get("batch_input_shape")
    if isinstance(shape, list) and len(shape) == 4 and all(type(extent) is int for extent in shape[1:]):
        _, height, width, found = shape
        if height == width and height in SIZES and found == channels:
            return int(height)
    kind = "RGB pixels, averaged (dGAP)" if channels == 3 else "grey DCT, flattened (no dGAP)"
    raise PublishedFileError(
        f"{path}: layer '{INPUT_LAYER}': a model of {kind} must take (batch, size, size, {channels}) with size a "
        f"multiple of 8 from {SIZES[0]} to {SIZES[-1]}, found {shape}."
    )


def _check_names(path: Path, expected: Iterable[str], layers: Iterable[str]) -> None:
    missing = sorted(set(expected) - set(layers))
    unknown = sorted(set(layers) - set(expected))
    if missing or unknown:
        found = [f"{word} {_listed(names)}" for word, names in (("lacks", missing), ("adds", unknown)) if names]
        raise PublishedFileError(
            f"{path}: must hold the layers of a primary module, or of a primary module and one head; "
            f"it {' and '.join(found)}."
        )


def _check_settings(path: Path, layer: keras.layers.Layer, entry: Mapping[str, Any]) -> None:
    """Checks that a layer computes what ours of that name computes."""
    expected_class, found_class = type(layer).__name__, entry.get("class_name")
    if found_class != expected_class:
        raise PublishedFileError(f"{path}: layer '{layer.name}': must be a {expected_class}, found {found_class}.")
    expected = layer.get_config()
    for setting in _SETTINGS:
        # Older Keras does not write every setting; what it does not write has the default, as ours has.
        if setting not in expected or setting not in entry["config"]:
            continue
        ours, theirs = expected[setting], entry["config"][setting]
        ours = list(ours) if isinstance(ours, tuple) else ours  # JSON knows no tuples
        if ours != theirs:
            raise PublishedFileError(f"{path}: layer '{layer.name}': {setting} must be {ours}, found {theirs}.")


def _read_weight(path: Path, file: h5py.File, layer: str, variable: keras.Variable) -> np.ndarray:
    """Returns float32 values of the variable's shape, all finite."""
    expected = tuple(variable.shape)
    where = f"{path}: layer '{layer}': {variable.name}"
    node: Any = file
    for part in ("model_weights", layer, layer, f"{variable.name}:0"):
        # A link may lead to another file: only what stands in this one is read.
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise PublishedFileError(
                f"{where}: must stand at model_weights/{layer}/{layer}/{variable.name}:0, found nothing."
            )
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
        raise PublishedFileError(
            f"{where}: must be an array stored in this file, found {type(node).__name__} {node.name}."
        )
    if node.shape != expected or node.dtype != np.float32:
        raise PublishedFileError(
            f"{where}: must be float32 of shape {expected}, found {node.dtype} of shape {node.shape}."
        )
    values: np.ndarray = node[()]
    wrong = values.size - np.count_nonzero(np.isfinite(values))
    if wrong:
        raise PublishedFileError(
            f"{where}: must be finite, found {wrong} of {values.size} values that are NaN or infinite."
        )
    if variable.name == "moving_variance" and values.min() < 0.0:
        raise PublishedFileError(f"{where}: must not be negative, found {values.min()}.")
    return values


def _listed(names: Iterable[str]) -> str:
    """Returns names for a message, ten at most."""
    listed = sorted(names)
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return (", ".join(listed[:10]) or "none") + more
