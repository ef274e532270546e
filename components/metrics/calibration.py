"""Calibration: probabilities that mean what they say.

A network that was trained until it separates its training images is too sure of itself. Two numbers mend that without
changing which image scores above which: with the logit z of the model, the calibrated probability is

    p = 1 / (1 + exp(-(scale z + shift)))

They are fitted on images that training did not see, by maximum likelihood. As p is again a sigmoid of a linear function
of the last features, they go into the weights of the decision layer: what is saved, evaluated and served needs to know
nothing of it.

Probabilities refer to the share of positives among the images that they were fitted on.

Source: Platt 1999, "Probabilistic Outputs for Support Vector Machines"; Guo et al. 2017, section 4.
"""

from dataclasses import dataclass

import numpy as np

# With fewer images of a class, two fitted numbers are worse than none.
MINIMUM_IMAGES = 10
_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Calibration:
    """Two numbers that make a model's probabilities mean something.

    Attributes:
        scale: what the logit is multiplied with, above 0; below 1 where the model was too sure.
        shift: what is then added.
        note: what it was fitted on, or why it was not.
    """

    scale: float
    shift: float
    note: str

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Returns calibrated logits, float64, of the shape given."""
        return self.scale * np.asarray(logits, np.float64) + self.shift


def fit_calibration(labels: np.ndarray, logits: np.ndarray, copies: int = 0) -> Calibration:
    """Fits scale and shift by maximum likelihood, Newton's method.

    The targets are Platt's, (n+ + 1) / (n+ + 2) for a positive image and 1 / (n- + 2) for a negative one, so that
    classes which a model separates perfectly do not drive the scale to infinity.

    Args:
        labels: integers [n], each 0 or 1.
        logits: floats [n], finite: of images that the model was not trained on.
        copies: Number of copies of each image among the logits, beside the image itself. Images are counted once: a
            copy teaches what happens to an image on its way, not how images differ.

    Returns:
        The calibration. It is the identity, and its note says why, where a class has fewer than 10 images, or where
        higher logits do not go with more positives.

    Raises:
        ValueError: if the shapes differ, a label is not 0 or 1, or a logit is not finite.
    """
    labels, logits = _checked(labels, logits)
    positives, negatives = (int(count) // (1 + copies) for count in (labels.sum(), (1 - labels).sum()))
    counts = f"{positives} positive and {negatives} negative images"
    if min(positives, negatives) < MINIMUM_IMAGES:
        return Calibration(1.0, 0.0, f"not calibrated: {counts}, at least {MINIMUM_IMAGES} of each are needed")
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scale, shift = _fit(targets, logits)
    if not (np.isfinite(scale) and scale > 0):
        return Calibration(1.0, 0.0, f"not calibrated: higher scores do not go with more positives on {counts}")
    also = f", and {copies} augmented copies of each" if copies else ""
    return Calibration(scale, shift, f"fitted on {counts}{also}")


def _fit(targets: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    # In units of the logits' spread the two numbers are of one size, whatever the network's logits are.
    centre, spread = logits.mean(), logits.std() or 1.0
    design = np.stack([(logits - centre) / spread, np.ones_like(logits)], axis=1)
    numbers = np.array([1.0, np.log(targets.mean() / (1 - targets.mean()))])
    loss = _cross_entropy(targets, design @ numbers)
    for _ in range(_STEPS):
        probabilities = 1 / (1 + np.exp(-(design @ numbers)))
        gradient = design.T @ (probabilities - targets)
        curvature = (design * (probabilities * (1 - probabilities))[:, np.newaxis]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        # Halved until it helps: Newton's method alone may overshoot where the curve is flat.
        while (after := _cross_entropy(targets, design @ (numbers - step))) > loss and np.abs(step).max() > _TOLERANCE:
            step = step / 2
        numbers = numbers - step
        if np.abs(step).max() <= _TOLERANCE:
            break
        loss = after
    scale = numbers[0] / spread
    return float(scale), float(numbers[1] - scale * centre)


def _cross_entropy(targets: np.ndarray, logits: np.ndarray) -> float:
    return float(np.sum(np.logaddexp(0, logits) - targets * logits))


def _checked(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, logits = np.asarray(labels), np.asarray(logits, np.float64)
    if labels.ndim != 1 or labels.shape != logits.shape:
        raise ValueError(
            f"labels and logits: must be one-dimensional and of equal length, got {labels.shape} and {logits.shape}."
        )
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if wrong.size:
        raise ValueError(f"labels: must be 0 or 1, got {labels[wrong[0]]} in row {wrong[0]}.")
    wrong = np.flatnonzero(~np.isfinite(logits))
    if wrong.size:
        raise ValueError(f"logits: must be finite, got {logits[wrong[0]]} in row {wrong[0]}.")
    return labels.astype(np.int64), logits
