"""How far an image is from those of a source, in the last features of the source's head.

A head knows its source from the others that it was shown. An image of a generator that nobody knew may lie on the same
side of the head's boundary, yet far from everything of the source: the distance tells it, the probability does not.

Source: Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks"
(arXiv 1807.03888), section 2.1; here a Gaussian a source, since heads share no features.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

_FLOOR = 1e-6  # of the mean variance, added to every direction


class Gaussian(NamedTuple):
    """How the features of one source's images are spread.

    Attributes:
        mean: float64 (features,).
        covariance: float64 (features, features), shrunk, positive definite.
    """

    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True, eq=False)
class SourceDistance:
    """What a head needs to tell images of its source from those that are merely not of the others.

    Attributes:
        mean: float64 (features,), of the source's images.
        precision: float64 (features, features), inverse of their covariance.
        limit: squared Mahalanobis distance beyond which an image is not of the source.
        note: what the limit rests on.
    """

    mean: np.ndarray
    precision: np.ndarray
    limit: float
    note: str

    def write(self, path: Path) -> None:
        """Writes a NumPy archive."""
        np.savez(path, allow_pickle=False, mean=self.mean, precision=self.precision, limit=self.limit, note=self.note)


def read_distance(path: Path) -> SourceDistance:
    """Reads what `SourceDistance.write` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return SourceDistance(arrays["mean"], arrays["precision"], float(arrays["limit"]), str(arrays["note"]))


def fit_distance(features: np.ndarray, held_out: np.ndarray, rejection: float) -> SourceDistance:
    """Fits the distance of one source.

    Args:
        features: floats (images, features), of the source's images that the head was trained on, at least one.
        held_out: floats (others, features), of those that it was not trained on.
        rejection: share of the source's own images that may lie beyond the limit, 0..1.

    Returns:
        The distance. Its limit is the quantile of the held-out images; where they are too few to have one
        (fewer than 1 / rejection), their largest distance.

    Raises:
        ValueError: if there is no image of either kind, or the share lies outside 0..1.
    """
    if not 0 < rejection < 1:
        raise ValueError(f"rejection: must be between 0 and 1, got {rejection}.")
    if not len(held_out):
        raise ValueError("held_out: must hold at least one image of the source, got none. Enlarge the eval split.")
    gaussian = fit_gaussian(features)
    distances = squared_mahalanobis(held_out, gaussian)
    limit = float(np.quantile(distances, 1.0 - rejection, method="higher"))
    note = f"at most {rejection:g} of {len(held_out)} held-out images of the source lie beyond"
    if len(held_out) * rejection < 1:
        note += "; too few images to claim it: the farthest of them is the limit"
    return SourceDistance(gaussian.mean, np.linalg.inv(gaussian.covariance), limit, note)


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
