"""Metrics against scikit-learn, closed forms and simulation."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from components.metrics.scores import (
    average_precision,
    balanced_accuracy,
    expected_calibration_error,
    roc_auc,
    roc_auc_interval,
    roc_curve,
    summarise,
    tpr_at_fpr,
)


def _scores(seed: int, count: int = 400, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Unbalanced, overlapping scores as float32; with `levels`, rounded so that most are tied."""
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.8).astype(np.int64)
    scores = 1 / (1 + np.exp(-random.normal(1.5 * labels - 0.5)))
    if levels:
        scores = np.round(scores * levels) / levels
    return labels, scores.astype(np.float32)


@pytest.fixture(params=[(0, None), (1, None), (2, 10), (3, 3), (4, 1)], ids=lambda p: f"seed{p[0]}-levels{p[1]}")
def scored(request):
    seed, levels = request.param
    return _scores(seed, levels=levels)


def test_roc_curve_equals_scikit_learn(scored):
    expected = sklearn.metrics.roc_curve(*scored, drop_intermediate=False)
    for ours, theirs in zip(roc_curve(*scored), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_roc_auc_equals_scikit_learn_and_mann_whitney_u_with_ties(scored):
    labels, scores = scored
    positives, negatives = scores[labels == 1], scores[labels == 0]
    u = scipy.stats.mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert roc_auc(labels, scores) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert roc_auc(labels, scores) == pytest.approx(u, abs=1e-12)


def test_average_precision_equals_scikit_learn(scored):
    expected = sklearn.metrics.average_precision_score(*scored)
    assert average_precision(*scored) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_balanced_accuracy_equals_scikit_learn(scored, threshold):
    labels, scores = scored
    expected = sklearn.metrics.balanced_accuracy_score(labels, scores.astype(np.float64) >= threshold)
    assert balanced_accuracy(labels, scores, threshold) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("max_fpr", [0.0, 0.01, 0.05, 0.5])
def test_tpr_at_fpr_is_the_best_point_that_keeps_the_rate(scored, max_fpr):
    fpr, tpr, _ = sklearn.metrics.roc_curve(*scored, drop_intermediate=False)
    assert tpr_at_fpr(*scored, max_fpr) == pytest.approx(tpr[fpr <= max_fpr].max(), abs=1e-12)


def test_tpr_at_1_percent_fpr_allows_exactly_1_of_100_negatives():
    labels = np.array([1] * 3 + [0] * 100)
    scores = np.array([0.9, 0.7, 0.5] + [0.8] + [0.6] + [0.1] * 98)
    assert tpr_at_fpr(labels, scores, 0.01) == pytest.approx(2 / 3)


def test_equal_error_rate_is_where_the_interpolated_roc_meets_the_antidiagonal(scored):
    fpr, tpr, _ = sklearn.metrics.roc_curve(*scored, drop_intermediate=False)
    steps = np.linspace(0, 1, 200001)
    # Along the polyline's arc, not over fpr: the curve has vertical parts.
    position = np.linspace(0, 1, len(fpr))
    x, y = np.interp(steps, position, fpr), np.interp(steps, position, tpr)
    expected = x[np.argmin(np.abs(x - (1 - y)))]
    assert summarise(*scored, 0.5)["eer"] == pytest.approx(expected, abs=1e-3)


def test_equal_error_rate_of_two_gaussians_is_the_closed_form():
    random = np.random.default_rng(5)
    labels = np.repeat([0, 1], 50_000)
    scores = scipy.stats.norm.cdf(random.normal(2.0 * labels))  # monotone, so that ranks are those of the normals
    assert summarise(labels, scores, 0.5)["eer"] == pytest.approx(scipy.stats.norm.cdf(-1.0), abs=0.005)
    assert roc_auc(labels, scores) == pytest.approx(scipy.stats.norm.cdf(2 / math.sqrt(2)), abs=0.005)


def test_expected_calibration_error_by_hand():
    # Bins of 1/15: [0.2, 0.267) holds 0.2 and 0.25 (labels 1, 0), the last one holds 0.95 and 1.0 (labels 1, 1).
    labels, scores = np.array([1, 0, 1, 1]), np.array([0.2, 0.25, 0.95, 1.0])
    expected = 2 / 4 * abs(0.5 - 0.225) + 2 / 4 * abs(1.0 - 0.975)
    assert expected_calibration_error(labels, scores) == pytest.approx(expected)


def test_expected_calibration_error_falls_to_0_for_calibrated_scores():
    random = np.random.default_rng(6)
    scores = random.random(200_000)
    labels = (random.random(200_000) < scores).astype(int)
    assert expected_calibration_error(labels, scores) < 0.01


def test_perfect_and_inverted_scores_are_exact():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.2, 0.7, 0.8, 0.9], np.float32)
    perfect, inverted = summarise(labels, scores, 0.5), summarise(labels, 1 - scores, 0.5)
    names = ("roc_auc", "average_precision", "balanced_accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5", "eer")
    assert [perfect[name] for name in names] == [1, 1, 1, 1, 1, 0]
    assert (inverted["roc_auc"], inverted["balanced_accuracy"], inverted["eer"]) == (0, 0, 1)


