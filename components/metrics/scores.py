"""Metrics of a binary scorer: how well scores separate positives (label 1) from negatives (label 0).

One definition for every model, split and report. The rule of decision is the same everywhere: an image is called
positive if and only if `score >= threshold`. Accuracy alone is left out on purpose: data sets of generated images are
unbalanced, and it then rewards a constant answer.

A metric that needs both classes is NaN where only one is there (or none): a missing class is a fact about the data that
a report states, not an error that stops it.
"""

import math
from typing import NamedTuple

import numpy as np

CALIBRATION_BINS = 15
NORMAL_975 = 1.959963984540054  # 97.5 % quantile of the standard normal: two-sided 95 % intervals


class RocCurve(NamedTuple):
    """Points of a receiver operating characteristic, from "nothing is positive" to "everything is".

    Attributes:
        false_positive_rate: float64 [points], ascending from 0 to 1; NaN without negatives.
        true_positive_rate: float64 [points], ascending from 0 to 1; NaN without positives.
        thresholds: float64 [points], descending: infinity, then every distinct score.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


class PrecisionRecallCurve(NamedTuple):
    """Points of a precision-recall curve, from the strictest threshold to "everything is positive".

    Attributes:
        recall: float64 [points], ascending to 1; NaN without positives.
        precision: float64 [points].
        thresholds: float64 [points], descending: every distinct score.
    """

    recall: np.ndarray
    precision: np.ndarray
    thresholds: np.ndarray


class _Counts(NamedTuple):
    true_positives: np.ndarray  # int64 [points]
    false_positives: np.ndarray  # int64 [points]
    thresholds: np.ndarray  # float64 [points]

    @property
    def positives(self) -> int:
        return int(self.true_positives[-1])

    @property
    def negatives(self) -> int:
        return int(self.false_positives[-1])

    @property
    def defined(self) -> bool:
        return self.positives > 0 and self.negatives > 0


def check_scores(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Checks labels and scores and brings them to one type.

    Args:
        labels: integers or booleans [n], each 0 or 1.
        scores: floats [n], each in 0..1.

    Returns:
        labels as int64 [n] and scores as float64 [n].

    Raises:
        ValueError: if the shapes differ or are not one-dimensional, a label is not 0 or 1, or a score is NaN or outside
            0..1. The message gives both shapes, or the first such value and its row.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"labels and scores: must be one-dimensional and of equal length, got {labels.shape} and {scores.shape}."
        )
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if wrong.size:
        raise ValueError(f"labels: must be 0 or 1, got {labels[wrong[0]]} in row {wrong[0]}.")
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))  # written so that NaN is wrong too
    if wrong.size:
        raise ValueError(f"scores: must be in 0..1, got {scores[wrong[0]]} in row {wrong[0]}.")
    return labels.astype(np.int64), scores


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> RocCurve:
    """Returns the receiver operating characteristic, a point for every distinct score; arguments as `check_scores`."""
    counts = _count(labels, scores)
    with np.errstate(invalid="ignore"):
        return RocCurve(
            counts.false_positives / np.float64(counts.negatives),
            counts.true_positives / np.float64(counts.positives),
            counts.thresholds,
        )


def precision_recall_curve(labels: np.ndarray, scores: np.ndarray) -> PrecisionRecallCurve:
    """Returns precision and recall, a point for every distinct score; arguments as `check_scores`."""
    counts = _count(labels, scores)
    true_positives, false_positives = counts.true_positives[1:], counts.false_positives[1:]
    with np.errstate(invalid="ignore"):
        recall = true_positives / np.float64(counts.positives)
    return PrecisionRecallCurve(recall, true_positives / (true_positives + false_positives), counts.thresholds[1:])


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative) + 0.5 P(they are equal).

    Returns:
        0..1, equal to the Mann-Whitney U statistic over positives x negatives; NaN for a single class.

    Source: Hanley & McNeil 1982, Radiology 143(1).
    """
    return _roc_auc(_count(labels, scores))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision: sum over thresholds of (R_k - R_{k-1}) P_k, with no interpolation.

    Returns:
        0..1; a scorer that knows nothing gets the share of positives. NaN for a single class.
    """
    return _average_precision(_count(labels, scores))


def balanced_accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Mean of the true-positive rate and the true-negative rate at `score >= threshold`; NaN for a single class."""
    labels, scores = check_scores(labels, scores)
    if labels.size == 0 or labels.min() == labels.max():
        return math.nan
    called = scores >= threshold
    return float((called[labels == 1].mean() + (~called[labels == 0]).mean()) / 2)


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, max_fpr: float) -> float:
    """Highest true-positive rate of any threshold whose false-positive rate is at most `max_fpr`.

    No interpolation: the figure is one that a real threshold reaches on these scores. With fewer than 1 / max_fpr
    negatives it is therefore the rate at no false positive at all.

    Returns:
        0..1; NaN for a single class.
    """
    return _tpr_at_fpr(_count(labels, scores), max_fpr)


