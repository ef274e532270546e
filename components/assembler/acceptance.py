"""The acceptance threshold of a servable: how sure its surest head must be before a generator is named.

Heads are one-vs-rest, each with an operating point of its own. An image of a generator that none of them knows often
reaches one of these. The highest probability of all heads separates such images from those of known generators better
than any distance between features did (docs/recipes.md), so one threshold on it is chosen for all heads together.
"""

import logging
from collections.abc import Mapping

import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.metrics.open_set import unknown_recall
from components.training.trained import SplitScores

_LOGGER = logging.getLogger(__name__)


def acceptance_threshold(
    scored: Mapping[str, SplitScores], level: AttributionLevel, known_rejection: float
) -> float | None:
    """Choose the threshold on the images of known generators that heads were not trained on.

    Args:
        scored: Scores of the eval split by head. Heads of other spans scored other images; an image's highest
            probability is that of the heads that scored it, its own among them.
        level: Kind of name that the heads have: sources, "instance", or generator architectures.
        known_rejection: Largest share of these images that may fall below the threshold, 0..1.

    Returns:
        The threshold, 0..1, above 0; None, with a warning, where there are too few images to claim the share: fewer
        than 1 / `known_rejection`.
    """
    highest: dict[str, float] = {}
    for scores in scored.values():
        for path, score in zip(scores.paths.tolist(), scores.scores.tolist(), strict=True):
            highest[path] = max(score, highest.get(path, 0.0))
    known = np.array(
        [
            highest[path]
            for head, scores in scored.items()
            for path, source in zip(scores.paths.tolist(), scores.sources.tolist(), strict=True)
            if group_of(source, level) == head
        ]
    )
    if known.size * known_rejection < 1.0:
        _LOGGER.warning(
            "verdict.acceptance: no threshold, since the eval split holds %d images of the heads' generators and %d "
            "are needed for known_rejection %g; each head's own operating point decides",
            known.size,
            int(np.ceil(1.0 / known_rejection)),
            known_rejection,
        )
        return None
    return unknown_recall(known, np.empty(0), known_rejection).threshold
