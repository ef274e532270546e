"""Made-up files in the layout of the published weights, and their forward pass written a second time."""

import json
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

# Layer -> (kernel's height = width, inputs, outputs, stride, normalised), as published; None: channels of the input.
PRIMARY = {
    "dConv_01": (3, None, 3, 1, False),
    "dConv_02": (4, 3, 8, 2, True),
    "dConv_03": (3, 8, 16, 1, True),
    "dConv_04": (4, 16, 16, 2, True),
    "dConv_05": (3, 16, 32, 1, True),
    "dConv_06": (4, 32, 32, 2, True),
}
HEAD = {"aConv_01": (3, 16, 32, 1, True), "aConv_02": (4, 32, 32, 2, True)}
Weights = dict[str, dict[str, np.ndarray]]  # layer -> variable -> values


def made_up(size: int, pooled: bool, primary_seed: int, head_seed: int | None) -> Weights:
    """Random weights of a primary module and, with a seed for it, of a head."""
    weights = _module(PRIMARY, "d", size, pooled, primary_seed)
    if head_seed is not None:
        weights |= _module(HEAD, "a", size, pooled, head_seed)
    return weights


def describe(size: int, pooled: bool, head: bool) -> dict:
    """`model_config` as Keras 2.4 writes it, without what no reader needs."""
    channels = 3 if pooled else 1
    layers = [_entry("InputLayer", "dInput", batch_input_shape=[None, size, size, channels])]
    for prefix, table in (("d", PRIMARY), ("a", HEAD)) if head else (("d", PRIMARY),):
        for name, (kernel, _, filters, stride, normalised) in table.items():
            number = name[-2:]
            layers.append(
                _entry(
                    "Conv2D", name, filters=filters, kernel_size=[kernel] * 2, strides=[stride] * 2, padding="same",
                    data_format="channels_last", dilation_rate=[1, 1], groups=1, activation="linear", use_bias=True,
                )
            )  # fmt: skip
            if normalised:
                layers.append(
                    _entry("BatchNormalization", f"{prefix}BNorm_{number}", epsilon=0.001, center=True, scale=True)
                )
            layers.append(_entry("ReLU", f"{prefix}Relu_{number}", max_value=None, negative_slope=0.0, threshold=0.0))
        reduction = ("GlobalAveragePooling2D", "GAP") if pooled else ("Flatten", "Flatten")
        layers.append(_entry(reduction[0], prefix + reduction[1], data_format="channels_last"))
        layers.append(_entry("Dense", f"{prefix}Decision", units=1, activation="sigmoid", use_bias=True))
    return {"class_name": "Functional", "config": {"name": "model", "layers": layers}}


def write_file(path: Path, weights: Weights, config: dict | None) -> Path:
    """Writes weights and, unless None, their description."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        for layer, variables in weights.items():
            for variable, values in variables.items():
                file[f"model_weights/{layer}/{layer}/{variable}:0"] = values
    return path


def write_published(
    path: Path, size: int = 32, pooled: bool = True, primary_seed: int = 1, head_seed: int | None = None
) -> Path:
    """Writes a whole file."""
    weights = made_up(size, pooled, primary_seed, head_seed)
    return write_file(path, weights, describe(size, pooled, head_seed is not None))


def write_statistics(folder: Path, size: int = 32, seed: int = 0, variance: bool = False) -> Path:
    """Writes mean.npy, and std_dev.npy or variance.npy."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "mean.npy", rng.uniform(3.0, 5.0, (size, size)))
    deviation = rng.uniform(0.5, 1.5, (size, size))
    np.save(folder / ("variance.npy" if variance else "std_dev.npy"), deviation**2 if variance else deviation)
    return folder


def probabilities(weights: Weights, inputs: np.ndarray, pooled: bool) -> dict[str, np.ndarray]:
    """{"d": fake, "a": source, where there is a head}, each (batch,); inputs float32 (batch, size, size, channels)."""
    middle, features = None, tf.constant(inputs)
    for name in PRIMARY:
        features = _block(weights, name, features)
        middle = features if name == "dConv_04" else middle
    answers = {"d": _decision(weights["dDecision"], features, pooled)}
    if "aDecision" in weights:
        for name in HEAD:
            middle = _block(weights, name, middle)
        answers["a"] = _decision(weights["aDecision"], middle, pooled)
    return answers


def _module(table: dict, prefix: str, size: int, pooled: bool, seed: int) -> Weights:
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.1) -> np.ndarray:
        return rng.normal(0.0, scale, shape).astype(np.float32)

    weights: Weights = {}
    for name, (kernel, inputs, outputs, _, normalised) in table.items():
        channels = inputs or (3 if pooled else 1)
        scale = 1.0 / (kernel * np.sqrt(channels))  # keeps the features' size, so that probabilities differ
        weights[name] = {"kernel": normal(kernel, kernel, channels, outputs, scale=scale), "bias": normal(outputs)}
        if normalised:
            weights[name.replace("Conv", "BNorm")] = {
                "gamma": 1 + normal(outputs),
                "beta": normal(outputs),
                "moving_mean": normal(outputs),
                "moving_variance": rng.uniform(0.5, 2.0, outputs).astype(np.float32),
            }
    rows = 32 if pooled else (size // 8) ** 2 * 32
    weights[f"{prefix}Decision"] = {"kernel": normal(rows, 1, scale=1.0 / np.sqrt(rows)), "bias": normal(1)}
    return weights


def _entry(class_name: str, name: str, **config: object) -> dict:
    return {"class_name": class_name, "name": name, "config": {"name": name, "dtype": "float32", **config}}


def _block(weights: Weights, name: str, features: tf.Tensor) -> tf.Tensor:
    kernel, *_, stride, normalised = {**PRIMARY, **HEAD}[name]
    del kernel
    # One pixel on each side is what "same" comes to for 3 x 3 at stride 1 and for 4 x 4 at stride 2.
    padded = tf.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
    features = tf.nn.conv2d(padded, weights[name]["kernel"], stride, "VALID") + weights[name]["bias"]
    if normalised:
        norm = weights[name.replace("Conv", "BNorm")]
        features = (features - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3)
        features = features * norm["gamma"] + norm["beta"]
    return tf.maximum(features, 0.0)


def _decision(weights: dict[str, np.ndarray], features: tf.Tensor, pooled: bool) -> np.ndarray:
    values = features.numpy().astype(np.float64)
    reduced = values.mean(axis=(1, 2)) if pooled else values.reshape(len(values), -1)
    return 1.0 / (1.0 + np.exp(-(reduced @ weights["kernel"][:, 0] + weights["bias"][0])))
