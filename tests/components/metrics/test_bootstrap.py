"""Bootstrap intervals against the theory of what they estimate."""

import math

import numpy as np
import pytest

from components.metrics.bootstrap import bootstrap_interval
from components.metrics.scores import roc_auc, roc_auc_interval


def _mean_score(labels, scores):
    return float(scores.mean())


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    scores = np.random.default_rng(0).normal(0.0, 1.0, 400)
    low, high = bootstrap_interval(_mean_score, np.zeros(400, int), scores)
    error = scores.std() / 20
    assert [low, high] == pytest.approx([scores.mean() - 1.96 * error, scores.mean() + 1.96 * error], abs=0.2 * error)


def test_the_interval_of_an_area_is_near_the_closed_form():
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1], 80)
    scores = 1 / (1 + np.exp(-draw.normal(labels * 1.2, 1.0)))
    assert bootstrap_interval(roc_auc, labels, scores) == pytest.approx(roc_auc_interval(labels, scores), abs=0.02)


def test_each_class_keeps_its_number_of_images():
    counts = set()

    def count(labels, scores):
        counts.add((int((labels == 0).sum()), int((labels == 1).sum())))
        return 0.0

    bootstrap_interval(count, np.array([0, 0, 0, 1]), np.zeros(4), rounds=20)
    assert counts == {(3, 1)}


def test_the_same_seed_draws_the_same():
    labels, scores = np.repeat([0, 1], 20), np.linspace(0, 1, 40) ** 2
    again = [bootstrap_interval(_mean_score, labels, scores, 50, seed) for seed in (3, 3, 4)]
    assert again[0] == again[1] != again[2]


@pytest.mark.parametrize("labels", [[], [1, 1]])
def test_what_is_undefined_in_every_draw_has_no_interval(labels):
    assert all(math.isnan(end) for end in bootstrap_interval(roc_auc, np.array(labels), np.full(len(labels), 0.5), 20))
