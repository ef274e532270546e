"""The wild figure against an independent computation on all copies mixed."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.report.data import CopiesReport, ScoreSet
from pipeline.report.wild import wild_figures

LABELS = np.repeat([0, 1], 60)
SOURCES = np.where(LABELS, "gan_a", "camera")


def kind(name, strength, shift=0.0, rows=slice(None), heads=True):
    draw = np.random.default_rng(len(name))
    models = {}
    for model in ("primary", "gan_a") if heads else ("primary",):
        scores = 1 / (1 + np.exp(-draw.normal(strength * LABELS + shift, 1)))
        models[model] = ScoreSet("test", LABELS[rows], scores[rows], SOURCES[rows])
    return CopiesReport(name, None, len(LABELS[rows]), 0, {}, (), models)


KINDS = [kind("clean", 3.0), kind("jpeg_75", 2.0, shift=-1.5), kind("blur_5", 1.0, shift=1.0)]


def mixed(model, part):
    return np.concatenate([getattr(one.scores[model], part) for one in KINDS])


def test_figures_are_those_of_all_copies_together():
    found = wild_figures(KINDS, "primary")
    area = roc_auc_score(mixed("primary", "labels"), mixed("primary", "scores"))
    assert found.roc_auc == pytest.approx(area)
    assert found.heads == pytest.approx(roc_auc_score(mixed("gan_a", "labels"), mixed("gan_a", "scores")))
    # Scores of one kind lie elsewhere than those of another: the mean over kinds flatters.
    apart = np.mean([roc_auc_score(LABELS, one.scores["primary"].scores) for one in KINDS])
    assert found.roc_auc < apart - 0.01
    real = np.sort(mixed("primary", "scores")[mixed("primary", "labels") == 0])
    threshold = real[-math.floor(0.05 * len(real)) - 1]
    fake = mixed("primary", "scores")[mixed("primary", "labels") == 1]
    assert found.tpr_at_fpr_5 == pytest.approx(np.mean(fake > threshold), abs=1 / len(fake))
    assert (found.kinds, found.images) == (("clean", "jpeg_75", "blur_5"), 120)


def test_the_interval_draws_an_image_with_all_its_copies():
    once, often = wild_figures(KINDS[:2], "primary"), wild_figures([KINDS[0]] * 8, "primary")
    for found in (once, often):
        assert found.interval[0] < found.roc_auc < found.interval[1]
    alone = wild_figures([KINDS[0]] * 2, "primary").interval
    # Eight equal copies of an image say no more than two.
    np.testing.assert_allclose(often.interval, alone, atol=1e-12)


def test_a_kind_that_lacks_images_is_left_out():
    found = wild_figures([*KINDS, kind("resize_0.5", 0.0, rows=slice(0, 100))], "primary")
    assert found == wild_figures(KINDS, "primary")


def test_without_heads_there_is_no_figure_of_heads():
    found = wild_figures([kind("clean", 2.0, heads=False), kind("jpeg_75", 1.0, heads=False)], "primary")
    assert math.isnan(found.heads)
    assert found.to_dict()["heads"] is None
    assert "on average" not in found.sentence
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kinds", [[], KINDS[:1], [CopiesReport("clean", None, 1, 0, {}, (), {})] * 2])
def test_fewer_than_two_judged_kinds_give_nothing(kinds):
    assert wild_figures(kinds, "primary") is None


def test_the_sentence_names_every_kind():
    sentence = wild_figures(KINDS, "primary").sentence
    assert sentence.startswith("In the wild: detection ROC-AUC 0.")
    assert "120 images as they are and as jpeg_75, blur_5, all mixed." in sentence
