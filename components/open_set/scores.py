"""Acceptance scores: how sure the heads are that an image is of a generator they know. The higher, the surer.

Heads are one-vs-rest and never see each other. Their logits (log-odds) and their last features are all there is to
judge by; which score does it best is measured, see `components.evaluator.open_set_turns`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_LOGIT = "max_logit"
ENERGY = "energy"
MAHALANOBIS = "mahalanobis"
LOGIT_PER_HEAD = "logit_per_head"
MAHALANOBIS_PER_HEAD = "mahalanobis_per_head"

_FLOOR = 1e-6  # of the mean variance, added to every direction


class Gaussian(NamedTuple):
    """How the features of one source's images are spread.

    Attributes:
        mean: float64 (features,).
        covariance: float64 (features, features), shrunk, positive definite.
    """

    mean: np.ndarray
    covariance: np.ndarray


class HeadReference(NamedTuple):
    """What a head's answers are held against, all of its own source's images.

    Attributes:
        gaussian: of its last features, on images that it was trained on.
        logit: median of its logits on images that it was not trained on.
        distance: median of their squared Mahalanobis distances, above 0.
    """

    gaussian: Gaussian
    logit: float
    distance: float


def max_logit(logits: np.ndarray) -> np.ndarray:
    """Returns the logit of the head that claims each image most: a monotone function of the highest probability.

    Probabilities themselves are no use here: in float32 all logits beyond 17 are one and the same probability.

    Args:
        logits: floats (images, heads), at least one head.

    Returns:
        float64 (images,).

    Source: Hendrycks et al. 2022, "Scaling Out-of-Distribution Detection for Real-World Settings", section 3.
    """
    return np.asarray(logits, np.float64).max(axis=1)


def energy(logits: np.ndarray) -> np.ndarray:
    """Returns the negative free energy: the logarithm of the sum over heads of exp(logit), at temperature 1.

    Args:
        logits: floats (images, heads), at least one head.

    Returns:
        float64 (images,).

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", equation 4.
    """
    logits = np.asarray(logits, np.float64)
    highest = logits.max(axis=1)  # taken out of the sum, lest it overflow
    return highest + np.log(np.exp(logits - highest[:, np.newaxis]).sum(axis=1))


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """Fits mean and covariance, the latter shrunk towards a multiple of the identity: a source may have few images.

    How far it is shrunk follows from the features themselves. Features that do not vary at all say nothing of how far
    is far: their covariance is the identity.

    Args:
        features: floats (images, features), at least one image.

    Raises:
        ValueError: if there is no image.

    Source: Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", section 3.3.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"features: must be of shape (images, features), at least one each, got {features.shape}.")
    count, width = features.shape
    mean = features.mean(axis=0)
    centred = features - mean
    sample = centred.T @ centred / count
    scale = np.trace(sample) / width
    if scale == 0:
        return Gaussian(mean, np.eye(width))
    target = scale * np.eye(width)
    spread = ((sample - target) ** 2).sum()
    # How far single images' outer products lie from their mean: the variance of the sample covariance.
    error = (((centred**2).sum(axis=1) ** 2).sum() / count - (sample**2).sum()) / count
    shrinkage = min(error / spread, 1.0) if spread > 0 else 1.0
    shrunk = (1 - shrinkage) * sample + shrinkage * target
    # Rounding may leave a direction without variance at all, e.g. a unit that never fires.
    return Gaussian(mean, shrunk + _FLOOR * target)


def squared_mahalanobis(features: np.ndarray, gaussian: Gaussian) -> np.ndarray:
    """Returns the squared Mahalanobis distance of each image from a source's mean.

    Args:
        features: floats (images, features).
        gaussian: of the source's own images.

    Returns:
        float64 (images,), 0 or more.
    """
    centred = np.asarray(features, np.float64) - gaussian.mean
    return np.einsum("if,fi->i", centred, np.linalg.solve(gaussian.covariance, centred.T))


def fit_reference(features: np.ndarray, held_out_logits: np.ndarray, held_out_features: np.ndarray) -> HeadReference:
    """Fits what a head's answers are held against, on images of its own source.

    Args:
        features: floats (images, features), of those that it was trained on, at least one.
        held_out_logits: floats (others,), of those that it was not trained on, at least one.
        held_out_features: floats (others, features), of the same.

    Raises:
        ValueError: if there is no image of either.
    """
    if not len(held_out_logits):
        raise ValueError("held_out_logits: must hold at least one image, got none.")
    gaussian = fit_gaussian(features)
    distance = float(np.median(squared_mahalanobis(held_out_features, gaussian)))
    # Where all images are one and the same there is no scale to take.
    return HeadReference(gaussian, float(np.median(held_out_logits)), distance or 1.0)


def acceptance_scores(
    logits: np.ndarray, features: np.ndarray, references: Sequence[HeadReference]
) -> dict[str, np.ndarray]:
    """Returns all acceptance scores: name -> float64 (images,).

    Distances are those from the source whose head claims an image most, in that head's features; "per head" are scores
    in that head's own measure: its logit less, or its distance divided by, the median of its source's held-out images.
    Heads are trained apart: what is much to one of them may be little to another.

    Args:
        logits: floats (images, heads), at least one head.
        features: floats (images, heads, features), of each head.
        references: of each head.

    Source: for distances Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks", equation 2; there the class is the nearest one, and its covariance that of all classes.
    """
    claimed = np.asarray(logits).argmax(axis=1)
    highest, distances = max_logit(logits), np.empty(len(claimed))
    for head, reference in enumerate(references):
        chosen = claimed == head
        distances[chosen] = squared_mahalanobis(features[chosen, head], reference.gaussian)
    usual_logits = np.array([reference.logit for reference in references])[claimed]
    usual_distances = np.array([reference.distance for reference in references])[claimed]
    return {
        MAX_LOGIT: highest,
        ENERGY: energy(logits),
        MAHALANOBIS: -distances,
        LOGIT_PER_HEAD: highest - usual_logits,
        MAHALANOBIS_PER_HEAD: -distances / usual_distances,
    }
