"""Choice of an operating point: the threshold from which on a score is called positive."""

import math
from dataclasses import dataclass

import numpy as np

from components.metrics.scores import NORMAL_975, check_scores, roc_curve

FIXED = "fixed"
BALANCED_ACCURACY = "balanced_accuracy"
TARGET_FPR = "target_fpr"
RULES = (FIXED, BALANCED_ACCURACY, TARGET_FPR)
FALLBACK = 0.5


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and where it comes from.

    Attributes:
        threshold: an image is called positive if and only if its score is at least this; 0..1.
        rule: the rule that was asked for, one of `RULES`.
        note: what the rule found; where it could not be applied, why, and what was taken instead.
    """

    threshold: float
    rule: str
    note: str


def choose_threshold(labels: np.ndarray, scores: np.ndarray, rule: str, value: float = FALLBACK) -> OperatingPoint:
    """Chooses the threshold of one model on one split.

    `fixed` takes `value`, whatever the scores are. `target_fpr` takes the lowest threshold that calls at most the share
    `value` of the negative images positive; its note gives the share that was reached with its 95 % interval (Wilson),
    and says so where there are fewer than 1 / value negative images, which no such rate can be told from.
    `balanced_accuracy` maximises Youden's J = TPR - FPR (hence the
    balanced accuracy, (J + 1) / 2) over the midpoints between neighbouring distinct scores. Of equally good midpoints
    it takes the one in the widest gap, then the one nearest to 0.5, then the lowest: the result depends on the scores
    alone, never on their order. It is rounded to float32, in which served graphs compare, in such a way that it still
    separates its neighbours.

    Args:
        labels: integers [n], each 0 or 1; n may be 0.
        scores: floats [n], each in 0..1.
        rule: one of `RULES`.
        value: the threshold of rule `fixed`, 0..1; the highest false-positive rate of rule `target_fpr`, 0..1.

    Returns:
        The operating point. `balanced_accuracy` falls back to 0.5, and its note says so, where there are no scores,
        only one class, or no threshold better than chance; `target_fpr` where there are no negative images.

    Raises:
        ValueError: if the rule is unknown, the value is outside 0..1, or as `check_scores`.

    Source: Youden 1950, Cancer 3(1); Wilson 1927, Journal of the American Statistical Association 22.
    """
    if rule not in RULES:
        raise ValueError(f"rule: must be one of {', '.join(RULES)}, got {rule!r}.")
    if not 0 <= value <= 1:
        raise ValueError(f"value: must be in 0..1, got {value}.")
    if rule == TARGET_FPR and value == 0:
        raise ValueError("value: must be above 0 for rule target_fpr, got 0. No number of images shows such a rate.")
    if rule == FIXED:
        return OperatingPoint(float(value), rule, "set in the configuration")
    labels, scores = check_scores(labels, scores)
    if rule == TARGET_FPR:
        return _at_false_positive_rate(labels, scores, value)
    positives, negatives = int(labels.sum()), int((1 - labels).sum())
    if not positives or not negatives:
        found = "no scores" if not labels.size else f"only images of label {labels[0]}"
        return OperatingPoint(FALLBACK, rule, f"fell back to {FALLBACK}: {found}, both classes are needed")

    curve = roc_curve(labels, scores)
    levels = curve.thresholds[1:]  # distinct scores, descending
    # J at "score >= levels[k]", times both class sizes, in integers: equal values are equal, not nearly so.
    youden = np.rint(curve.true_positive_rate * positives).astype(np.int64)[1:-1] * negatives
    youden -= np.rint(curve.false_positive_rate * negatives).astype(np.int64)[1:-1] * positives
    if not youden.size or youden.max() <= 0:
        return OperatingPoint(FALLBACK, rule, f"fell back to {FALLBACK}: no threshold does better than chance")
    above, below = levels[:-1], levels[1:]
    middles = (above + below) / 2
    tied = np.flatnonzero(youden == youden.max())
    best = min(tied, key=lambda k: (below[k] - above[k], abs(middles[k] - 0.5), middles[k]))
    threshold = float(np.float32(middles[best]))
    if not below[best] < threshold <= above[best]:  # the neighbours are as close as float32 numbers get
        threshold = float(above[best])
    balanced = (youden.max() / (positives * negatives) + 1) / 2
    note = f"balanced accuracy {balanced:.3f} on {positives} positive and {negatives} negative images"
    return OperatingPoint(threshold, rule, note)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Returns the 95 % interval of a rate, 0..1, that was measured as `successes` of `trials`; (0, 1) of none.

    Source: Wilson 1927; it keeps a width where the rate is 0 or 1, which small splits often give.
    """
    if not trials:
        return 0.0, 1.0
    square = NORMAL_975**2
    centre = (successes + square / 2) / (trials + square)
    variance = successes * (trials - successes) / trials + square / 4
    reach = NORMAL_975 * math.sqrt(variance) / (trials + square)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _at_false_positive_rate(labels: np.ndarray, scores: np.ndarray, target: float) -> OperatingPoint:
    negatives = np.sort(scores[labels == 0])[::-1]
    if not negatives.size:
        return OperatingPoint(FALLBACK, TARGET_FPR, f"fell back to {FALLBACK}: no negative images, they are needed")
    # The rate times the count may lie a rounding error below the whole number that it is.
    allowed = math.floor(target * negatives.size + 1e-9)
    threshold = 0.0
    if allowed < negatives.size:
        refused = negatives[allowed]  # the highest score that must not be called positive
        above = scores[scores > refused]
        threshold = float(np.float32((refused + (above.min() if above.size else 1.0)) / 2))
        if threshold <= refused:  # the neighbours are as close as float32 numbers get
            threshold = float(np.nextafter(np.float32(refused), np.float32(2)))
    called = int((negatives >= threshold).sum())
    low, high = wilson_interval(called, negatives.size)
    note = (
        f"false-positive rate {called / negatives.size:.3f} ({low:.3f} to {high:.3f}) on {negatives.size} negative "
        f"images, {target:g} allowed"
    )
    if target * negatives.size < 1:
        note += f"; too few images to claim it: {math.ceil(1 / target)} are needed"
    return OperatingPoint(min(threshold, 1.0), TARGET_FPR, note)
