"""The figures of a model card: what a model reached on images that it did not see, each with its 95 % interval.

Areas have Hanley & McNeil's interval, rates Wilson's: both keep a width where few images were all judged right. The
expected calibration error has a bootstrap interval.
"""

import math
from typing import Any

import numpy as np

from components.metrics import scores as metrics
from components.metrics.calibration import Calibration
from components.metrics.operating_point import wilson_interval
from components.metrics.reliability import calibration_figures

Figure = dict[str, float | None]

# Of `metrics.summarise`, those that stand without an interval.
_PLAIN = ("average_precision", "balanced_accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5", "eer", "ece")


def model_figures(
    labels: np.ndarray,
    scores: np.ndarray,
    sources: np.ndarray,
    threshold: float,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Returns what a model reached, overall and source by source, as plain values for JSON.

    Args:
        labels: integers [n], each 0 or 1, of the model's own question.
        scores: floats [n], 0..1.
        sources: strings [n].
        threshold: operating point; an image is called positive if its score is at least this.
        calibration: what was done to the scores, None if that is not known.

    Returns:
        `overall`: images, positives; roc_auc, true_positive_rate and false_positive_rate with value, low and high; the
        further metrics of this project as numbers; and `calibration`: the expected calibration error `before` and
        `after` (with value, low and high), what it stays below `by_chance` if probabilities are right, and the Brier
        score. `sources`: for each source images, label, `called` (the share
        that the model calls positive) and `roc_auc` against the images of the other class, both with their interval.
        What is not defined on these images is None.

    Raises:
        ValueError: as `metrics.check_scores`, or if there are not as many sources as scores.
    """
    labels, scores = metrics.check_scores(labels, scores)
    sources = np.asarray(sources)
    if sources.shape != scores.shape:
        raise ValueError(f"sources and scores: must be of equal length, got {sources.shape} and {scores.shape}.")
    summary = metrics.summarise(labels, scores, threshold)
    called = scores >= threshold
    overall: dict[str, Any] = {
        "images": int(labels.size),
        "positives": int(labels.sum()),
        "roc_auc": _area(labels, scores),
        "true_positive_rate": _rate(called[labels == 1]),
        "false_positive_rate": _rate(called[labels == 0]),
        **{name: _number(summary[name]) for name in _PLAIN},
        "calibration": _calibration(labels, scores, calibration),
    }
    by_source = {}
    for source in np.unique(sources).tolist():
        own = sources == source
        label = int(labels[own].mean() > 0.5)
        against = own | (labels != label)
        by_source[source] = {
            "images": int(own.sum()),
            "label": label,
            "called": _rate(called[own]),
            "roc_auc": _area(labels[against], scores[against]),
        }
    return {"overall": overall, "sources": by_source}


def _calibration(labels: np.ndarray, scores: np.ndarray, calibration: Calibration | None) -> dict[str, Any]:
    figures = calibration_figures(labels, scores, calibration)
    return {
        "before": _number(figures.before),
        "after": {"value": _number(figures.after), "low": _number(figures.low), "high": _number(figures.high)},
        "by_chance": _number(figures.by_chance),
        "brier": _number(figures.brier),
    }


def _area(labels: np.ndarray, scores: np.ndarray) -> Figure:
    low, high = metrics.roc_auc_interval(labels, scores)
    return {"value": _number(metrics.roc_auc(labels, scores)), "low": _number(low), "high": _number(high)}


def _rate(called: np.ndarray) -> Figure:
    if not called.size:
        return {"value": None, "low": None, "high": None}
    low, high = wilson_interval(int(called.sum()), int(called.size))
    return {"value": float(called.mean()), "low": low, "high": high}


def _number(value: float) -> float | None:
    """Returns None for what is not defined: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
