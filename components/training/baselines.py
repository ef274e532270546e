"""Training of the baselines that the proposed modules are compared with, on the models' inputs themselves."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.models.gdaconv import build_gdaconv
from components.models.no_transfer import build_no_transfer
from components.models.parameters import LayerParameters
from components.models.postpool import build_postpool
from components.training.examples import Split
from components.training.fitting import FittingOptions, fit_module, require_classes
from components.training.inputs import SelectedInputs
from components.training.modules import of_images, source_targets
from components.training.parameters import BaselineArchitecture, BaselineParameters
from components.training.trained import TrainedModule

REAL_CLASS = "real"


def train_baseline(
    baseline: BaselineParameters,
    splits: Mapping[str, Split],
    transform: TransformFunction,
    inputs: InputParameters,
    source: str = "",
    sources: Sequence[str] = (),
    level: AttributionLevel = "instance",
    options: FittingOptions | None = None,
) -> TrainedModule:
    """Trains a baseline.

    Args:
        baseline: architecture, task and training.
        splits: "train" and "eval"; "eval" and any further split are scored.
        transform: from image bytes to features.
        inputs: representation and size.
        source: for task "attribution": the source, or architecture, that is told from everything else.
        sources: for task "multiclass": the classes beside "real", in this order. Images of other generators are
            neither trained on nor scored, but counted.
        level: what `source` and `sources` name: sources, or generator architectures.
        options: where it runs, starts from and keeps its files.

    Returns:
        The trained model.

    Raises:
        ValueError: if the train split lacks a class, or a class is named "real".
    """
    options = options or FittingOptions()
    parameters = baseline.training
    images = of_images(splits, transform, inputs, parameters, options)
    classes: tuple[str, ...] = ()
    left_out: dict[str, int] = {}
    if baseline.task == "multiclass":
        classes = (REAL_CLASS, *sources)
        targets = class_targets(sources, splits, level)
        chosen = {name: np.flatnonzero(of_split >= 0) for name, of_split in targets.items()}
        left_out = {name: splits[name].count - len(kept) for name, kept in chosen.items()}
        images = {name: SelectedInputs(images[name], kept) for name, kept in chosen.items()}
        splits = {name: _selected(splits[name], kept) for name, kept in chosen.items()}
        targets = {name: targets[name][kept] for name, kept in chosen.items()}
        require_classes(splits["train"], targets["train"], classes)
    elif baseline.task == "attribution":
        targets = source_targets(source, splits, level)
    else:
        targets = {name: split.labels for name, split in splits.items()}
        require_classes(splits["train"], targets["train"], (REAL_CLASS, "fake"))

    def build() -> keras.Model:
        outputs = len(classes) or 1
        pooled = inputs.pooled
        return build_baseline(baseline.architecture, inputs.shape, pooled, outputs, parameters.layers, parameters.seed)

    name = f"{baseline.architecture}.{source or baseline.task}"
    trained = fit_module(name, build, splits, images, targets, parameters, options, classes)
    return dataclasses.replace(trained, images_left_out=left_out)


def build_baseline(
    architecture: BaselineArchitecture,
    input_shape: tuple[int, int, int],
    pooled: bool,
    classes: int,
    parameters: LayerParameters,
    seed: int,
) -> keras.Model:
    """Builds an untrained baseline; arguments as the builders' in `components.models`."""
    if architecture == "notl":
        return build_no_transfer(input_shape, pooled, classes, parameters, seed)
    builder = {"gdaconv": build_gdaconv, "postpool": build_postpool}[architecture]
    return builder(input_shape, classes, parameters, seed)


def class_targets(
    sources: Sequence[str], splits: Mapping[str, Split], level: AttributionLevel
) -> dict[str, np.ndarray]:
    """Returns the class of every image: 0 real, i + 1 for sources[i], -1 for other generators; int32 (count,).

    Raises:
        ValueError: if there is no source, or one is named "real".
    """
    if not sources or REAL_CLASS in sources:
        raise ValueError(
            f"sources: a softmax needs '{REAL_CLASS}' and at least one source of another name, got {list(sources)}."
        )
    numbers = {source: number + 1 for number, source in enumerate(sources)}
    return {
        name: np.array(
            [
                numbers.get(group_of(source, level), -1) if label else 0
                for source, label in zip(split.sources.tolist(), split.labels.tolist(), strict=True)
            ],
            np.int32,
        )
        for name, split in splits.items()
    }


def _selected(split: Split, kept: np.ndarray) -> Split:
    return dataclasses.replace(split, labels=split.labels[kept], sources=split.sources[kept], paths=split.paths[kept])
