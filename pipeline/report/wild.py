"""The wild figure: every image as it is and as every kind of copy, all mixed, with one threshold for all of them.

A detector that meets the web does not know what an image has been through. Figures of one kind of copies at a time
flatter it: each kind may have scores of its own, and a threshold that suits one kind may call half of another fake.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.metrics.bootstrap import ROUNDS
from components.metrics.scores import expected_calibration_error, roc_auc, tpr_at_fpr
from pipeline.report.data import CopiesReport, ScoreSet
from pipeline.report.text import number


@dataclass(frozen=True)
class WildFigures:
    """Figures over all kinds of copies mixed; NaN where one is not defined.

    Attributes:
        kinds: Names of the kinds, that of the unchanged images first.
        images: Number of images; each counts once a kind.
        roc_auc: ROC-AUC of detection, 0..1.
        interval: Its 95 % interval; an image is drawn with all of its copies.
        tpr_at_fpr_5: True-positive rate of detection at 5 % false positives.
        ece: Expected calibration error of detection.
        heads: Mean ROC-AUC of the heads; NaN without any.
    """

    kinds: tuple[str, ...]
    images: int
    roc_auc: float
    interval: tuple[float, float]
    tpr_at_fpr_5: float
    ece: float
    heads: float

    @property
    def sentence(self) -> str:
        """The figures in one sentence."""
        low, high = self.interval
        heads = "" if math.isnan(self.heads) else f", heads {number(self.heads)} on average"
        return (
            f"In the wild: detection ROC-AUC {number(self.roc_auc)} ({number(low)} to {number(high)}), TPR "
            f"{number(self.tpr_at_fpr_5)} at 5 % FPR, ECE {number(self.ece)}{heads}: {self.images:,} images as they "
            f"are and as {', '.join(self.kinds[1:])}, all mixed."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what is undefined is None."""
        figures = {name: getattr(self, name) for name in ("roc_auc", "tpr_at_fpr_5", "ece", "heads")}
        return {
            "kinds": list(self.kinds),
            "images": self.images,
            "interval": [None if math.isnan(end) else end for end in self.interval],
            **{name: None if math.isnan(value) else value for name, value in figures.items()},
        }


def wild_figures(copies: Sequence[CopiesReport], primary: str) -> WildFigures | None:
    """Compute the figures over all kinds of copies that a servable judged.

    Args:
        copies: Kinds of copies, the unchanged images first.
        primary: Name of the primary module among their scores.

    Returns:
        The figures; None if fewer than two kinds were judged. A kind that lacks images, since some of its copies came
        out too small, is left out: every image counts equally often.
    """
    judged = [kind for kind in copies if primary in kind.scores]
    judged = [kind for kind in judged if _same_images(kind.scores[primary], judged[0].scores[primary])]
    if len(judged) < 2:
        return None
    labels = judged[0].scores[primary].labels
    scores = np.stack([kind.scores[primary].scores for kind in judged])
    everything, repeated = scores.reshape(-1), np.tile(labels, len(judged))
    heads = [name for name in judged[0].scores if name != primary and all(name in kind.scores for kind in judged)]
    areas = [roc_auc(*(_mixed(judged, name, part) for part in ("labels", "scores"))) for name in heads]
    return WildFigures(
        kinds=tuple(kind.perturbation for kind in judged),
        images=len(labels),
        roc_auc=roc_auc(repeated, everything),
        interval=_interval(labels, scores),
        tpr_at_fpr_5=tpr_at_fpr(repeated, everything, 0.05),
        ece=expected_calibration_error(repeated, everything),
        heads=float(np.mean(areas)) if areas else math.nan,
    )


def _same_images(one: ScoreSet, other: ScoreSet) -> bool:
    """Return whether two kinds hold copies of the same images: scores of a kind are in the order of paths."""
    return len(one.labels) == len(other.labels) and bool((one.sources == other.sources).all())


def _mixed(kinds: Sequence[CopiesReport], model: str, part: str) -> np.ndarray:
    return np.concatenate([getattr(kind.scores[model], part) for kind in kinds])


def _interval(labels: np.ndarray, scores: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the ROC-AUC of mixed copies, scores (kinds, images).

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13; by images as Field & Welsh 2007,
    "Bootstrapping clustered data".
    """
    classes = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    if len(classes) < 2:
        return math.nan, math.nan
    draw, areas = np.random.default_rng(seed), np.empty(ROUNDS)
    for place in range(ROUNDS):
        chosen = np.concatenate([draw.choice(members, len(members)) for members in classes])
        areas[place] = roc_auc(np.tile(labels[chosen], len(scores)), scores[:, chosen].reshape(-1))
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)
