"""Acceptance scores: how sure the heads are that an image is of a generator they know. The higher, the surer.

Heads are one-vs-rest and never see each other. Their logits (log-odds) and their last features are all there is to
judge by; which score does it best is measured, see `components.metrics.open_set_turns`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.metrics.acceptance import ENERGY, MAX_LOGIT, energy, max_logit
from components.models.distances import Gaussian, fit_gaussian, squared_mahalanobis

MAHALANOBIS = "mahalanobis"
LOGIT_PER_HEAD = "logit_per_head"
MAHALANOBIS_PER_HEAD = "mahalanobis_per_head"


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
