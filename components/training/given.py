"""Modules of a given servable in the place of trained ones: scored on images of one's own, and changed in nothing."""

import time
from dataclasses import dataclass
from pathlib import Path

import keras

from components.features.transform import TransformFunction
from components.models.distances import SourceDistance
from components.training import artifacts
from components.training.history import History
from components.training.inputs import Storage, image_inputs
from components.training.learners import Learner
from components.training.trained import SplitScores, TrainedModule
from components.training.training import Training


@dataclass(frozen=True, eq=False)
class GivenModule:
    """A module that is taken as it is.

    Attributes:
        model: Keras model.
        description: Content of its module.json.
        distance: Distance of a head; None if it has none.
    """

    model: keras.Model
    description: artifacts.ModuleDescription
    distance: SourceDistance | None


def read_given(folder: Path) -> GivenModule:
    """Read a module from a Model artifact."""
    return GivenModule(
        artifacts.read_model(folder), artifacts.read_description(folder), artifacts.read_distance_of(folder)
    )


def take_primary(training: Training, given: GivenModule, transform: TransformFunction) -> TrainedModule:
    """Return a given primary module with its scores on the splits that a trained one would not have learnt from.

    Args:
        training: Splits, parameters and files.
        given: Primary module of a servable, for the inputs of the training.
        transform: Function from image bytes to features.
    """
    started = time.monotonic()
    storage = Storage(training.parameters.memory_budget_mb, training.scratch)
    learner = Learner(given.model, training.parameters)
    scores = {
        name: SplitScores(
            split.labels,
            learner.scores(image_inputs(split, transform, training.inputs, storage)),
            split.sources,
            split.paths,
        )
        for name, split in training.splits.items()
        if name != "train"
    }
    return _taken(given, scores, time.monotonic() - started)


def take_head(given: GivenModule) -> TrainedModule:
    """Return a given head. It has no scores: the images at hand need not hold its source."""
    return _taken(given, {}, 0.0)


def _taken(given: GivenModule, scores: dict[str, SplitScores], seconds: float) -> TrainedModule:
    description = given.description
    return TrainedModule(
        given.model,
        description.operating_point,
        History(),
        scores,
        seconds,
        calibration=description.calibration,
        distance=given.distance,
    )
