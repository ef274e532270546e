"""Confidence intervals of any metric, by drawing the images anew: how far chance alone may have moved a figure."""

from collections.abc import Callable

import numpy as np

ROUNDS = 1000


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    scores: np.ndarray,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the 95 % percentile interval of a metric; images are drawn with replacement, each class by itself.

    A metric that is already at its best in every draw, such as a ROC-AUC of 1, gets an interval without width: take
    `metrics.roc_auc_interval` there.

    Args:
        metric: (labels, scores) -> number.
        labels: integers [n], each 0 or 1.
        scores: floats [n].
        rounds: draws.
        seed: of the draws.

    Returns:
        lower and upper end; both NaN where the metric is NaN in every draw, or there are no images.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    classes = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    if not classes:
        return float("nan"), float("nan")
    draw = np.random.default_rng(seed)
    values = np.empty(rounds)
    for number in range(rounds):
        chosen = np.concatenate([draw.choice(members, len(members)) for members in classes])
        values[number] = metric(labels[chosen], scores[chosen])
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
