"""Calibration against a general optimiser, and what it must never do."""

import numpy as np
import pytest
from scipy import optimize, special

from components.metrics.calibration import Calibration, fit_calibration
from components.metrics.scores import expected_calibration_error, roc_auc


def _overconfident(count=400, seed=0, sharpness=4.0):
    draw = np.random.default_rng(seed)
    true_logits = draw.normal(0.3, 1.5, count)
    labels = (draw.random(count) < special.expit(true_logits)).astype(int)
    return labels, sharpness * true_logits - 1.0


def _negative_log_likelihood(numbers, labels, logits):
    positives, negatives = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    probabilities = special.expit(numbers[0] * logits + numbers[1])
    return -np.sum(special.xlogy(targets, probabilities) + special.xlogy(1 - targets, 1 - probabilities))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sharpness", [0.05, 1.0, 20.0])
def test_no_general_optimiser_finds_a_likelier_fit(seed, sharpness):
    labels, logits = _overconfident(seed=seed, sharpness=sharpness)
    fitted = fit_calibration(labels, logits)
    found = optimize.minimize(
        _negative_log_likelihood, [1 / sharpness, 0.0], (labels, logits), method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000},
    )  # fmt: skip
    assert [fitted.scale, fitted.shift] == pytest.approx(found.x, rel=1e-3, abs=1e-4)
    assert _negative_log_likelihood([fitted.scale, fitted.shift], labels, logits) <= found.fun + 1e-6


def test_overconfident_probabilities_come_to_mean_what_they_say_on_other_images():
    calibration = fit_calibration(*_overconfident(seed=1))
    labels, logits = _overconfident(count=4000, seed=2)
    before = expected_calibration_error(labels, special.expit(logits))
    after = expected_calibration_error(labels, special.expit(calibration.logits(logits)))
    assert after < 0.03 < 0.1 < before


def test_the_order_of_images_stays():
    labels, logits = _overconfident(seed=3)
    calibrated = special.expit(fit_calibration(labels, logits).logits(logits))
    assert roc_auc(labels, calibrated) == roc_auc(labels, special.expit(logits))


def test_classes_that_are_perfectly_apart_give_a_finite_scale():
    labels = np.repeat([0, 1], 50)
    calibration = fit_calibration(labels, np.where(labels == 1, 300.0, -300.0))
    assert special.expit(calibration.logits(np.array([300.0, -300.0]))) == pytest.approx([51 / 52, 1 / 52])


@pytest.mark.parametrize("positives", [0, 9])
def test_too_few_images_of_a_class_are_said_and_nothing_is_fitted(positives):
    labels = np.array([1] * positives + [0] * 30)
    calibration = fit_calibration(labels, np.linspace(-1, 1, len(labels)))
    assert calibration == Calibration(1.0, 0.0, calibration.note)
    assert f"{positives} positive and 30 negative" in calibration.note


def test_a_model_that_has_it_backwards_is_not_turned_round():
    labels, logits = _overconfident()
    calibration = fit_calibration(labels, -logits)
    assert (calibration.scale, calibration.shift) == (1.0, 0.0)
    assert "do not go with" in calibration.note


def test_a_model_that_always_says_the_same_is_left_alone():
    labels = np.repeat([0, 1], 20)
    calibration = fit_calibration(labels, np.zeros(40))
    assert np.isfinite([calibration.scale, calibration.shift]).all()


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 1], [0.0], r"\(2,\) and \(1,\)"),
        ([0, 2], [0.0, 1.0], "got 2 in row 1"),
        ([0, 1], [np.inf, 1.0], "got inf in row 0"),
    ],
)
def test_what_is_no_label_and_no_logit_is_refused(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(np.array(labels), np.array(logits))
