"""Training of the two proposed modules: pure functions from splits to a trained model and its scores.

The primary module learns real from fake over all sources of the train split. A head learns one source, or one generator
architecture, from everything else, real images included, on middle features that were computed before.
"""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.models.distances import SourceDistance, fit_distance
from components.models.primary import build_primary
from components.models.secondary import build_secondary
from components.training.augmented_inputs import AugmentedInputs
from components.training.examples import Split
from components.training.fitting import FittingOptions, fit_module, require_classes
from components.training.head_reader import HeadReader
from components.training.inputs import MemoryBudget, ModelInputs, StoredInputs, image_inputs
from components.training.middle_features import MiddleFeatures
from components.training.parameters import TrainingParameters
from components.training.trained import TrainedModule


def train_primary(
    splits: Mapping[str, Split],
    transform: TransformFunction,
    inputs: InputParameters,
    parameters: TrainingParameters,
    options: FittingOptions | None = None,
) -> TrainedModule:
    """Trains the primary module.

    Args:
        splits: "train" and "eval"; "eval" and any further split are scored.
        transform: from image bytes to features.
        inputs: representation and size.
        parameters: of the training.
        options: where it runs, starts from and keeps its files.

    Returns:
        The trained module.

    Raises:
        ValueError: if the train split lacks real or fake images.
    """
    options = options or FittingOptions()
    targets = {name: split.labels for name, split in splits.items()}
    require_classes(splits["train"], targets["train"], ("real", "fake"))

    def build() -> keras.Model:
        return build_primary(inputs.shape, inputs.pooled, parameters.layers, parameters.seed)

    return fit_module(
        "primary",
        build,
        splits,
        of_images(splits, transform, inputs, parameters, options),
        targets,
        parameters,
        options,
    )


def train_head(
    source: str,
    features: MiddleFeatures,
    splits: Mapping[str, Split],
    inputs: InputParameters,
    parameters: TrainingParameters,
    level: AttributionLevel = "instance",
    options: FittingOptions | None = None,
) -> TrainedModule:
    """Trains the head of one source, or of one generator architecture, on frozen middle features.

    Args:
        source: name of the source or architecture; its images are the positive class, all others the negative one.
        features: of the trained primary module, for every split.
        splits: "train" and "eval", as long as their features (see `middle_features.repeated`); "eval" and any further
            split are scored.
        inputs: representation and size that the primary module reads.
        parameters: of the training.
        level: what `source` names: a source, "instance", or a generator architecture.
        options: where it runs, starts from and keeps its files.

    Returns:
        The trained module.

    Raises:
        ValueError: if the train split lacks images of the source, or of anything else; or the eval split those of the
            source, where a distance is asked for.
    """
    targets = source_targets(source, splits, level)
    if parameters.distance != "none" and not targets["eval"].any():
        raise ValueError(
            f"distance: needs images of '{source}' in split 'eval', which holds none. Prepare a larger eval split, or "
            "set distance: none."
        )

    def build() -> keras.Model:
        # Of whole images: those of the train split may be of windows.
        shape = features["eval"].shape[1:]
        return build_secondary(shape, inputs.pooled, parameters.layers, parameters.seed)

    stored: dict[str, ModelInputs] = {name: StoredInputs(array) for name, array in features.items()}
    trained = fit_module(source, build, splits, stored, targets, parameters, options or FittingOptions())
    if parameters.distance == "none":
        return trained
    return dataclasses.replace(trained, distance=_distance(trained.model, features, targets, parameters))


def _distance(
    head: keras.Model, features: MiddleFeatures, targets: Mapping[str, np.ndarray], parameters: TrainingParameters
) -> SourceDistance:
    """Fits the distance of a head's source, on the head's own last features."""
    reader = HeadReader(head)
    learnt, held_out = (
        reader.read(head, features[name], np.flatnonzero(targets[name])).features for name in ("train", "eval")
    )
    return fit_distance(learnt, held_out, parameters.distance_rejection)


def source_targets(source: str, splits: Mapping[str, Split], level: AttributionLevel) -> dict[str, np.ndarray]:
    """Returns for every split whether each image is of a source or architecture: int32 (count,), 0 or 1.

    Raises:
        ValueError: if the train split lacks images of the source, or of anything else; names those that are there.
    """
    groups = {
        name: np.array([group_of(one, level) for one in split.sources.tolist()]) for name, split in splits.items()
    }
    there = sorted(set(groups["train"].tolist()))
    if source not in there:
        kind = "Sources" if level == "instance" else "Architectures"
        raise ValueError(f"sources: '{source}' has no image in split 'train'. {kind} there: {', '.join(there)}.")
    targets = {name: (of_split == source).astype(np.int32) for name, of_split in groups.items()}
    require_classes(splits["train"], targets["train"], ("any other source", source))
    return targets


def of_images(
    splits: Mapping[str, Split],
    transform: TransformFunction,
    inputs: InputParameters,
    parameters: TrainingParameters,
    options: FittingOptions,
) -> dict[str, ModelInputs]:
    """Returns the inputs of every split: decoded once where the memory budget allows it, the train split first.

    Those of the train split are augmented if the parameters say so.
    """
    budget = MemoryBudget(parameters.memory_budget_mb)

    def of_split(name: str, split: Split) -> ModelInputs:
        if name == "train" and parameters.augmentation.changes_images:
            return AugmentedInputs(
                split, transform, inputs, parameters.augmentation, parameters.seed, budget, options.scratch
            )
        return image_inputs(split, transform, inputs, budget, options.scratch)

    return {name: of_split(name, split) for name, split in splits.items()}
