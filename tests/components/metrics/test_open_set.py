"""Unknown generators: the curve and its area against counting, one threshold at a time."""

import numpy as np
import pytest

from components.metrics.open_set import open_set_area, open_set_curve, unknown_recall


@pytest.mark.parametrize("seed", range(6))
def test_every_point_of_the_curve_is_what_counting_gives(seed):
    draw = np.random.default_rng(seed)
    known, unknown = np.round(draw.random(40), 1 + seed % 2), np.round(draw.random(30), 1 + seed % 2)
    correct = draw.random(40) < 0.8
    for accepted, right, threshold in zip(*open_set_curve(correct, known, unknown), strict=True):
        assert accepted == (unknown >= threshold).mean()
        assert right == (correct & (known >= threshold)).mean()


def test_perfect_separation_has_the_area_of_the_right_answers():
    curve = open_set_curve(np.array([True, True, False, True]), np.full(4, 0.9), np.full(3, 0.1))
    assert open_set_area(curve) == 0.75


def test_scores_that_know_nothing_have_half_that_area():
    assert open_set_area(open_set_curve(np.ones(5, bool), np.full(5, 0.5), np.full(7, 0.5))) == 0.5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_no_higher_threshold_rejects_so_few_known_images(seed, share):
    draw = np.random.default_rng(seed)
    known, unknown = np.round(draw.random(37), 1), np.round(draw.random(20), 1)
    found = unknown_recall(known, unknown, share)
    assert found.known_rejection == (known < found.threshold).mean() <= share
    assert found.recall == (unknown < found.threshold).mean()
    higher = known[known > found.threshold]
    assert not higher.size or (known < higher.min()).mean() > share


def test_without_unknown_images_the_recall_is_not_a_number():
    assert np.isnan(unknown_recall(np.array([0.5]), np.array([])).recall)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: open_set_curve(np.array([True]), np.array([]), np.array([0.1])), "known: must be a list"),
        (lambda: open_set_curve(np.array([True]), np.array([0.1]), np.array([np.nan])), "unknown: must be a list"),
        (lambda: open_set_curve(np.array([True]), np.array([0.1, 0.2]), np.array([0.1])), "equal length"),
        (lambda: unknown_recall(np.array([0.1]), np.array([0.1]), 1.5), "got 1.5"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