def expected_calibration_error(labels: np.ndarray, scores: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of the positive class's probability.

    The scores are put into equally wide bins [k / bins, (k + 1) / bins), the last closed. With n_k images in bin k,
    their mean label y_k and their mean score p_k:  ECE = sum_k (n_k / n) |y_k - p_k|.

    Returns:
        0..1, defined for a single class as well; NaN without images.

    Source: Guo et al. 2017, section 2, for the probability of class 1 instead of that of the class called.
    """
    labels, scores = check_scores(labels, scores)
    if not labels.size:
        return math.nan
    bin_of = np.minimum((scores * bins).astype(np.int64), bins - 1)
    # (n_k / n) |y_k - p_k| = |sum of labels - sum of scores| / n, so that empty bins need no care.
    gaps = np.bincount(bin_of, weights=labels, minlength=bins) - np.bincount(bin_of, weights=scores, minlength=bins)
    return float(np.abs(gaps).sum() / labels.size)


def roc_auc_interval(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the ROC-AUC.

    All areas A that the measured area a does not contradict, |a - A| <= 1.96 SE(A), with Hanley & McNeil's standard
    error of an area A measured on m positives and n negatives:

        SE(A)^2 = A (1 - A) / (m n) * (1 + (m - 1) (1 - A) / (2 - A) + (n - 1) A / (1 + A))

    Taking SE at A instead of at a (a score interval) keeps the interval inside 0..1 and gives it a width where a is 1,
    which small test splits often reach and where bootstrap and a +- 1.96 SE(a) both claim certainty.

    Returns:
        lower and upper end, 0..1; both NaN for a single class.

    Source: Hanley & McNeil 1982, equation 1; Newcombe 2006, Statistics in Medicine 25(4), for the inversion.
    """
    counts = _count(labels, scores)
    if not counts.defined:
        return math.nan, math.nan
    measured, positives, negatives = _roc_auc(counts), counts.positives, counts.negatives

    def agrees(area: float) -> bool:
        spread = 1 + (positives - 1) * (1 - area) / (2 - area) + (negatives - 1) * area / (1 + area)
        variance = area * (1 - area) / (positives * negatives) * spread
        return abs(measured - area) <= NORMAL_975 * math.sqrt(variance)

    def end(outside: float) -> float:
        inside = measured
        for _ in range(50):  # bisection to 1e-15
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if agrees(middle) else (inside, middle)
        return inside

    return end(0.0), end(1.0)


def summarise(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """Returns every metric that this project reports, for one set of scores.

    Args:
        labels: integers [n], each 0 or 1.
        scores: floats [n], each in 0..1.
        threshold: operating point; an image is called positive if its score is at least this.

    Returns:
        roc_auc, average_precision, balanced_accuracy, tpr_at_fpr_1, tpr_at_fpr_5, eer, ece (all 0..1, or NaN where
        undefined), threshold, count (images) and positives (images of label 1).

    Raises:
        ValueError: as `check_scores`.
    """
    counts = _count(labels, scores)
    return {
        "roc_auc": _roc_auc(counts),
        "average_precision": _average_precision(counts),
        "balanced_accuracy": balanced_accuracy(labels, scores, threshold),
        "tpr_at_fpr_1": _tpr_at_fpr(counts, 0.01),
        "tpr_at_fpr_5": _tpr_at_fpr(counts, 0.05),
        "eer": _equal_error_rate(counts),
        "ece": expected_calibration_error(labels, scores),
        "threshold": float(threshold),
        "count": float(counts.positives + counts.negatives),
        "positives": float(counts.positives),
    }


def _count(labels: np.ndarray, scores: np.ndarray) -> _Counts:
    """Counts true and false positives at every distinct score, strictest threshold first."""
    labels, scores = check_scores(labels, scores)
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    # Equal scores are one point: the last of each run. That is what makes ties count half in the area.
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True)) if scores.size else np.empty(0, np.int64)
    true_positives = np.append(0, np.cumsum(labels)[ends])
    return _Counts(true_positives, np.append(0, ends + 1) - true_positives, np.append(np.inf, scores[ends]))


def _roc_auc(counts: _Counts) -> float:
    if not counts.defined:
        return math.nan
    # Trapezoids in integers, so that perfect separation is exactly 1.
    heights = counts.true_positives[1:] + counts.true_positives[:-1]
    return int((np.diff(counts.false_positives) * heights).sum()) / (2 * counts.positives * counts.negatives)


def _average_precision(counts: _Counts) -> float:
    if not counts.defined:
        return math.nan
    precision = counts.true_positives[1:] / (counts.true_positives[1:] + counts.false_positives[1:])
    return float((np.diff(counts.true_positives) * precision).sum() / counts.positives)


def _tpr_at_fpr(counts: _Counts, max_fpr: float) -> float:
    if not counts.defined:
        return math.nan
    allowed = counts.false_positives / counts.negatives <= max_fpr  # the first point, (0, 0), always is
    return float(counts.true_positives[allowed].max() / counts.positives)


def _equal_error_rate(counts: _Counts) -> float:
    """Return the rate where false positives and false negatives meet on the ROC curve, linear between its points."""
    if not counts.defined:
        return math.nan
    false_positive_rate = counts.false_positives / counts.negatives
    # False-positive rate minus false-negative rate climbs from -1 to 1; the rate is read where it passes 0.
    excess = false_positive_rate - 1 + counts.true_positives / counts.positives
    after = int(np.argmax(excess >= 0))
    before = after - 1
    part = -excess[before] / (excess[after] - excess[before])
    return float(false_positive_rate[before] + part * (false_positive_rate[after] - false_positive_rate[before]))
