"""Figures of a leave-one-generator-out evaluation: every source takes its turn as the unknown one.

In a turn the left-out source's images are the unknown ones, and those of the other sources that have a head the known
ones. Several acceptance scores are judged on the same images, so that which one tells them best is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.metrics.open_set import OpenSetCurve, open_set_area, open_set_curve, unknown_recall

KNOWN_REJECTION = 0.05
ROUNDS = 1000  # of the bootstrap


@dataclass(frozen=True, eq=False)
class OpenSetTurn:
    """One turn, image by image.

    Attributes:
        left_out: the source that no head and no training of this turn knew.
        sources: str (images,), the source of each image: the left-out one's, or one with a head.
        paths: str (images,).
        claimed: str (images,), the source whose head claims the image most.
        scores: acceptance score -> float64 (images,), the higher the surer that the image is of a known source.
    """

    left_out: str
    sources: np.ndarray
    paths: np.ndarray
    claimed: np.ndarray
    scores: Mapping[str, np.ndarray]

    @property
    def unknown(self) -> np.ndarray:
        """Whether each image is of the left-out source: booleans (images,)."""
        return np.asarray(self.sources) == self.left_out

    @property
    def correct(self) -> np.ndarray:
        """Whether the right head claims each image most: booleans (images,), never of the left-out source."""
        return np.asarray(self.sources) == np.asarray(self.claimed)


@dataclass(frozen=True, eq=False)
class OpenSetEvaluation:
    """All turns.

    Attributes:
        split: the split that was scored.
        turns: one for each source.
    """

    split: str
    turns: Sequence[OpenSetTurn]

    @property
    def score_names(self) -> tuple[str, ...]:
        """The acceptance scores, in the order in which they were computed."""
        return tuple(self.turns[0].scores) if self.turns else ()


@dataclass(frozen=True)
class OpenSetFigures:
    """What one acceptance score comes to.

    Attributes:
        known: number of images of known sources.
        unknown: number of images of the left-out source.
        recall: share of unknown images that are rejected where at most 5 % of known ones are; NaN where there are none.
        known_rejection: share of known images that are rejected there.
        threshold: images are accepted from this score on.
        area: under the open-set classification rate curve, 0..1; NaN where images of either kind are missing.
        accuracy: share of known images that the right head claims most, the largest area there can be.
    """

    known: int
    unknown: int
    recall: float
    known_rejection: float
    threshold: float
    area: float
    accuracy: float


def turn_figures(turns: Sequence[OpenSetTurn], score: str) -> OpenSetFigures:
    """Judges one acceptance score, on one turn or pooled over several, with one threshold for all of them.

    Args:
        turns: at least one.
        score: name of the acceptance score.

    Raises:
        ValueError: if a score is NaN.
    """
    correct, known, unknown = _pooled(turns, score)
    nan = float("nan")
    if not known.size:
        return OpenSetFigures(0, unknown.size, nan, nan, nan, nan, nan)
    at_threshold = unknown_recall(known, unknown, KNOWN_REJECTION)
    area = open_set_area(open_set_curve(correct, known, unknown)) if unknown.size else nan
    return OpenSetFigures(
        known.size,
        unknown.size,
        at_threshold.recall,
        at_threshold.known_rejection,
        at_threshold.threshold,
        area,
        float(correct.mean()),
    )


def pooled_curve(turns: Sequence[OpenSetTurn], score: str) -> OpenSetCurve | None:
    """Returns the open-set classification rate curve over all turns, None where images of either kind are missing."""
    correct, known, unknown = _pooled(turns, score)
    return open_set_curve(correct, known, unknown) if known.size and unknown.size else None


def best_score(evaluation: OpenSetEvaluation) -> str:
    """Returns the acceptance score of the highest pooled recall, of equal ones that of the larger area.

    It is chosen on the images that it is judged on, so that its figures are a little too good.

    Raises:
        ValueError: if there is no turn.
    """
    if not evaluation.turns:
        raise ValueError("evaluation: must hold at least one turn, got none.")

    def rank(score: str) -> tuple[float, float]:
        figures = turn_figures(evaluation.turns, score)
        return tuple(np.nan_to_num([figures.recall, figures.area], nan=-1.0).tolist())

    return max(evaluation.score_names, key=rank)


def recall_interval(
    turns: Sequence[OpenSetTurn], score: str, rounds: int = ROUNDS, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % percentile interval of the pooled recall.

    Images are drawn with replacement, those of each source by themselves, and the threshold is chosen anew in every
    draw. An image stands in as many turns as there are; it is drawn, or not, in all of them at once.

    Args:
        turns: at least one.
        score: name of the acceptance score.
        rounds: draws.
        seed: of the draws.

    Returns:
        lower and upper end; both NaN without known or without unknown images.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13; by images as Field & Welsh 2007,
    "Bootstrapping clustered data".
    """
    _, known, unknown = _pooled(turns, score)
    if not known.size or not unknown.size:
        return float("nan"), float("nan")
    paths = np.concatenate([turn.paths for turn in turns])
    is_unknown = np.concatenate([turn.unknown for turn in turns])
    _, first, image = np.unique(paths, return_index=True, return_inverse=True)
    source_of = np.concatenate([turn.sources for turn in turns])[first]
    members = [np.flatnonzero(source_of == source) for source in np.unique(source_of)]
    # Sorted once: every draw only weighs the images differently.
    of_known, of_unknown = np.argsort(known, kind="stable"), np.argsort(unknown, kind="stable")
    known, unknown = known[of_known], unknown[of_unknown]
    image_of_known, image_of_unknown = image[~is_unknown][of_known], image[is_unknown][of_unknown]
    draw, recalls = np.random.default_rng(seed), np.empty(rounds)
    for number in range(rounds):
        times = np.zeros(len(first))
        for of_source in members:
            times[of_source] = draw.multinomial(len(of_source), np.full(len(of_source), 1 / len(of_source)))
        below = np.cumsum(times[image_of_known])
        # The first image that may not be rejected any more sets the threshold, as in `unknown_recall`.
        place = np.searchsorted(below, np.floor(KNOWN_REJECTION * below[-1] + 1e-9), side="right")
        rejected = np.searchsorted(unknown, known[place] if place < known.size else np.inf, side="left")
        weights = times[image_of_unknown]
        recalls[number] = weights[:rejected].sum() / weights.sum()
    low, high = np.percentile(recalls, [2.5, 97.5])
    return float(low), float(high)


