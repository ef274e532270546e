"""Training of the baselines that the proposed modules are compared with, on the models' inputs themselves."""

import dataclasses
from dataclasses import dataclass

import keras
import numpy as np

from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.models.gdaconv import build_gdaconv
from components.models.no_transfer import build_no_transfer
from components.models.parameters import LayerParameters
from components.models.postpool import build_postpool
from components.training.fitting import UntrainedModule, fit_module
from components.training.inputs import SelectedInputs
from components.training.modules import inputs_of_images
from components.training.parameters import BaselineArchitecture, BaselineTask
from components.training.targets import (
    REAL_CLASS,
    class_targets,
    detection_targets,
    require_classes,
    source_targets,
)
from components.training.trained import TrainedModule
from components.training.training import Training


@dataclass(frozen=True)
class Baseline:
    """One baseline: its network, and what it tells apart.

    Attributes:
        architecture: Name of the network.
        task: "detection", "attribution" or "multiclass".
        source: For task "attribution", the source or architecture that is told from everything else; else empty.
        sources: For task "multiclass", the classes beside "real", in this order. Images of other generators are neither
            trained on nor scored, but counted.
        level: Kind of name in `source` and `sources`: sources, "instance", or generator architectures.
    """

    architecture: BaselineArchitecture
    task: BaselineTask
    source: str = ""
    sources: tuple[str, ...] = ()
    level: AttributionLevel = "instance"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the softmax's outputs; empty for one sigmoid output."""
        return (REAL_CLASS, *self.sources) if self.task == "multiclass" else ()


def train_baseline(training: Training, baseline: Baseline, transform: TransformFunction) -> TrainedModule:
    """Train a baseline.

    Args:
        training: Splits, parameters, devices and files.
        baseline: Network and task.
        transform: Function from image bytes to features.

    Returns:
        The trained model.

    Raises:
        ValueError: if the train split lacks a class, or a class is named "real".
    """
    images, splits, level = inputs_of_images(training, transform), training.splits, baseline.level
    left_out: dict[str, int] = {}
    if baseline.task == "multiclass":
        targets = class_targets(baseline.sources, splits, level)
        chosen = {name: np.flatnonzero(of_split >= 0) for name, of_split in targets.items()}
        left_out = {name: splits[name].count - len(kept) for name, kept in chosen.items()}
        images = {name: SelectedInputs(images[name], kept) for name, kept in chosen.items()}
        splits = {name: splits[name].select(kept) for name, kept in chosen.items()}
        targets = {name: targets[name][kept] for name, kept in chosen.items()}
        require_classes(splits["train"], targets["train"], baseline.classes)
    elif baseline.task == "attribution":
        targets = source_targets(baseline.source, splits, level)
    else:
        targets = detection_targets(splits)
    parameters, outputs = training.parameters, len(baseline.classes) or 1

    def build() -> keras.Model:
        return build_baseline(baseline.architecture, training.inputs, outputs, parameters.layers, parameters.seed)

    name = f"{baseline.architecture}.{baseline.source or baseline.task}"
    training = dataclasses.replace(training, splits=splits)
    trained = fit_module(training, UntrainedModule(name, build, baseline.classes), images, targets)
    return dataclasses.replace(trained, images_left_out=left_out)


def build_baseline(
    architecture: BaselineArchitecture, inputs: InputParameters, classes: int, layers: LayerParameters, seed: int
) -> keras.Model:
    """Build an untrained baseline; see the builders in `components.models`."""
    if architecture == "notl":
        return build_no_transfer(inputs.shape, inputs.pooled, classes, layers, seed)
    builder = {"gdaconv": build_gdaconv, "postpool": build_postpool}[architecture]
    return builder(inputs.shape, classes, layers, seed)
