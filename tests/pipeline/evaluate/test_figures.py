"""Figures of an evaluation against scikit-learn and counting by hand; what is not defined says why."""

import json
from collections import Counter

import numpy as np
import pytest
import sklearn.metrics

from pipeline.evaluate.figures import evaluation_figures, notes
from pipeline.evaluate.scores import Answers, ServableScores, categorise, match_heads
from tests.support.servable_answers import PROGAN, REAL, SNGAN, UNSEEN, make_scores


@pytest.fixture(scope="module")
def scores():
    return make_scores(perturbations=("blur",), prepared=True)


@pytest.fixture(scope="module")
def figures(scores):
    return evaluation_figures(scores)


def model_of(figures, name):
    return next(model for model in figures["models"] if model["name"] == name)


def with_answers(scores, raw, verdicts):
    answers = Answers(np.asarray(raw, np.float32), np.array(verdicts, np.str_))
    return ServableScores(scores.thresholds, scores.heads, scores.images, {"none": answers})


@pytest.mark.parametrize("perturbation", ["none", "blur"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_overall_figures_and_confusion_are_those_of_scikit_learn(scores, figures, column, perturbation):
    labels = np.isin(scores.images.sources, [[PROGAN, SNGAN, UNSEEN], [PROGAN], [SNGAN]][column])
    values = scores.answers[perturbation].raw[:, column]
    called = values >= scores.thresholds[column]
    result = figures["models"][column]["results"][perturbation]
    overall = result["overall"]
    assert (overall["images"], overall["positives"], overall["undefined"]) == (100, labels.sum(), None)
    assert overall["roc_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, values))
    assert overall["average_precision"] == pytest.approx(sklearn.metrics.average_precision_score(labels, values))
    assert overall["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(labels, called))
    assert overall["true_positive_rate"] == pytest.approx(sklearn.metrics.recall_score(labels, called))
    assert overall["roc_auc_interval"][0] < overall["roc_auc"] < overall["roc_auc_interval"][1]
    confusion = result["confusion"]
    expected = sklearn.metrics.confusion_matrix(labels, called)
    assert confusion["counts"] == expected.tolist()
    np.testing.assert_allclose(confusion["shares"], expected / 100)
    assert confusion["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, called))
    assert confusion["precision"] == pytest.approx(sklearn.metrics.precision_score(labels, called))
    assert confusion["recall"] == pytest.approx(sklearn.metrics.recall_score(labels, called))
    assert confusion["f1"] == pytest.approx(sklearn.metrics.f1_score(labels, called))


def test_a_source_is_held_against_the_other_class(scores, figures):
    raw, sources = scores.answers["none"].raw, scores.images.sources
    for name, column, source, others in [
        ("primary", 0, PROGAN, [REAL]),
        ("primary", 0, REAL, [PROGAN, SNGAN]),  # test-only images are not among them: the source is none
        ("primary", 0, UNSEEN, [REAL]),  # test-only itself, but there are no such real images
        (PROGAN, 1, PROGAN, [REAL, SNGAN]),
        (PROGAN, 1, SNGAN, [PROGAN]),
    ]:
        cell = model_of(figures, name)["results"]["none"]["by_source"][source]
        chosen = np.isin(sources, [source, *others])
        labels = sources[chosen] == source if cell["label"] else sources[chosen] != source
        assert cell["roc_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, raw[chosen, column]))
        own = raw[sources == source, column]
        assert (cell["own_images"], cell["images"]) == (25, chosen.sum())
        assert cell["mean_probability"] == pytest.approx(own.astype(float).mean())
        assert cell["called"] == pytest.approx((own >= scores.thresholds[column]).mean())


def test_test_only_sources_have_figures_of_their_own_against_real_images_of_other_splits(scores, figures):
    splits = model_of(figures, "primary")["results"]["none"]["by_split"]
    assert list(splits) == ["test", "testonly"]
    chosen = np.isin(scores.images.sources, [UNSEEN, REAL])
    labels, values = scores.images.labels[chosen], scores.answers["none"].raw[chosen, 0]
    assert splits["testonly"]["roc_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, values))
    assert splits["testonly"]["against"] == "other splits"
    known = scores.images.splits == "test"
    expected = sklearn.metrics.roc_auc_score(scores.images.labels[known], scores.answers["none"].raw[known, 0])
    assert splits["test"]["roc_auc"] == pytest.approx(expected)


def test_test_only_sources_of_both_classes_are_not_held_against_others():
    scores = make_scores(sources=((REAL, "test", 0), ("real_web", "testonly", 0), (UNSEEN, "testonly", 1)), heads=())
    result = evaluation_figures(scores)["models"][0]["results"]["none"]
    assert (result["by_split"]["testonly"]["images"], result["by_split"]["testonly"]["against"]) == (50, "testonly")
    assert result["by_source"][UNSEEN]["images"] == 50  # itself and real_web


def test_images_are_sliced_by_what_preparation_did_to_them(scores, figures):
    slices = figures["models"][0]["results"]["none"]["by_perturbation"]
    assert list(slices) == ["blur+noise", "none"]
    chosen = scores.images.perturbations == "blur+noise"
    labels, values = scores.images.labels[chosen], scores.answers["none"].raw[chosen, 0]
    assert slices["blur+noise"]["images"] == 50
    assert slices["blur+noise"]["roc_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, values))
    assert evaluation_figures(make_scores())["models"][0]["results"]["none"]["by_perturbation"] == {}


def test_a_drop_is_the_figure_of_the_images_as_they_are_minus_the_perturbed_one(figures):
    for model in figures["models"]:
        results = model["results"]
        assert "drop" not in results["none"]
        for name, drop in results["blur"]["drop"].items():
            assert drop == pytest.approx(results["none"]["overall"][name] - results["blur"]["overall"][name])


def test_verdicts_are_counted_by_true_source(scores, figures):
    for perturbation in ("none", "blur"):
        found = figures["verdicts"][perturbation]["overall"]
        verdicts = scores.answers[perturbation].verdicts.tolist()
        pairs = Counter(zip(scores.images.sources.tolist(), verdicts, strict=True))
        matrix = found["confusion"]
        assert matrix["rows"] == ["real", PROGAN, SNGAN, UNSEEN]
        for name, counts in zip(matrix["rows"], matrix["counts"], strict=True):
            source = REAL if name == "real" else name
            assert counts == [pairs[(source, verdict)] for verdict in matrix["columns"]]
        right = {REAL: "real", PROGAN: PROGAN, SNGAN: SNGAN, UNSEEN: "unknown_generator"}
        hits = {source: pairs[(source, verdict)] for source, verdict in right.items()}
        assert found["accuracy"] == pytest.approx(sum(hits.values()) / 100)
        assert found["balanced_accuracy"] == pytest.approx(np.mean([count / 25 for count in hits.values()]))
        unknown = {"images": 25, "count": hits[UNSEEN], "rate": hits[UNSEEN] / 25}
        assert found["unknown_generator"] == {"testonly_fakes": unknown, "fakes_without_head": unknown}


def test_contradictions_are_the_invalid_attributions_out_of_those_predicted_real(scores, figures):
    raw = scores.answers["none"].raw
    real = raw[:, 0] < scores.thresholds[0]
    invalid = real & (raw[:, 1:] >= scores.thresholds[1:]).any(axis=1)
    assert invalid.sum() > 0
    assert figures["verdicts"]["none"]["overall"]["contradictions"] == {
        "count": invalid.sum(),
        "predicted_real": real.sum(),
        "share_of_images": pytest.approx(invalid.mean()),
        "share_of_predicted_real": pytest.approx(invalid.sum() / real.sum()),
    }


BAND = (0.4, 0.6)


@pytest.fixture(scope="module")
def undecided():
    """The images of `scores`, judged by a servable with a band."""
    return make_scores(perturbations=("blur",), prepared=True, band=BAND)


def test_a_band_changes_the_figures_of_verdicts_and_of_no_model(figures, undecided):
    found = evaluation_figures(undecided)
    assert found["models"] == figures["models"]
    assert found["verdicts"] != figures["verdicts"]
    assert "uncertain" not in json.dumps(figures)  # without a band, nothing is said of it


def test_uncertain_images_are_right_of_no_row_and_counted_apart(undecided):
    found = evaluation_figures(undecided)["verdicts"]["none"]["overall"]
    raw, sources = undecided.answers["none"].raw, undecided.images.sources
    inside = (raw[:, 0] >= np.float32(BAND[0])) & (raw[:, 0] <= np.float32(BAND[1]))
    answers = {REAL: "real", PROGAN: PROGAN, SNGAN: SNGAN, UNSEEN: "unknown_generator"}
    verdicts = undecided.answers["none"].verdicts
    right = np.array([answers[source] == verdict for source, verdict in zip(sources, verdicts, strict=True)])
    assert 0 < inside.sum() < 100 and not right[inside].any()
    assert found["accuracy"] == pytest.approx(right.sum() / 100)
    assert found["balanced_accuracy"] == pytest.approx(np.mean([right[sources == source].mean() for source in answers]))
    assert found["uncertain"] == {
        "band": [0.4, 0.6],
        "count": inside.sum(),
        "share_of_images": pytest.approx(inside.mean()),
        "accuracy_of_others": pytest.approx(right[~inside].mean()),
    }
    matrix = found["confusion"]
    assert matrix["columns"][-1] == "uncertain"
    by_source = [int(inside[sources == source].sum()) for source in answers]
    assert [counts[-1] for counts in matrix["counts"]] == by_source


def test_an_uncertain_image_is_not_predicted_real_so_no_contradiction_is_measured_against_it(undecided):
    raw = undecided.answers["none"].raw
    real = (raw[:, 0] < undecided.thresholds[0]) & (raw[:, 0] < np.float32(BAND[0]))
    invalid = real & (raw[:, 1:] >= undecided.thresholds[1:]).any(axis=1)
    assert evaluation_figures(undecided)["verdicts"]["none"]["overall"]["contradictions"] == {
        "count": invalid.sum(),
        "predicted_real": real.sum(),
        "share_of_images": pytest.approx(invalid.mean()),
        "share_of_predicted_real": pytest.approx(invalid.sum() / real.sum()),
    }


def test_where_every_image_is_uncertain_nothing_is_said_of_the_others():
    found = evaluation_figures(make_scores(band=(0.0, 1.0)))["verdicts"]["none"]["overall"]
    assert (found["accuracy"], found["uncertain"]["share_of_images"]) == (0.0, 1.0)
    assert found["uncertain"]["accuracy_of_others"] is None


def test_nothing_predicted_real_is_no_division_by_zero():
    scores = make_scores()
    found = evaluation_figures(with_answers(scores, np.ones((100, 3)), [PROGAN] * 100))
    contradictions = found["verdicts"]["none"]["overall"]["contradictions"]
    assert contradictions == {
        "count": 0, "predicted_real": 0, "share_of_images": 0.0, "share_of_predicted_real": None,
    }  # fmt: skip
    assert found["models"][0]["results"]["none"]["confusion"]["recall"] == 1.0
    said = notes({"images": 100, **found})
    assert any("called no image real" in sentence for sentence in said)


def test_a_figure_without_positive_calls_is_not_defined():
    scores = make_scores()
    confusion = evaluation_figures(with_answers(scores, np.zeros((100, 3)), ["real"] * 100))["models"][1]["results"][
        "none"
    ]["confusion"]
    assert confusion == {
        "counts": [[75, 0], [25, 0]], "shares": [[0.75, 0], [0.25, 0]],
        "accuracy": 0.75, "precision": None, "recall": 0.0, "f1": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"heads": ("absent_one",)}, 1, "no positive image"),
        ({"sources": ((REAL, "test", 0),)}, 0, "no positive image"),
        ({"sources": ((PROGAN, "test", 1),)}, 0, "no negative image"),
        ({"sources": ((UNSEEN, "testonly", 1),), "heads": ()}, 0, "no negative image"),
        ({"each": 0}, 0, "no images"),
        ({"each": 0, "heads": ()}, 0, "no images"),
    ],
)
def test_missing_classes_heads_and_images_leave_figures_undefined_with_the_reason(changes, column, reason):
    scores = make_scores(**changes, perturbations=("jpeg",))
    found = evaluation_figures(scores)
    overall = found["models"][column]["results"]["none"]["overall"]
    assert overall["undefined"] == reason
    assert [overall[name] for name in ("roc_auc", "roc_auc_interval", "average_precision", "eer")] == [None] * 4
    assert found["models"][column]["results"]["jpeg"]["drop"]["roc_auc"] is None
    json.dumps(found, allow_nan=False)  # plain values, no NaN
    assert notes({"images": scores.images.count, **found})


def test_a_head_that_the_dataset_does_not_know_is_told():
    scores = make_scores(heads=("absent_one", PROGAN))
    found = evaluation_figures(scores)
    assert [model["matched"] for model in found["models"]] == ["label", "absent", "instance"]
    assert any("absent_one is no source and no architecture" in s for s in notes({"images": 100, **found}))
    matrix = found["verdicts"]["none"]["overall"]["confusion"]
    assert matrix["counts"][matrix["rows"].index("absent_one")] == [0] * len(matrix["columns"])


def test_a_head_named_after_an_architecture_stands_for_all_its_sources():
    sources = ((REAL, "test", 0), ("progan_celeba", "test", 1), ("progan_lsun", "testonly", 1), (SNGAN, "test", 1))
    scores = make_scores(heads=("progan",), sources=sources)
    found = evaluation_figures(scores)
    head = model_of(found, "progan")
    assert (head["matched"], head["sources"]) == ("architecture", ["progan_celeba", "progan_lsun"])
    labels = np.char.startswith(scores.images.sources, "progan_")
    expected = sklearn.metrics.roc_auc_score(labels, scores.answers["none"].raw[:, 1])
    assert head["results"]["none"]["overall"]["roc_auc"] == pytest.approx(expected)
    verdicts = found["verdicts"]["none"]["overall"]
    matrix = verdicts["confusion"]
    assert matrix["rows"] == ["real", "progan", SNGAN]
    assert sum(matrix["counts"][1]) == 50
    assert verdicts["unknown_generator"]["testonly_fakes"]["images"] == 25
    assert verdicts["unknown_generator"]["fakes_without_head"]["images"] == 25
    assert any("progan was matched at architecture level" in s for s in notes({"images": 100, **found}))


@pytest.mark.parametrize(
    ("head", "sources", "level", "expected"),
    [
        ("progan_a", {"progan_a", "progan_b"}, "instance", ("instance", ("progan_a",))),
        ("progan", {"progan_a", "progan_b", "sngan_a"}, "instance", ("architecture", ("progan_a", "progan_b"))),
        ("progan", {"progan", "progan_b"}, "instance", ("instance", ("progan",))),
        ("progan", {"progan", "progan_b"}, "architecture", ("architecture", ("progan", "progan_b"))),
        ("progan", {"proganette_a"}, "instance", ("absent", ())),
        ("progan_a", {"progan_a"}, "architecture", ("absent", ())),
    ],
)
def test_a_head_is_matched_to_its_source_or_its_architecture(head, sources, level, expected):
    (match,) = match_heads([head], sources, level)
    assert (match.level, match.sources) == expected


@pytest.mark.parametrize("heads", [("a", "a"), ("real",), ("contradiction",), ("uncertain",), ("primary",)])
def test_heads_that_figures_could_not_tell_apart_are_refused(heads):
    with pytest.raises(ValueError, match="heads: must"):
        match_heads(heads, {"a"})


def test_an_image_of_both_a_source_and_an_architecture_belongs_to_the_source():
    sources = (("progan_a", "test", 1), ("progan_b", "test", 1), (REAL, "test", 0))
    scores = make_scores(heads=("progan_a", "progan"), sources=sources, each=1)
    assert scores.true_groups.tolist() == ["progan_a", "progan", REAL]
    assert scores.ground_truth.tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 0]]


def test_a_fake_source_named_like_a_verdict_is_no_verdict():
    scores = make_scores(sources=(("real", "test", 1), (REAL, "test", 0)), heads=())
    matrix = evaluation_figures(scores)["verdicts"]["none"]["overall"]["confusion"]
    assert matrix["rows"] == ["real", "fake/real"]
    assert [sum(row) for row in matrix["counts"]] == [25, 25]


def test_a_probability_at_the_threshold_is_called_in_float32():
    thresholds = np.array([0.45, 0.1], np.float32)
    raw = np.array([[0.45, 0.1], [np.nextafter(np.float32(0.45), 0), 0.2]], np.float32)
    called = categorise(raw, thresholds)
    assert (called.dtype, called.tolist()) == (np.int8, [[1, 1], [0, 1]])


def test_shapes_that_do_not_fit_are_refused():
    scores = make_scores()
    with pytest.raises(ValueError, match=r"answers 'none': must have shapes \(100, 3\)"):
        with_answers(scores, np.zeros((99, 3)), ["real"] * 99)
    with pytest.raises(ValueError, match="the first must be 'none'"):
        ServableScores(scores.thresholds, scores.heads, scores.images, {"blur": scores.answers["none"]})
