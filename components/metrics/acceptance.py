"""Acceptance scores of heads' answers: how sure the heads are that an image is of a generator they know.

The higher the score, the surer. Which score tells unknown generators best is measured, see
`components.metrics.open_set_turns`; the served graph computes the same scores (`components.servable.acceptance`).
"""

import numpy as np

from serving.servable.acceptance import ENERGY, HIGHEST_HEAD, MAX_LOGIT

# The float32 number next below 1 is 1 - 2^-24: nearer to 0 or 1 no probability says how large its logit was.
SMALLEST_PROBABILITY = 2.0**-24


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


def clipped_logits(probabilities: np.ndarray) -> np.ndarray:
    """Return the logits (log-odds) of float32 probabilities, clipped to +-16.6.

    Beyond that, float32 holds no larger probability below 1. Rounding of the probability moves a logit of 8 by less
    than 0.0001, one of 12 by less than 0.006, one of 15 by less than 0.12.

    Args:
        probabilities: floats of any shape, 0..1.

    Returns:
        float64, of the same shape.
    """
    inside = np.clip(np.asarray(probabilities, np.float64), SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    return np.log(inside) - np.log1p(-inside)


def acceptance_score(score: str, probabilities: np.ndarray) -> np.ndarray:
    """Return an acceptance score from the probabilities that heads answer.

    Args:
        score: "highest_head", the highest probability; "max_logit" or "energy", of clipped logits.
        probabilities: floats (images, heads), 0..1, at least one head; NaN where a head was not asked about an image.
            No score rises when a head is left out.

    Returns:
        float64 (images,).

    Raises:
        ValueError: if there is no such score.
    """
    known = {HIGHEST_HEAD, MAX_LOGIT, ENERGY}
    if score not in known:
        raise ValueError(f"score: must be one of {', '.join(sorted(known))}, got {score!r}.")
    probabilities = np.asarray(probabilities, np.float64)
    asked = ~np.isnan(probabilities)
    if score == HIGHEST_HEAD:
        return np.where(asked, probabilities, 0.0).max(axis=1)
    logits = np.where(asked, clipped_logits(probabilities), -np.inf)
    return max_logit(logits) if score == MAX_LOGIT else energy(logits)
