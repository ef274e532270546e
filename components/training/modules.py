"""Training of the two proposed modules: pure functions from splits to a trained model and its scores.

The primary module learns real from fake over all sources of the train split. A head learns one source, or one generator
architecture, from everything else, real images included, on middle features that were computed before.
"""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np

from components.examples.names import AttributionLevel
from components.features.transform import TransformFunction
from components.models.distances import SourceDistance, fit_distance
from components.models.primary import LAST_LAYER, MIDDLE_LAYER, build_primary
from components.models.secondary import build_secondary
from components.training.augmented_inputs import AugmentedInputs
from components.training.calibration_copies import (
    COPIES,
    calibration_copies_of,
    of_whole_images,
    with_calibration_copies,
)
from components.training.examples import Split
from components.training.fitting import UntrainedModule, fit_module
from components.training.head_reader import HeadReader
from components.training.inputs import ModelInputs, Storage, StoredInputs, image_inputs
from components.training.middle_features import MiddleFeatures
from components.training.parameters import TrainingParameters
from components.training.targets import detection_targets, source_targets
from components.training.trained import TrainedModule
from components.training.training import Training


def train_primary(training: Training, transform: TransformFunction) -> TrainedModule:
    """Train the primary module.

    Args:
        training: Splits, parameters, devices and files.
        transform: Function from image bytes to features.

    Returns:
        The trained module.

    Raises:
        ValueError: if the train split lacks real or fake images.
    """
    training = with_calibration_copies(training)
    targets = detection_targets(training.splits)
    inputs, parameters = training.inputs, training.parameters

    def build() -> keras.Model:
        return build_primary(inputs.shape, inputs.pooled, parameters.layers, parameters.seed)

    layers = (MIDDLE_LAYER, LAST_LAYER) if parameters.auxiliary else ()
    module = UntrainedModule("primary", build, auxiliary_layers=layers)
    return fit_module(training, module, inputs_of_images(training, transform), targets)


def train_head(
    training: Training, source: str, features: MiddleFeatures, level: AttributionLevel = "instance"
) -> TrainedModule:
    """Train the head of one source, or of one generator architecture, on frozen middle features.

    Args:
        training: Splits, as long as their features (see `middle_features.repeated`), parameters, devices and files.
        source: Name of the source or architecture; its images are the positive class, all others the negative one.
        features: Middle features of the trained primary module, for every split.
        level: Kind of name that `source` is: a source, "instance", or a generator architecture.

    Returns:
        The trained module.

    Raises:
        ValueError: if the train split lacks images of the source, or of anything else; or the eval split those of the
            source, where a distance is configured.
    """
    parameters = training.parameters
    targets = source_targets(source, training.splits, level)
    if parameters.distance != "none" and not targets["eval"].any():
        raise ValueError(
            f"distance: needs images of '{source}' in split 'eval', which holds none. Prepare a larger eval split, or "
            "set distance: none."
        )

    def build() -> keras.Model:
        # Of whole images: those of the train split may be of windows.
        shape = features["eval"].shape[1:]
        return build_secondary(shape, training.inputs.pooled, parameters.layers, parameters.seed)

    stored: dict[str, ModelInputs] = {name: StoredInputs(array) for name, array in features.items()}
    trained = fit_module(training, UntrainedModule(source, build), stored, targets)
    if parameters.distance == "none":
        return trained
    return dataclasses.replace(trained, distance=_distance(trained.model, features, targets, parameters))


def _distance(
    head: keras.Model, features: MiddleFeatures, targets: Mapping[str, np.ndarray], parameters: TrainingParameters
) -> SourceDistance:
    """Fit the distance of a head's source, on the head's own last features."""
    reader = HeadReader(head)
    learnt, held_out = (
        reader.read(head, features[name], np.flatnonzero(targets[name])).features for name in ("train", "eval")
    )
    return fit_distance(learnt, held_out, parameters.distance_rejection)


def inputs_of_images(training: Training, transform: TransformFunction) -> dict[str, ModelInputs]:
    """Return the inputs of every split, decoded once where the memory budget allows it, the train split first.

    Those of the train split, and the copies of the eval split for calibration, are augmented if the parameters say so.
    """
    inputs, parameters = training.inputs, training.parameters
    storage = Storage(parameters.memory_budget_mb, training.scratch)

    def of_split(name: str, split: Split) -> ModelInputs:
        if name == "train" and parameters.augmentation.changes_images:
            return AugmentedInputs(split, transform, inputs, parameters, storage)
        if name == COPIES:
            of_eval = AugmentedInputs(training.splits["eval"], transform, inputs, of_whole_images(parameters), storage)
            return of_eval.copies(calibration_copies_of(parameters))
        return image_inputs(split, transform, inputs, storage)

    return {name: of_split(name, split) for name, split in training.splits.items()}
