"""The answer that a module should give for each image of a split: real or fake, one source or any other, a class."""

from collections.abc import Mapping, Sequence

import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.training.examples import Split

REAL_CLASS = "real"


def detection_targets(splits: Mapping[str, Split]) -> dict[str, np.ndarray]:
    """Return whether each image is fake: split -> int32 (count,), 0 or 1.

    Raises:
        ValueError: if the train split lacks real or fake images.
    """
    targets = {name: split.labels for name, split in splits.items()}
    require_classes(splits["train"], targets["train"], (REAL_CLASS, "fake"))
    return targets


def source_targets(source: str, splits: Mapping[str, Split], level: AttributionLevel) -> dict[str, np.ndarray]:
    """Return whether each image is of one source or architecture: split -> int32 (count,), 0 or 1.

    Raises:
        ValueError: if the train split lacks images of the source, or of any other; the message lists its sources.
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


def class_targets(
    sources: Sequence[str], splits: Mapping[str, Split], level: AttributionLevel
) -> dict[str, np.ndarray]:
    """Return the class of each image: split -> int32 (count,), 0 real, i + 1 for sources[i], -1 for other generators.

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


def require_classes(split: Split, targets: np.ndarray, classes: Sequence[str]) -> None:
    """Raise ValueError if the split holds no image of one of the classes; the message names split and class."""
    for number, name in enumerate(classes):
        if not np.any(targets == number):
            raise ValueError(f"split '{split.name}': holds no image of {name}; a classifier needs both classes.")
