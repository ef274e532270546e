"""Do probabilities mean what they say? How far they are from shares, and how closely that can be told.

The expected calibration error itself is `expected_calibration_error`: one definition everywhere.
"""

import math
from typing import NamedTuple

import numpy as np

from components.metrics.bootstrap import ROUNDS, bootstrap_interval
from components.metrics.calibration import Calibration
from components.metrics.operating_point import wilson_interval
from components.metrics.scores import check_scores, expected_calibration_error

# With fewer images an expected calibration error is mostly chance.
FEW_IMAGES = 100
MOST_BINS = 10
IMAGES_A_BIN = 20
# Images drawn in all the rounds of a bootstrap: a large split needs fewer rounds, since less is left to chance there.
_DRAWS = 2_000_000
_FEWEST_ROUNDS = 200


class ReliabilityPoint(NamedTuple):
    """Images of like probability.

    Attributes:
        images: their number.
        probability: their mean probability, 0..1.
        share: the share that is positive, 0..1.
        low, high: 95 % interval of that share (Wilson).
    """

    images: int
    probability: float
    share: float
    low: float
    high: float


class CalibrationFigures(NamedTuple):
    """How well the probabilities of a model are calibrated.

    Attributes:
        images: number of images.
        before: expected calibration error before calibration; NaN where it is not known what calibration did.
        after: that of the probabilities as they are.
        low, high: 95 % bootstrap interval of `after`.
        by_chance: what `after` stays below in 95 % of cases if the probabilities are right.
        brier: Brier score.
    """

    images: int
    before: float
    after: float
    low: float
    high: float
    by_chance: float
    brier: float


def calibration_figures(
    labels: np.ndarray, probabilities: np.ndarray, calibration: Calibration | None
) -> CalibrationFigures:
    """Measures the calibration of one model on one split.

    The bootstrap interval tends to lie too high where images are few, since each draw adds chance of its own to a
    figure that chance alone moves away from 0: read it beside `by_chance`.

    Args:
        labels: integers [n], each 0 or 1.
        probabilities: floats [n], 0..1, calibrated.
        calibration: what was done to them; None if that is not known.

    Returns:
        The figures; all NaN without images.

    Raises:
        ValueError: as `check_scores`.
    """
    labels, probabilities = check_scores(labels, probabilities)
    error = expected_calibration_error
    if not labels.size:
        return CalibrationFigures(0, *(math.nan,) * 6)
    before = math.nan if calibration is None else error(labels, uncalibrated(probabilities, calibration))
    low, high = bootstrap_interval(error, labels, probabilities, _rounds(labels.size))
    return CalibrationFigures(
        images=int(labels.size),
        before=before,
        after=error(labels, probabilities),
        low=low,
        high=high,
        by_chance=error_by_chance(probabilities),
        brier=brier_score(labels, probabilities),
    )


def uncalibrated(probabilities: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Returns what the probabilities were before they were calibrated, float64 of the shape given.

    A probability that float32 has rounded to 0 or 1 stays there.

    Args:
        probabilities: floats [n], 0..1.
        calibration: what was done to them.
    """
    probabilities = np.asarray(probabilities, np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
        return 1 / (1 + np.exp(-(logits - calibration.shift) / calibration.scale))


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance of probability and label, 0..1; NaN without images.

    It is small only if probabilities are both right and decided: always saying the share p of positives gets p (1 - p).

    Source: Brier 1950, Monthly Weather Review 78(1), for one of two classes.
    """
    labels, probabilities = check_scores(labels, probabilities)
    return float(((labels - probabilities) ** 2).mean()) if labels.size else math.nan


def error_by_chance(probabilities: np.ndarray, seed: int = 0) -> float:
    """Returns the expected calibration error that probabilities which are right stay below in 95 % of cases.

    Labels are drawn from the probabilities themselves, and the error is measured each time. An error below this does
    not show that anything is wrong.

    Args:
        probabilities: floats [n], 0..1.
        seed: of the draws.

    Returns:
        0..1; NaN without images.

    Source: Broecker & Smith 2007, "Increasing the Reliability of Reliability Diagrams" (consistency resampling).
    """
    probabilities = np.asarray(probabilities, np.float64)
    if not probabilities.size:
        return math.nan
    random = np.random.default_rng(seed)
    errors = [
        expected_calibration_error(random.random(probabilities.size) < probabilities, probabilities)
        for _ in range(_rounds(probabilities.size))
    ]
    return float(np.percentile(errors, 95))


def reliability_points(labels: np.ndarray, probabilities: np.ndarray) -> list[ReliabilityPoint]:
    """Returns the points of a reliability diagram: at most 10 bins of about equally many images, 20 or more.

    Equal probabilities share a bin, so that the points do not depend on the order of the images; where many are equal,
    bins are fewer and of unequal size.

    Args:
        labels: integers [n], each 0 or 1.
        probabilities: floats [n], 0..1.

    Returns:
        Points by ascending probability; none without images.

    Raises:
        ValueError: as `check_scores`.
    """
    labels, probabilities = check_scores(labels, probabilities)
    if not labels.size:
        return []
    bins = max(1, min(MOST_BINS, labels.size // IMAGES_A_BIN))
    inner = np.quantile(probabilities, np.arange(1, bins) / bins, method="higher")
    bin_of = np.searchsorted(inner, probabilities, "right")
    points = []
    for number in np.unique(bin_of).tolist():
        own = bin_of == number
        images, positives = int(own.sum()), int(labels[own].sum())
        low, high = wilson_interval(positives, images)
        points.append(ReliabilityPoint(images, float(probabilities[own].mean()), positives / images, low, high))
    return points


def _rounds(images: int) -> int:
    return max(_FEWEST_ROUNDS, min(ROUNDS, _DRAWS // images))
