"""Acceptance scores against scipy, and against the served graph's own."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from components.metrics.acceptance import acceptance_score, clipped_logits, energy, max_logit
from components.servable.acceptance import acceptance_score as score_of_graph
from components.servable.acceptance import is_accepted
from serving.servable.acceptance import SCORES, Acceptance

DRAW = np.random.default_rng(1)
LARGEST = np.nextafter(np.float32(1), np.float32(0))
BELOW_ONE = 16.635532  # its logit


def test_the_highest_logit_orders_images_whose_probabilities_are_all_one():
    logits = np.array([[20.0, -5.0], [-3.0, 40.0], [30.0, 29.0]], np.float32)
    np.testing.assert_array_equal(max_logit(logits), [20.0, 40.0, 30.0])


def test_energy_is_the_logarithm_of_the_sum_of_exponentials_and_does_not_overflow():
    logits = np.concatenate([DRAW.normal(size=(20, 5)), [[1000.0, 999.0, 0.0, -1000.0, 5.0]]])
    np.testing.assert_allclose(energy(logits), scipy.special.logsumexp(logits, axis=1), rtol=1e-12)


def test_logits_are_those_of_scipy_up_to_the_largest_float32_below_one():
    logits = np.linspace(-16.0, 8.0, 400)
    probabilities = scipy.special.expit(logits).astype(np.float32)
    exact = scipy.special.logit(probabilities.astype(np.float64))
    np.testing.assert_allclose(clipped_logits(probabilities), exact, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(clipped_logits(probabilities), logits, atol=1e-4)
    for limit, logit in ((12.0, 0.006), (15.0, 0.12)):  # as documented
        far = np.linspace(0.0, limit, 5000)
        assert np.abs(clipped_logits(scipy.special.expit(far).astype(np.float32)) - far).max() < logit
    ends = np.array([0.0, 1e-30, LARGEST, 1.0], np.float32)
    np.testing.assert_allclose(clipped_logits(ends), [-BELOW_ONE, -BELOW_ONE, BELOW_ONE, BELOW_ONE], atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_no_score_rises_when_a_head_is_left_out(score):
    whole = DRAW.uniform(size=(200, 4)).astype(np.float32)
    part = np.where(np.arange(4) < 3, whole, np.nan)
    np.testing.assert_allclose(acceptance_score(score, part), acceptance_score(score, whole[:, :3]))
    assert (acceptance_score(score, part) <= acceptance_score(score, whole)).all()


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match=r"score: must be one of .*max_logit, got 'odds'"):
        acceptance_score("odds", np.ones((1, 1)))


@pytest.mark.parametrize("score", SCORES)
def test_the_served_graph_computes_the_same_scores(score):
    probabilities = scipy.special.expit(DRAW.normal(0.0, 8.0, (500, 3))).astype(np.float32)
    probabilities[:4] = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [LARGEST, 0.0, 1.0], [0.5, 0.5, 0.5]]
    of_graph = tf.function(lambda given: score_of_graph(score, given))(tf.constant(probabilities))
    np.testing.assert_allclose(of_graph, acceptance_score(score, probabilities), rtol=0, atol=1e-9)


@pytest.mark.parametrize("score", SCORES)
def test_every_image_is_accepted_at_its_own_score(score):
    probabilities = scipy.special.expit(DRAW.normal(4.0, 6.0, (300, 3))).astype(np.float32)
    for row, at in zip(probabilities, acceptance_score(score, probabilities), strict=True):
        assert is_accepted(Acceptance(score, float(at), 0.05), tf.constant(row[np.newaxis])).numpy().all()
        above = min(float(at) + 1e-4, 1.0) if score == "highest_head" else float(at) + 1e-4
        assert (
            above == at or not is_accepted(Acceptance(score, above, 0.05), tf.constant(row[np.newaxis])).numpy().any()
        )


def test_without_a_threshold_nothing_can_be_accepted():
    with pytest.raises(ValueError, match="must have a threshold"):
        is_accepted(Acceptance("energy", None, 0.05, "too few images"), tf.ones((1, 1)))
