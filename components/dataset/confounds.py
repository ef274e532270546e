"""Does something other than the picture tell real from fake? File format, JPEG compression, resolution, colour mode.

When all photographs come as JPEG and all synthesised images as PNG, a detector learns the traces of JPEG compression
and scores perfectly on its own test split. So each such property is asked how well it separates the classes *alone*.

The figure is the balanced accuracy of the best rule that sees only the property v: choose the class in which v is more
frequent. Counted on the images that the rule was made of, it is

    1/2 * sum_v max(p(v | real), p(v | fake)),

which grows with the number of different values even where there is nothing to learn. It is therefore estimated
leave-one-out: each image is judged by the rule that the others make, ties count one half. What chance alone reaches is
the 99th percentile of the same estimate over shuffled labels; a figure below that says nothing, whatever its height.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from components.dataset.parameters import ConfoundParameters

Property = Literal["format", "compression", "resolution", "colour_mode"]

FILE_NAME = "confounds.json"  # of a run; a dataset's confounds stand in its manifest

_TITLES: dict[Property, str] = {
    "format": "file format",
    "compression": "JPEG compression",
    "resolution": "resolution",
    "colour_mode": "colour mode",
}
_ADVICE: dict[Property, str] = {
    "format": "Bring both classes through the same last step: prepare with recompress=90.",
    "compression": "Bring both classes through the same last step: prepare with recompress=90.",
    "resolution": "Cropping hides the size, not the scale of what is shown: take both classes at the same resolution.",
    "colour_mode": "Take both classes in colour, or both in grey.",
}
# One common JPEG step overlays what an earlier one left; it changes neither the scale of a picture nor its colours.
_MASKED_BY_RECOMPRESSION: tuple[Property, ...] = ("format", "compression")

_SHUFFLES = 999
_CHANCE = 0.99
_COUNTS_AT_A_TIME = 2_000_000  # 16 MB: bounds memory where a property has many values
_FEWEST_OF_A_SIZE = 5
_MOST_SHARES = 3
# A compression that tells no more than "JPEG or not" is the file format's matter, and said once.
_SAME_FIGURE = 0.02


@dataclass(frozen=True)
class GivenFile:
    """What is known of one image's file as it was given, pixels aside.

    Attributes:
        label: 0 real, 1 fake.
        format: PNG, JPEG or WEBP.
        compression: quality or tables, and chroma subsampling, of a JPEG; "not JPEG" for others; None if not recorded.
        size: width and height in pixels, before any crop; None if not recorded.
        colour_mode: L, RGB, P and so on; None if not recorded.
    """

    label: int
    format: str
    compression: str | None
    size: tuple[int, int] | None
    colour_mode: str | None


@dataclass(frozen=True)
class Confound:
    """How well one property tells real from fake.

    Attributes:
        property: which one.
        balanced_accuracy: 0.5 (nothing) to 1 (everything), estimated leave-one-out.
        chance: what 99 of 100 shuffles of the labels do not exceed.
        real: the values' shares among real images, 0..1, the most frequent first; the rest as "others".
        fake: the same for fake images.
    """

    property: Property
    balanced_accuracy: float
    chance: float
    real: dict[str, float]
    fake: dict[str, float]

    def exceeds(self, limit: float) -> bool:
        """Whether the property separates the classes: at least by the limit, and by more than chance."""
        return self.balanced_accuracy >= limit and self.balanced_accuracy > self.chance

    def sentence(self) -> str:
        """Says in words and figures what was found."""
        return (
            f"{_TITLES[self.property]} alone tells real from fake for {_percent(self.balanced_accuracy)} of the images "
            f"(balanced accuracy {self.balanced_accuracy:.2f} of the best rule that sees nothing else; guessing: 0.50, "
            f"chance: up to {self.chance:.2f}): real: {_listed(self.real)}; fake: {_listed(self.fake)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON, figures rounded to four digits."""
        return {
            "property": self.property,
            "balanced_accuracy": round(self.balanced_accuracy, 4),
            "chance": round(self.chance, 4),
            "real": {value: round(share, 4) for value, share in self.real.items()},
            "fake": {value: round(share, 4) for value, share in self.fake.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Confound":
        """Reads what `to_dict` wrote."""
        return cls(**values)


@dataclass(frozen=True)
class ConfoundReport:
    """The confounds of a dataset, and what follows from them.

    Attributes:
        parameters: Action and limit.
        figures: One figure per property.
        warnings: Sentences about properties that a detector can learn instead of the picture.
        notes: Sentences about those that a common recompression has masked.
    """

    parameters: ConfoundParameters
    figures: list[Confound]
    warnings: list[str]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: action, limit, figures, warnings and notes."""
        return {
            **self.parameters.model_dump(),
            "figures": [figure.to_dict() for figure in self.figures],
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def save(self, directory: Path) -> None:
        """Write confounds.json into a directory, which is made if it does not exist."""
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        (directory / FILE_NAME).write_text(text, encoding="utf-8")


def measure_confounds(files: Iterable[GivenFile]) -> list[Confound]:
    """Measures every property that is recorded for all images.

    Args:
        files: of the images that are trained on, evaluated and tested; both classes must be among them.

    Returns:
        A figure a property, in the order of `Property`; none if a class is missing.
    """
    everything = list(files)
    labels = [file.label for file in everything]
    columns: dict[Property, list[Any]] = {
        "format": [file.format for file in everything],
        "compression": [file.compression for file in everything],
        "resolution": [file.size for file in everything],
        "colour_mode": [file.colour_mode for file in everything],
    }
    if len(set(labels)) < 2:
        return []
    found = []
    for name, values in columns.items():
        if all(value is not None for value in values):
            found.append(_measure(name, resolutions(values) if name == "resolution" else values, labels))
    return found


def judge_confounds(
    confounds: Sequence[Confound], parameters: ConfoundParameters, recompressed: bool
) -> ConfoundReport:
    """Report which properties separate the classes.

    Args:
        confounds: Figures as measured on the files that were given.
        parameters: Limit from which a property counts, and the action; nothing is reported with "off".
        recompressed: Whether every image was encoded as JPEG in the same way, as the last step.
    """
    report = ConfoundReport(parameters, list(confounds), [], [])
    if parameters.action == "off":
        return report
    exceeding = {confound.property: confound for confound in confounds if confound.exceeds(parameters.limit)}
    by_format, by_compression = exceeding.get("format"), exceeding.get("compression")
    if by_format and by_compression and by_compression.balanced_accuracy < by_format.balanced_accuracy + _SAME_FIGURE:
        del exceeding["compression"]
    for name, confound in exceeding.items():
        if recompressed and name in _MASKED_BY_RECOMPRESSION:
            report.notes.append(
                f"as given, {confound.sentence()} All images were recompressed alike, which masks this; traces of an "
                "earlier, stronger compression stay in the pixels."
            )
        else:
            report.warnings.append(
                f"{confound.sentence()} A detector may learn this instead of the picture. {_ADVICE[name]}"
            )
    return report


def resolutions(sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Names the resolution of each image so that it can be compared.

    A size that at least five images share stands for itself. Photographs often have sizes of their own; these are
    grouped by area, doubling from group to group, so that "all different" does not pass for a difference of classes.

    Args:
        sizes: width and height in pixels.

    Example:
        >>> resolutions([(128, 128)] * 5 + [(1000, 701)])[4:]
        ['128x128', 'about 0.5 megapixels']
    """
    counts = Counter(sizes)
    return [
        f"{width}x{height}"
        if counts[width, height] >= _FEWEST_OF_A_SIZE
        else f"about {2.0 ** round(float(np.log2(width * height / 1e6))):.2g} megapixels"
        for width, height in sizes
    ]


def left_out_accuracy(counts: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Balanced accuracy of the best rule on a property's values, estimated leave-one-out.

    Args:
        counts: int64 (values,): images of each value, both classes together.
        real: int64 (..., values): those of them that are real; the sum over the last axis is neither 0 nor all.

    Returns:
        float64 (...): 0.5..1. Estimates below 0.5, which only chance gives, are raised to it.
    """
    fake = counts - real
    reals, fakes = real.sum(axis=-1, keepdims=True), fake.sum(axis=-1, keepdims=True)
    # A real image of value v is told if (real_v - 1) / (reals - 1) > fake_v / fakes, multiplied out to stay exact.
    told_real = _told(real - 1, fakes, fake, reals - 1)
    told_fake = _told(fake - 1, reals, real, fakes - 1)
    accuracy = 0.5 * ((real * told_real).sum(axis=-1) / reals[..., 0] + (fake * told_fake).sum(axis=-1) / fakes[..., 0])
    return np.maximum(accuracy, 0.5)


def _told(own: np.ndarray, others: np.ndarray, other: np.ndarray, owns: np.ndarray) -> np.ndarray:
    """1 where own / owns > other / others, 0.5 where equal, 0 where smaller; no share at all is told by chance."""
    difference = own * others - other * owns
    return 0.5 * (1.0 + np.sign(difference))


def _measure(name: Property, values: Sequence[str], labels: Sequence[int]) -> Confound:
    total, of_fake = Counter(values), Counter(value for value, label in zip(values, labels, strict=True) if label)
    of_real = total - of_fake
    ordered = sorted(total)
    counts = np.array([total[value] for value in ordered], np.int64)
    real = np.array([of_real[value] for value in ordered], np.int64)
    return Confound(
        name,
        float(left_out_accuracy(counts, real)),
        _by_chance(counts, int(real.sum())),
        _shares(of_real),
        _shares(of_fake),
    )


def _by_chance(counts: np.ndarray, reals: int) -> float:
    """The 99th percentile over shuffles of the labels; the same for the same counts."""
    if len(counts) == 1:
        return 0.5
    random = np.random.default_rng(0)
    at_a_time = max(1, _COUNTS_AT_A_TIME // len(counts))
    accuracies = [
        left_out_accuracy(counts, random.multivariate_hypergeometric(counts, reals, size, method="marginals"))
        for size in (min(at_a_time, _SHUFFLES - start) for start in range(0, _SHUFFLES, at_a_time))
    ]
    return float(np.quantile(np.concatenate(accuracies), _CHANCE, method="higher"))


def _shares(counts: Counter[str]) -> dict[str, float]:
    whole = counts.total()
    # Ties in order of the names, so that equal data give equal words.
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_SHARES]
    shares = {value: count / whole for value, count in frequent}
    rest = whole - sum(count for _, count in frequent)
    return {**shares, "others": rest / whole} if rest else shares


def _listed(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{_percent(share)} {value}" for value, share in shares.items())


def _percent(share: float) -> str:
    """Whole percents, but never 0 or 100 for what is a little more or less."""
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.2g} %" if rounded == 0 else "over 99 %"
    return f"{rounded} %"
