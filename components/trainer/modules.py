"""Training of the two kinds of module: pure functions from splits to a trained model and its scores.

The primary module learns real from fake over all sources of the train split. A head learns one source from all the
others, real images included, on middle features that were computed once.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.evaluator.operating_point import OperatingPoint, choose_threshold
from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.models.primary import MIDDLE_LAYER, build_primary
from components.models.secondary import build_secondary
from components.trainer import middle_features
from components.trainer.examples import Split, model_inputs, training_batches
from components.trainer.loop import History, class_weights, scores, train
from components.trainer.parameters import TrainingParameters


@dataclass(frozen=True)
class TrainedModule:
    """A trained model with all that later steps ask of it.

    Attributes:
        model: the Keras model, one sigmoid output.
        operating_point: threshold, and how it was chosen.
        history: of the training.
        scores: split name -> float32 (count,), in the order of the split.
        seconds: duration of the training, feature extraction included.
    """

    model: keras.Model
    operating_point: OperatingPoint
    history: History
    scores: Mapping[str, np.ndarray]
    seconds: float


def train_primary(
    splits: Mapping[str, Split],
    transform: TransformFunction,
    inputs: InputParameters,
    parameters: TrainingParameters,
    logs: Path | None = None,
) -> TrainedModule:
    """Trains the primary module.

    Args:
        splits: "train" and "eval"; "eval" and any further split are scored.
        transform: from image bytes to features.
        inputs: representation and size.
        parameters: of the training.
        logs: folder for TensorBoard.

    Returns:
        The trained module.

    Raises:
        ValueError: if the train split lacks real or fake images.
    """
    started = time.monotonic()
    keras.utils.set_random_seed(parameters.seed)
    training, validation = splits["train"], splits["eval"]
    _require_both_classes(training, training.labels, "real", "fake")
    model = build_primary(inputs.shape, inputs.representation == "pixel", parameters.layers, parameters.seed)

    def batches_of(split: Split) -> tf.data.Dataset:
        return training_batches(
            split,
            split.labels,
            class_weights(split.labels, parameters.class_weights),
            transform,
            inputs,
            parameters,
        )

    training_set, validation_set = batches_of(training), batches_of(validation)
    history = train(model, lambda: training_set, lambda: validation_set, parameters, logs)
    scored = {
        name: scores(model, model_inputs(split, transform, inputs.representation, parameters.batch_size))
        for name, split in splits.items()
        if name != "train"
    }
    point = choose_threshold(
        validation.labels, scored["eval"], parameters.operating_point.rule, parameters.operating_point.threshold
    )
    return TrainedModule(model, point, history, scored, time.monotonic() - started)


def train_head(
    source: str,
    primary: keras.Model,
    splits: Mapping[str, Split],
    transform: TransformFunction,
    inputs: InputParameters,
    parameters: TrainingParameters,
    scratch: Path,
    logs: Path | None = None,
) -> TrainedModule:
    """Trains the head of one source on the frozen middle features of a primary module.

    Args:
        source: name of the source; its images are the positive class, all others the negative one.
        primary: the trained primary module; not changed.
        splits: "train" and "eval"; "eval" and any further split are scored.
        transform: from image bytes to features.
        inputs: representation and size.
        parameters: of the training.
        scratch: folder for the middle features; they are left to the caller to remove.
        logs: folder for TensorBoard.

    Returns:
        The trained module.

    Raises:
        ValueError: if the train split lacks images of the source, or of anything else.
    """
    started = time.monotonic()
    keras.utils.set_random_seed(parameters.seed)
    targets = {name: (split.sources == source).astype(np.float32) for name, split in splits.items()}
    training = splits["train"]
    if source not in training.source_names:
        raise ValueError(
            f"sources: '{source}' has no image in split 'train'. Sources there: {', '.join(training.source_names)}."
        )
    _require_both_classes(training, targets["train"], "any other source", source)
    features = {
        name: middle_features.extract_middle_features(
            primary, split, transform, inputs.representation, scratch / f"middle_features_{name}.npy"
        )
        for name, split in splits.items()
    }
    model = build_secondary(
        primary.get_layer(MIDDLE_LAYER).output.shape[1:],
        inputs.representation == "pixel",
        parameters.layers,
        parameters.seed,
    )
    weights = {name: class_weights(target, parameters.class_weights) for name, target in targets.items()}
    order = np.random.default_rng(parameters.seed)
    size = parameters.batch_size
    history = train(
        model,
        lambda: middle_features.shuffled_batches(features["train"], targets["train"], weights["train"], size, order),
        lambda: middle_features.batches(features["eval"], targets["eval"], weights["eval"], size),
        parameters,
        logs,
    )
    scored = {
        name: scores(
            model, (batch for batch, _, _ in middle_features.batches(array, targets[name], weights[name], size))
        )
        for name, array in features.items()
        if name != "train"
    }
    point = choose_threshold(
        targets["eval"].astype(int),
        scored["eval"],
        parameters.operating_point.rule,
        parameters.operating_point.threshold,
    )
    return TrainedModule(model, point, history, scored, time.monotonic() - started)


def _require_both_classes(split: Split, targets: np.ndarray, negative: str, positive: str) -> None:
    """Refuses a split in which one class is missing."""
    for value, name in ((0, negative), (1, positive)):
        if not np.any(targets == value):
            raise ValueError(f"split '{split.name}': holds no image of {name}; a classifier needs both classes.")
