"""What one servable said of a set of images, and what is true of them: the arrays that an evaluation is made from.

Columns are the same everywhere: 0 is detection (1 = fake), column i is head i - 1 (1 = made by what the head stands
for). Rows are images, in the order in which they were read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.examples import names
from serving import contract

PRIMARY = "primary"
UNPERTURBED = "none"
TEST_ONLY = "testonly"  # the split of sources that no model was trained on


@dataclass(frozen=True)
class HeadMatch:
    """What a head stands for in a dataset.

    Attributes:
        head: its name.
        level: "instance" (one source), "architecture" (all sources whose name starts with it and an underscore), or
            "absent" (the dataset knows neither).
        sources: the sources whose images it should claim, sorted; empty if absent.
    """

    head: str
    level: str
    sources: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Images:
    """The images that were judged.

    Attributes:
        paths: str [n], relative to the image tree.
        sources: str [n].
        splits: str [n].
        labels: int8 [n], 0 real, 1 fake.
        perturbations: str [n], what was done to each image when the dataset was prepared, e.g. "none" or "blur+noise";
            "" where the dataset does not say.
    """

    paths: np.ndarray
    sources: np.ndarray
    splits: np.ndarray
    labels: np.ndarray
    perturbations: np.ndarray

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def test_only(self) -> np.ndarray:
        """bool [n]: of the split of sources that no model was trained on."""
        return self.splits == TEST_ONLY


@dataclass(frozen=True, eq=False)
class Answers:
    """What the servable said of every image.

    Attributes:
        raw: float32 [n, 1 + heads], probabilities.
        verdicts: str [n].
    """

    raw: np.ndarray
    verdicts: np.ndarray


@dataclass(frozen=True, eq=False)
class ServableScores:
    """Everything that the figures of an evaluation are computed from.

    Attributes:
        thresholds: float32 [1 + heads], the servable's own operating points.
        heads: what each head stands for, in the order of the columns.
        images: the images.
        answers: perturbation -> answers; "none" (the images as they are in the dataset) comes first.
        uncertain_band: lowest and highest fake probability at which the servable's verdict is "uncertain", None where
            it has no such band.
        judges_resavings: whether mild re-savings may make its verdict "uncertain" as well.
    """

    thresholds: np.ndarray
    heads: tuple[HeadMatch, ...]
    images: Images
    answers: Mapping[str, Answers]
    uncertain_band: tuple[float, float] | None = None
    judges_resavings: bool = False

    @property
    def can_be_uncertain(self) -> bool:
        """Whether "uncertain" is among the servable's verdicts."""
        return self.judges_resavings or self.uncertain_band is not None

    def __post_init__(self) -> None:
        """Raises ValueError if shapes do not fit each other, or the unperturbed answers are missing."""
        if next(iter(self.answers), None) != UNPERTURBED:
            raise ValueError(f"answers: the first must be '{UNPERTURBED}', got {list(self.answers)}.")
        shape = (self.images.count, 1 + len(self.heads))
        if self.thresholds.shape != shape[1:]:
            raise ValueError(f"thresholds: must have shape {shape[1:]}, got {self.thresholds.shape}.")
        for name, answers in self.answers.items():
            if answers.raw.shape != shape or answers.verdicts.shape != shape[:1]:
                raise ValueError(
                    f"answers '{name}': must have shapes {shape} and {shape[:1]}, "
                    f"got {answers.raw.shape} and {answers.verdicts.shape}."
                )

    @property
    def head_names(self) -> list[str]:
        """Names of the heads, in the order of the columns."""
        return [match.head for match in self.heads]

    @cached_property
    def ground_truth(self) -> np.ndarray:
        """What is true of every image: int8 [n, 1 + heads], 0 or 1."""
        columns = [self.images.labels, *(np.isin(self.images.sources, match.sources) for match in self.heads)]
        return np.stack(columns, axis=1).astype(np.int8)

    def predictions(self, perturbation: str = UNPERTURBED) -> np.ndarray:
        """Returns what was called at the operating points: int8 [n, 1 + heads], 1 where probability >= threshold.

        A model calls every image, also those on which the verdict is uncertain.
        """
        return categorise(self.answers[perturbation].raw, self.thresholds)

    @cached_property
    def true_groups(self) -> np.ndarray:
        """The right answer for each image: str [n], the head that should claim it, else its source.

        Where two heads should, one for the source and one for its architecture, it is the source's.
        """
        groups = self.images.sources.astype(object)
        for match in sorted(self.heads, key=lambda match: match.level == "instance"):
            groups[np.isin(self.images.sources, match.sources)] = match.head
        return groups.astype(str)


def categorise(raw: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Calls every probability at its column's operating point, in float32 as the served graph does.

    Args:
        raw: float32 [n, columns].
        thresholds: float32 [columns].

    Returns:
        int8 [n, columns]: 1 where `raw >= threshold`, else 0.
    """
    return (np.asarray(raw, np.float32) >= np.asarray(thresholds, np.float32)).astype(np.int8)


def match_heads(
    heads: Sequence[str], sources: Iterable[str], level: names.AttributionLevel = "instance"
) -> tuple[HeadMatch, ...]:
    """Finds what each head stands for in a dataset.

    A head is named after a source or after an architecture. Servables of published weights do not say which, so a name
    that is no source of the dataset but is an architecture there is taken for the architecture.

    Args:
        heads: names of the servable's heads.
        sources: all sources of the dataset.
        level: what the servable says that its heads are named after.

    Returns:
        a match for each head, in their order.

    Raises:
        ValueError: if a head is listed twice or named like a verdict: the figures could not tell it apart.
    """
    known = set(sources)
    if reserved := sorted({*heads} & {PRIMARY, *contract.RESERVED_VERDICTS}):
        raise ValueError(f"heads: must not be named {', '.join(reserved)}: a verdict or a model is called so.")
    if len(set(heads)) != len(heads):
        raise ValueError(f"heads: must have different names, got {', '.join(heads)}.")
    return tuple(_match(head, known, level) for head in heads)


def _match(head: str, sources: set[str], level: names.AttributionLevel) -> HeadMatch:
    if level == "instance" and head in sources:
        return HeadMatch(head, "instance", (head,))
    members = tuple(sorted(source for source in sources if names.architecture_of(source) == head))
    return HeadMatch(head, "architecture" if members else "absent", members)
