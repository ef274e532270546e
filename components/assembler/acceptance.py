"""The acceptance threshold of a servable: how sure its heads must be before a generator is named.

Heads are one-vs-rest, each with an operating point of its own. An image of a generator that none of them knows often
reaches one of these. The answers of all heads together separate such images from those of known generators better than
any distance between features did (docs/recipes.md), so one threshold on them is chosen for all heads.
"""

import logging
import math
from collections.abc import Collection, Mapping

import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.metrics.acceptance import acceptance_score
from components.metrics.open_set import unknown_recall
from components.training.trained import SplitScores
from serving.servable.acceptance import Acceptance

_LOGGER = logging.getLogger(__name__)


def called_real(primary: SplitScores, threshold: float) -> frozenset[str]:
    """Return the paths of the images that the primary module calls real.

    Args:
        primary: Scores of the primary module.
        threshold: Its operating point, 0..1.
    """
    return frozenset(primary.paths[primary.scores < np.float32(threshold)].tolist())


def fit_acceptance(
    scored: Mapping[str, SplitScores],
    level: AttributionLevel,
    score: str,
    known_rejection: float,
    real: Collection[str] = (),
) -> Acceptance:
    """Choose the threshold on the images of known generators that heads were not trained on.

    Args:
        scored: Scores of the eval split by head. Heads of other spans scored other images; an image is judged by the
            heads that scored it, its own among them. More heads can only raise its score, so that no more than the
            share is rejected.
        level: Kind of name that the heads have: sources, "instance", or generator architectures.
        score: Acceptance score, see `components.metrics.acceptance`.
        known_rejection: Largest share of these images that may fall below the threshold, 0..1.
        real: Paths of images that the primary module calls real: no threshold decides on them, and they do not count.
            Images that the primary module did not score, those of other spans, count.

    Returns:
        The highest such threshold; none, with the reason and a warning, where there are too few images to claim the
        share: fewer than 1 / `known_rejection`.
    """
    known = [
        path
        for head, scores in scored.items()
        for path, source in zip(scores.paths.tolist(), scores.sources.tolist(), strict=True)
        if group_of(source, level) == head and path not in real
    ]
    if len(known) * known_rejection < 1.0 - 1e-9:
        kind = "images of the heads' generators" + (" that the primary module calls fake" if real else "")
        note = (
            f"the eval split holds {len(known)} {kind} and {math.ceil(1.0 / known_rejection - 1e-9)} are needed for "
            f"known_rejection {known_rejection:g}"
        )
        _LOGGER.warning("verdict.acceptance: no threshold, since %s; each head's own operating point decides", note)
        return Acceptance(score, None, known_rejection, note)
    chosen = acceptance_score(score, _probabilities(scored, known))
    return Acceptance(score, unknown_recall(chosen, np.empty(0), known_rejection).threshold, known_rejection)


def _probabilities(scored: Mapping[str, SplitScores], paths: list[str]) -> np.ndarray:
    """Return float64 (paths, heads), NaN where a head did not score an image."""
    by_path = [dict(zip(scores.paths.tolist(), scores.scores.tolist(), strict=True)) for scores in scored.values()]
    return np.array([[of_head.get(path, np.nan) for of_head in by_path] for path in paths])