def to_document(evaluation: OpenSetEvaluation) -> dict[str, Any]:
    """Returns all figures as plain values for JSON; what is undefined is None.

    Returns:
        `split`, `known_rejection`, `best_score`, `pooled`: score -> figures with `interval`, and `turns`: left-out
        source -> score -> figures.
    """
    return {
        "split": evaluation.split,
        "known_rejection": KNOWN_REJECTION,
        "best_score": best_score(evaluation),
        "pooled": {
            score: {
                **_plain(turn_figures(evaluation.turns, score)),
                "interval": [_finite(end) for end in recall_interval(evaluation.turns, score)],
            }
            for score in evaluation.score_names
        },
        "turns": {
            turn.left_out: {score: _plain(turn_figures([turn], score)) for score in turn.scores}
            for turn in evaluation.turns
        },
    }


def _pooled(turns: Sequence[OpenSetTurn], score: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns whether known images are claimed by the right head, their scores, and those of unknown images."""
    correct = np.concatenate([turn.correct[~turn.unknown] for turn in turns])
    known = np.concatenate([np.asarray(turn.scores[score])[~turn.unknown] for turn in turns])
    unknown = np.concatenate([np.asarray(turn.scores[score])[turn.unknown] for turn in turns])
    return correct, known, unknown


def _plain(figures: OpenSetFigures) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in asdict(figures).items()}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
