"""The verdict on an image: one rule, written once, inside the served graph.

The primary module has priority. Among heads that claim the image the strongest wins; a fake that no head claims comes
from an unknown generator; a real one that a head claims is a contradiction, which is reported as such, never hidden.
A head claims an image from its threshold on, and, where it has a distance, only if the image is near enough.
Where there is an acceptance threshold, a fake whose acceptance score is below it is of an unknown generator.
Where a band is given, an image on which the primary module's probability lies in it is uncertain, whatever heads say.
"""

from collections.abc import Sequence

import tensorflow as tf

from components.servable.acceptance import is_accepted
from serving import contract
from serving.servable.acceptance import Acceptance


def verdicts(
    fake_probability: tf.Tensor,
    source_probabilities: tf.Tensor,
    detection_threshold: float,
    source_thresholds: Sequence[float],
    source_names: Sequence[str],
    uncertain_band: tuple[float, float] | None = None,
    within_distance: tf.Tensor | None = None,
    acceptance: Acceptance | None = None,
) -> tf.Tensor:
    """Decides each row of a batch.

    Args:
        fake_probability: float32 (batch,), 0..1.
        source_probabilities: float32 (batch, heads), 0..1; heads may be 0.
        detection_threshold: the image counts as fake from this probability on.
        source_thresholds: of each head; it claims the image from this probability on.
        source_names: of each head.
        uncertain_band: lowest and highest fake probability of an uncertain image, both included; None: no image is.
        within_distance: bool (batch, heads), whether the image is near enough to the head's source to be claimed at
            all; None: all are.
        acceptance: score of all heads together, and the threshold from which on a fake image is of a known generator;
            None, or without a threshold: each head's own threshold decides.

    Returns:
        string (batch,): a source's name, "real", "unknown_generator", "contradiction" or "uncertain".

    Raises:
        ValueError: if names and thresholds differ in number.
    """
    if len(source_thresholds) != len(source_names):
        raise ValueError(f"{len(source_names)} source names but {len(source_thresholds)} thresholds.")
    claims = source_probabilities >= tf.constant(list(source_thresholds), tf.float32)
    if within_distance is not None:
        claims &= within_distance
    fake = fake_probability >= detection_threshold
    if acceptance is not None and acceptance.threshold is not None and source_names:
        claims &= (is_accepted(acceptance, source_probabilities) | ~fake)[:, tf.newaxis]
    decided = _decided(fake, source_probabilities, claims, source_names)
    if uncertain_band is None:
        return decided
    lowest, highest = uncertain_band
    uncertain = (fake_probability >= lowest) & (fake_probability <= highest)
    return tf.where(uncertain, contract.VERDICT_UNCERTAIN, decided)


def _decided(
    fake: tf.Tensor, source_probabilities: tf.Tensor, claims: tf.Tensor, source_names: Sequence[str]
) -> tf.Tensor:
    """Decides each row from what the primary module calls fake, bool (batch,), and heads claim, bool (batch, heads)."""
    unclaimed = tf.where(fake, contract.VERDICT_UNKNOWN_GENERATOR, contract.VERDICT_REAL)
    if not source_names:
        return unclaimed
    # Probabilities are never negative, so a head that does not claim the image can never win.
    strongest = tf.argmax(tf.where(claims, source_probabilities, -1.0), axis=1)
    claimed = tf.where(fake, tf.gather(tf.constant(list(source_names)), strongest), contract.VERDICT_CONTRADICTION)
    return tf.where(tf.reduce_any(claims, axis=1), claimed, unclaimed)
