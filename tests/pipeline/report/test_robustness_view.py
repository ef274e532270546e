"""What the report says of perturbed copies, against the scores that it was given."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.metrics.scores import CALIBRATION_BINS
from pipeline.report.data import CopiesReport, Gate, ModelReport, ScoreSet
from pipeline.report.robustness_view import robustness_values, robustness_view, saved_alike_sentence

LABELS = np.repeat([0, 1], 40)


def scored(strength: float, seed: int) -> ScoreSet:
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-random.normal(strength * LABELS, 1)))
    return ScoreSet("test", LABELS, scores, np.where(LABELS, "gan_a", "camera"))


def copies(name: str, strength: float = 2.0, gates=(), models=("primary", "gan_a")) -> CopiesReport:
    quality = int(name.removeprefix("jpeg_")) if name.startswith("jpeg_") else None
    scores = {model: scored(strength, index) for index, model in enumerate(models)}
    return CopiesReport(name, quality, 80, 0, {"roc_auc": 0.5}, gates, scores)


def model(name: str, task: str = "attribution") -> ModelReport:
    return ModelReport(name, task, True, [], {}, 0.5, "", {}, 1, 1.0, [])


MODELS = [model("primary", "detection"), model("gan_a"), model("gan_left_out")]
KINDS = [
    copies("clean", 2.5),
    copies("jpeg_75", 1.0, [Gate("roc_auc", 0.9, None, 0.5, False)]),
    copies("jpeg_95", 2.0, [Gate("roc_auc", 0.1, None, 0.5, True)]),
    copies("blur_5", 0.5),
]


@pytest.fixture(scope="module")
def view():
    return robustness_view(KINDS, MODELS)


def test_each_kind_has_the_areas_of_its_scores_model_by_model(view):
    assert [row.perturbation for row in view.rows] == ["clean", "jpeg_75", "jpeg_95", "blur_5"]
    assert view.heads == ("gan_a",)  # the other is not served
    for row, kind in zip(view.rows, KINDS, strict=True):
        primary, head = kind.scores["primary"], kind.scores["gan_a"]
        assert row.detection.value == pytest.approx(roc_auc_score(primary.labels, primary.scores))
        assert row.detection.low < row.detection.value < row.detection.high
        assert row.heads[0].value == pytest.approx(roc_auc_score(head.labels, head.scores))
        negatives = np.sort(primary.scores[primary.labels == 0])[::-1]
        above = primary.scores[primary.labels == 1] > negatives[2]  # 2 of 40 may be false
        assert row.tpr_at_fpr_5 == pytest.approx(above.mean())
        tenths = np.minimum((primary.scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        gaps = [
            np.mean(tenths == one) * abs(primary.labels[tenths == one].mean() - primary.scores[tenths == one].mean())
            for one in np.unique(tenths)
        ]
        assert row.ece == pytest.approx(sum(gaps))


def test_a_gate_is_reached_missed_or_not_set(view):
    assert [row.state for row in view.rows] == ["not set", "missed", "reached", "not set"]


def test_saved_alike_is_the_jpeg_of_highest_quality(view):
    alike = view.saved_alike
    assert (alike.perturbation, alike.heading) == ("jpeg_95", "saved alike (JPEG 95)")
    assert alike.areas["gan_a"] == view.rows[2].heads[0]
    assert alike.plain["primary"] == view.rows[0].detection
    sentence = saved_alike_sentence(view, MODELS)
    assert f"{alike.plain['primary'].value:.3f} to {alike.areas['primary'].value:.3f}" in sentence
    assert "format of files, not fingerprint" in sentence


@pytest.mark.parametrize("kinds", [[], [KINDS[0], KINDS[3]]])
def test_without_a_jpeg_it_is_said_how_to_get_the_figure(kinds):
    view = robustness_view(kinds, MODELS)
    assert "set evaluation.perturbations: {jpeg_95: {}}" in saved_alike_sentence(view, MODELS)


def test_the_picture_has_a_line_a_model_over_at_least_two_qualities(view):
    labels = [entry.label for entry in view.picture.legend]
    assert labels == ["primary", f"primary, images as they were: {view.rows[0].detection.value:.3f}", "gan_a"]
    assert robustness_view([KINDS[0], KINDS[2], KINDS[3]], MODELS).picture is None


def test_before_a_servable_is_put_together_the_evaluators_figures_stand_there():
    """As in a run that its own gate stopped: the very run in which they are looked for."""
    view = robustness_view([replace(kind, scores={}) for kind in KINDS], MODELS)
    assert not view.scored and view.heads == ()
    assert [row.detection.value for row in view.rows] == [0.5] * 4
    assert all(
        math.isnan(row.tpr_at_fpr_5) and math.isnan(row.ece) and math.isnan(row.detection.low) for row in view.rows
    )
    assert view.saved_alike.areas["primary"].value == 0.5


def test_copies_that_were_all_too_small_have_no_figures():
    kind = replace(copies("jpeg_50"), images=0, left_out=80, metrics={}, scores={})
    view = robustness_view([KINDS[0], kind], MODELS)
    assert math.isnan(view.rows[1].detection.value)
    assert view.saved_alike is None


def test_the_values_are_json_without_nan(view):
    values = json.loads(json.dumps(robustness_values(view), allow_nan=False))
    assert values["saved_alike"]["roc_auc"]["primary"]["value"] == view.saved_alike.areas["primary"].value
    assert [kind["gate"] for kind in values["copies"]] == ["not set", "missed", "reached", "not set"]
    assert values["copies"][0]["ece"] == view.rows[0].ece
    stopped = robustness_view([replace(kind, scores={}) for kind in KINDS], MODELS)
    assert json.loads(json.dumps(robustness_values(stopped), allow_nan=False))["copies"][0]["tpr_at_fpr_5"] is None
    assert robustness_values(None) is None
