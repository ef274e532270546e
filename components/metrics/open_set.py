"""How well images of unknown generators are told from those of known ones.

A classifier over known sources gives every image a source and an acceptance score: how sure it is that the image is
of a known source at all. Below a threshold the image counts as of an unknown generator.

Source: Dhamija, Guenther & Boult 2018, "Reducing Network Agnostophobia", section 4, for the curve.
"""

import math
from typing import NamedTuple

import numpy as np


class OpenSetCurve(NamedTuple):
    """Points of an open-set classification rate curve, from "nothing is accepted" to "everything is".

    Attributes:
        false_acceptance_rate: float64 [points], ascending from 0 to 1: share of unknown images that are accepted.
        correct_rate: float64 [points], ascending: share of known images that are accepted and given the right source.
        thresholds: float64 [points], descending: infinity, then every distinct score.
    """

    false_acceptance_rate: np.ndarray
    correct_rate: np.ndarray
    thresholds: np.ndarray


class UnknownRecall(NamedTuple):
    """What a threshold does that rejects a given share of known images.

    Attributes:
        recall: share of unknown images that are rejected, 0..1; NaN without any.
        known_rejection: share of known images that are rejected, at most the share asked for.
        threshold: images are accepted from this score on.
    """

    recall: float
    known_rejection: float
    threshold: float


def open_set_curve(correct: np.ndarray, known: np.ndarray, unknown: np.ndarray) -> OpenSetCurve:
    """Returns the open-set classification rate curve.

    Args:
        correct: booleans [n], whether a known image is given its own source.
        known: floats [n], acceptance scores of known images.
        unknown: floats [m], acceptance scores of unknown images.

    Raises:
        ValueError: if there are no known or no unknown images, shapes differ, or a score is NaN.
    """
    correct, known, unknown = np.asarray(correct, bool), _scores("known", known), _scores("unknown", unknown)
    if correct.shape != known.shape:
        raise ValueError(f"correct and known: must be of equal length, got {correct.shape} and {known.shape}.")
    thresholds = np.append(np.inf, np.unique(np.concatenate([known, unknown]))[::-1])
    accepted = np.sort(unknown)
    right = np.sort(known[correct])
    return OpenSetCurve(
        (len(accepted) - np.searchsorted(accepted, thresholds, "left")) / len(accepted),
        (len(right) - np.searchsorted(right, thresholds, "left")) / len(known),
        thresholds,
    )


def open_set_area(curve: OpenSetCurve) -> float:
    """Area under the curve, by trapezoids: 0..1, at most the share of known images that are given the right source."""
    return float(np.trapezoid(curve.correct_rate, curve.false_acceptance_rate))


def unknown_recall(known: np.ndarray, unknown: np.ndarray, known_rejection: float = 0.05) -> UnknownRecall:
    """Returns the share of unknown images that are rejected where at most a share of known images is.

    Args:
        known: floats [n], acceptance scores of known images.
        unknown: floats [m], acceptance scores of unknown images; m may be 0.
        known_rejection: the share of known images that may be rejected, 0..1.

    Raises:
        ValueError: if there are no known images, a score is NaN, or the share lies outside 0..1.
    """
    if not 0 <= known_rejection <= 1:
        raise ValueError(f"known_rejection: must be in 0..1, got {known_rejection}.")
    ordered = np.sort(_scores("known", known))
    unknown = np.asarray(unknown, np.float64)
    # As many of the lowest may fall below the threshold; equal scores fall together or not at all.
    allowed = math.floor(known_rejection * ordered.size + 1e-9)
    threshold = ordered[allowed] if allowed < ordered.size else math.inf
    recall = float((unknown < threshold).mean()) if unknown.size else math.nan
    return UnknownRecall(recall, float((ordered < threshold).mean()), float(threshold))


def _scores(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or np.isnan(values).any():
        raise ValueError(f"{name}: must be a list of at least one number, none NaN, got shape {values.shape}.")
    return values
