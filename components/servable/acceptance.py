"""Acceptance inside the served graph: the scores of `components.metrics.acceptance`, to the last digits."""

import tensorflow as tf

from components.metrics.acceptance import SMALLEST_PROBABILITY
from serving.servable.acceptance import HIGHEST_HEAD, MAX_LOGIT, Acceptance

# Logarithms of the graph and of the fit differ in their last digits. The threshold is the score of an image, and many
# images may share the highest score there is: without a margin all of these could fall below it.
_ROUNDING = 1e-6


def acceptance_score(score: str, source_probabilities: tf.Tensor) -> tf.Tensor:
    """Return an acceptance score of each image.

    Args:
        score: "highest_head", "max_logit" or "energy".
        source_probabilities: float32 (batch, heads), 0..1, at least one head. Of several views of an image, they are
            the sigmoid of averaged logits, which is undone here.

    Returns:
        (batch,): float32 of "highest_head", else float64.
    """
    if score == HIGHEST_HEAD:
        return tf.reduce_max(source_probabilities, axis=1)
    exact = tf.cast(source_probabilities, tf.float64)
    inside = tf.clip_by_value(exact, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    logits = tf.math.log(inside) - tf.math.log1p(-inside)
    return tf.reduce_max(logits, axis=1) if score == MAX_LOGIT else tf.reduce_logsumexp(logits, axis=1)


def is_accepted(acceptance: Acceptance, source_probabilities: tf.Tensor) -> tf.Tensor:
    """Return whether each image is sure enough to be of a known generator, bool (batch,).

    Args:
        acceptance: Score and threshold.
        source_probabilities: float32 (batch, heads), 0..1, at least one head.

    Raises:
        ValueError: If there is no threshold.
    """
    if acceptance.threshold is None:
        raise ValueError("acceptance: must have a threshold, got none.")
    margin = 0.0 if acceptance.score == HIGHEST_HEAD else _ROUNDING
    return acceptance_score(acceptance.score, source_probabilities) >= acceptance.threshold - margin
