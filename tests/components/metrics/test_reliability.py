"""Calibration figures against other computations of the same, and against what probability theory says of them."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from components.metrics.calibration import Calibration, fit_calibration
from components.metrics.reliability import (
    brier_score,
    calibration_figures,
    error_by_chance,
    reliability_points,
    uncalibrated,
)
from components.metrics.scores import expected_calibration_error


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def _drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities that are therefore right, and the logits of these."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, count)
    return (random.random(count) < _sigmoid(logits)).astype(int), logits


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, -1.5), (2.5, 0.7)])
def test_uncalibrated_takes_back_what_calibration_did(scale, shift):
    calibration = Calibration(scale, shift, "")
    logits = np.linspace(-8, 8, 33)
    calibrated = _sigmoid(calibration.logits(logits))
    np.testing.assert_allclose(uncalibrated(calibrated, calibration), _sigmoid(logits), rtol=1e-9)


def test_probabilities_that_were_rounded_to_an_end_stay_there():
    ends = uncalibrated(np.array([0.0, 1.0], np.float32), Calibration(0.5, 1.0, ""))
    assert ends.tolist() == [0.0, 1.0]


def test_calibration_that_was_fitted_lowers_the_error_of_an_overconfident_model():
    labels, logits = _drawn(4000)
    overconfident = 3 * logits + 1
    calibration = fit_calibration(labels, overconfident)
    figures = calibration_figures(labels, _sigmoid(calibration.logits(overconfident)), calibration)
    assert figures.before == pytest.approx(expected_calibration_error(labels, _sigmoid(overconfident)), abs=1e-9)
    assert figures.before > 0.1 > 0.03 > figures.after
    assert figures.low < figures.high


def test_what_calibration_did_is_not_known_without_one():
    labels, logits = _drawn(200)
    figures = calibration_figures(labels, _sigmoid(logits), None)
    assert math.isnan(figures.before) and figures.images == 200


def test_without_images_nothing_is_known():
    figures = calibration_figures(np.array([], int), np.array([]), None)
    assert figures.images == 0 and all(math.isnan(value) for value in figures[1:])


def test_the_brier_score_is_scikit_learns():
    labels, logits = _drawn(300)
    assert brier_score(labels, _sigmoid(logits)) == pytest.approx(brier_score_loss(labels, _sigmoid(logits)))


def test_right_probabilities_stay_below_what_chance_allows_in_95_percent_of_cases():
    probabilities = _sigmoid(_drawn(150)[1])
    limit = error_by_chance(probabilities)
    random = np.random.default_rng(99)
    below = np.mean(
        [expected_calibration_error(random.random(150) < probabilities, probabilities) <= limit for _ in range(600)]
    )
    assert below == pytest.approx(0.95, abs=0.03)


def test_what_chance_allows_shrinks_with_the_root_of_the_images():
    limits = [error_by_chance(np.tile(np.linspace(0.02, 0.98, 100), times)) for times in (1, 16)]
    assert limits[0] / limits[1] == pytest.approx(4, rel=0.2)


def test_points_of_a_reliability_diagram_are_those_of_scikit_learns_quantile_bins():
    labels, logits = _drawn(1000)
    points = reliability_points(labels, _sigmoid(logits))
    shares, means = calibration_curve(labels, _sigmoid(logits), n_bins=10, strategy="quantile")
    assert len(points) == 10
    np.testing.assert_allclose([point.share for point in points], shares, atol=0.011)  # an image may fall next door
    np.testing.assert_allclose([point.probability for point in points], means, atol=0.011)
    assert sum(point.images for point in points) == 1000
    assert all(point.low <= point.share <= point.high for point in points)


def test_few_images_have_few_points_and_equal_probabilities_one():
    labels, logits = _drawn(50)
    assert len(reliability_points(labels, _sigmoid(logits))) == 2
    same = reliability_points(np.arange(100) % 2, np.full(100, 0.25))
    assert [(point.images, point.probability, point.share) for point in same] == [(100, 0.25, 0.5)]
    assert reliability_points(np.array([], int), np.array([])) == []


def test_points_do_not_depend_on_the_order_of_images_of_equal_probability():
    labels, probabilities = np.arange(200) % 2, np.repeat([0.0, 0.3, 0.9, 1.0], 50)
    order = np.random.default_rng(3).permutation(200)
    assert reliability_points(labels, probabilities) == reliability_points(labels[order], probabilities[order])