def test_summary_has_the_reported_keys_and_counts(scored):
    labels, scores = scored
    summary = summarise(labels, scores, 0.25)
    assert list(summary) == [
        "roc_auc",
        "average_precision",
        "balanced_accuracy",
        "tpr_at_fpr_1",
        "tpr_at_fpr_5",
        "eer",
        "ece",
        "threshold",
        "count",
        "positives",
    ]
    assert (summary["threshold"], summary["count"], summary["positives"]) == (0.25, labels.size, labels.sum())
    assert all(type(value) is float for value in summary.values())


@pytest.mark.parametrize("labels", [[0], [1], [1, 1, 1], [0, 0, 0], []], ids=str)
def test_a_missing_class_gives_nan_and_neither_exception_nor_warning(labels):
    scores = np.linspace(0.2, 0.8, len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summarise(np.array(labels, int), scores, 0.5)
        interval = roc_auc_interval(np.array(labels, int), scores)
        roc_curve(np.array(labels, int), scores)
    undefined = {name for name, value in summary.items() if math.isnan(value)}
    needs_both = {"roc_auc", "average_precision", "balanced_accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5", "eer"}
    assert undefined == (needs_both if labels else needs_both | {"ece"})
    assert all(map(math.isnan, interval))


def test_a_shape_mismatch_prints_both_shapes():
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        summarise(np.zeros(3, int), np.zeros(4), 0.5)
    with pytest.raises(ValueError, match=r"\(3, 1\) and \(3, 1\)"):
        roc_auc(np.zeros((3, 1), int), np.zeros((3, 1)))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [0.1, 0.2], "labels: must be 0 or 1, got 2 in row 1"),
        ([0, 1], [0.1, math.nan], "scores: must be in 0..1, got nan in row 1"),
        ([0, 1], [-0.5, 0.2], "scores: must be in 0..1, got -0.5 in row 0"),
    ],
)
def test_values_out_of_range_are_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        roc_auc(np.array(labels), np.array(scores))


@pytest.mark.parametrize(("positives", "negatives"), [(20, 20), (30, 90)])
def test_the_interval_of_roc_auc_covers_the_true_area_in_about_95_percent_of_experiments(positives, negatives):
    random = np.random.default_rng(7)
    true_area = scipy.stats.norm.cdf(1.8 / math.sqrt(2))
    labels = np.repeat([0, 1], [negatives, positives])
    covered = 0
    for _ in range(1000):
        low, high = roc_auc_interval(labels, scipy.stats.norm.cdf(random.normal(1.8 * labels)))
        covered += low <= true_area <= high
    assert 0.92 <= covered / 1000 <= 0.99


def test_the_interval_of_a_perfect_score_has_a_width_that_shrinks_with_the_count():
    widths = []
    for count in (5, 50, 500):
        labels = np.repeat([0, 1], count)
        low, high = roc_auc_interval(labels, labels.astype(float))
        assert high == 1.0
        widths.append(high - low)
    assert 0.1 < widths[0] < 0.6 and widths[0] > 5 * widths[1] > 25 * widths[2] > 0
