"""The choice of a threshold against a search over all of them."""

import dataclasses

import numpy as np
import pytest

from components.metrics.operating_point import OperatingPoint, choose_threshold, wilson_interval
from components.metrics.scores import balanced_accuracy


@pytest.mark.parametrize("seed", range(8))
def test_balanced_accuracy_rule_is_not_beaten_by_any_threshold(seed):
    random = np.random.default_rng(seed)
    labels = (random.random(150) < 0.3).astype(int)
    scores = np.clip(random.normal(0.4 + 0.2 * labels, 0.15), 0, 1).astype(np.float32)
    if seed % 2:
        scores = np.round(scores, 1)
    point = choose_threshold(labels, scores, "balanced_accuracy")
    best = max(balanced_accuracy(labels, scores, t) for t in np.linspace(0, 1, 5001))
    assert balanced_accuracy(labels, scores, point.threshold) >= best - 1e-12
    assert point.threshold not in scores


def test_the_threshold_is_the_midpoint_between_separated_classes():
    point = choose_threshold(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.5, 0.75]), "balanced_accuracy")
    assert (point.threshold, point.rule) == (0.375, "balanced_accuracy")
    assert point.note == "balanced accuracy 1.000 on 2 positive and 2 negative images"


def test_of_equally_good_thresholds_the_widest_gap_wins_whatever_the_order():
    # J is 1/2 in the gap (0.25, 0.375) and in the gap (0.5, 0.875); the second is wider.
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.25, 0.375, 0.5, 0.875])
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        assert choose_threshold(labels[order], scores[order], "balanced_accuracy").threshold == 0.6875


def test_of_equally_wide_gaps_the_nearest_to_a_half_and_then_the_lowest_wins():
    labels = np.array([0, 1, 0, 1])
    assert choose_threshold(labels, np.array([0.5, 0.625, 0.75, 0.875]), "balanced_accuracy").threshold == 0.5625
    assert choose_threshold(labels, np.array([0.25, 0.375, 0.625, 0.75]), "balanced_accuracy").threshold == 0.3125


def test_the_threshold_separates_neighbouring_float32_scores_in_float32():
    low = np.float32(0.7)
    for _ in range(4):  # one of two neighbouring pairs rounds its midpoint down, to the lower score
        high = np.nextafter(low, np.float32(1))
        threshold = np.float32(choose_threshold(np.array([0, 1]), np.array([low, high]), "balanced_accuracy").threshold)
        assert high >= threshold > low
        low = high


@pytest.mark.parametrize(
    ("labels", "scores", "why"),
    [
        ([], [], "no scores"),
        ([1, 1], [0.2, 0.9], "only images of label 1"),
        ([0], [0.2], "only images of label 0"),
        ([0, 1], [0.4, 0.4], "no threshold does better than chance"),
        ([1, 0], [0.2, 0.9], "no threshold does better than chance"),
    ],
)
def test_without_a_better_threshold_it_is_a_half_and_the_note_says_why(labels, scores, why):
    point = choose_threshold(np.array(labels, int), np.array(scores), "balanced_accuracy")
    assert point.threshold == 0.5
    assert point.note.startswith("fell back to 0.5") and why in point.note


def test_the_fixed_rule_takes_its_value():
    point = choose_threshold(np.array([], int), np.array([]), "fixed", 0.8)
    assert point == OperatingPoint(0.8, "fixed", "set in the configuration")
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.threshold = 0.1


def test_unknown_rules_values_and_shapes_are_refused():
    with pytest.raises(ValueError, match="rule: must be one of fixed, balanced_accuracy, target_fpr, got 'best'"):
        choose_threshold(np.array([0]), np.array([0.1]), "best")
    with pytest.raises(ValueError, match=r"value: must be in 0..1, got 1.5"):
        choose_threshold(np.array([0]), np.array([0.1]), "fixed", 1.5)
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        choose_threshold(np.array([0, 1]), np.array([0.1]), "balanced_accuracy")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("target", [0.01, 0.05, 0.2, 1.0])
def test_target_fpr_is_kept_and_no_lower_threshold_keeps_it(seed, target):
    random = np.random.default_rng(seed)
    labels = (random.random(300) < 0.3).astype(int)
    scores = np.clip(random.normal(0.4 + 0.2 * labels, 0.15), 0, 1).astype(np.float32)
    if seed % 2:
        scores = np.round(scores, 1)
    threshold = choose_threshold(labels, scores, "target_fpr", target).threshold
    negatives = scores[labels == 0]
    assert (negatives >= threshold).mean() <= target
    below = negatives[negatives < threshold]
    assert not below.size or (negatives >= below.max()).mean() > target


def test_target_fpr_says_what_was_reached_and_how_sure_that_is():
    labels, scores = np.array([0] * 100 + [1] * 5), np.concatenate([np.linspace(0, 0.99, 100), np.full(5, 1.0)])
    point = choose_threshold(labels, scores, "target_fpr", 0.05)
    assert point.note == "false-positive rate 0.050 (0.022 to 0.112) on 100 negative images, 0.05 allowed"
    assert point.threshold == pytest.approx(0.945)


def test_target_fpr_says_that_the_images_are_too_few_to_claim_it():
    note = choose_threshold(np.array([0] * 28 + [1]), np.linspace(0, 1, 29), "target_fpr", 0.01).note
    assert "0.000 (0.000 to 0.121) on 28 negative images" in note
    assert "too few images to claim it: 100 are needed" in note


def test_target_fpr_separates_neighbouring_float32_scores():
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    assert low < choose_threshold(np.array([0, 1]), np.array([low, high]), "target_fpr", 0.5).threshold <= high


def test_target_fpr_without_negative_images_falls_back():
    point = choose_threshold(np.array([1, 1]), np.array([0.2, 0.3]), "target_fpr", 0.01)
    assert point.threshold == 0.5
    assert "no negative images" in point.note


def test_a_false_positive_rate_of_zero_cannot_be_asked_for():
    with pytest.raises(ValueError, match="above 0"):
        choose_threshold(np.array([0, 1]), np.array([0.2, 0.3]), "target_fpr", 0.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 20), (50, 100), (99, 100), (7, 7)])
def test_wilsons_interval_equals_scipys(successes, trials):
    from scipy.stats import binomtest

    expected = binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_measured_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
