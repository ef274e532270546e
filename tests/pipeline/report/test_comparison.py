import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from pipeline.report.comparison import baseline_trainings, compare, multiclass_figures
from pipeline.report.data import BaselineReport, CombinedHeads, ModelReport, ScoreSet

CLASSES = ("real", "progan_a", "sngan_b")
SOURCES = np.array(["real_x", "progan_a", "sngan_b"])
LABELS = np.arange(60) % 3


def probabilities(seed: int, sharpness: float) -> np.ndarray:
    """Softmax scores that favour the right class the more, the higher the sharpness."""
    logits = np.random.default_rng(seed).normal(size=(60, 3))
    logits[np.arange(60), LABELS] += sharpness
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def model(name: str, labels: np.ndarray, scores: np.ndarray) -> ModelReport:
    task = "detection" if name == "primary" else "attribution"
    splits = [ScoreSet("test", labels, scores, SOURCES[LABELS]), ScoreSet("eval", labels, 1 - scores, SOURCES[LABELS])]
    return ModelReport(name, task, True, [], {}, 0.5, "", {}, 27_261, 10.0, splits)


def baseline(task: str, labels: np.ndarray, scores: np.ndarray, source: str = "", **changes) -> BaselineReport:
    values = {
        "architecture": "gdaconv",
        "task": task,
        "source": source,
        "classes": CLASSES if task == "multiclass" else (),
        "images_left_out": 0,
        "threshold": None if task == "multiclass" else 0.5,
        "parameters": 38_885,
        "training_seconds": 20.0,
        "history": {"loss": [1.0, 0.5]},
        "scores": ScoreSet("test", labels, scores, SOURCES[LABELS]),
    }
    return BaselineReport(**{**values, **changes})


SOFTMAX = probabilities(1, sharpness=2.0)
FAKE = (LABELS != 0).astype(int)
PROGAN = (LABELS == 1).astype(int)


@pytest.fixture(scope="module")
def comparison():
    weak = np.random.default_rng(3).uniform(size=60)
    return compare(
        [model("primary", FAKE, 1 - SOFTMAX[:, 0]), model("progan_a", PROGAN, SOFTMAX[:, 1])],
        [
            baseline("detection", FAKE, weak),
            baseline("attribution", PROGAN, weak, source="progan_a", architecture="postpool"),
            baseline("multiclass", LABELS, SOFTMAX, architecture="notl", images_left_out=4),
        ],
        CombinedHeads(CLASSES, LABELS, np.array(CLASSES)[np.argmax(SOFTMAX, axis=1)], SOFTMAX, 4),
    )


def test_without_baselines_there_is_nothing_to_compare():
    assert compare([model("primary", FAKE, SOFTMAX[:, 0])], [], None) is None


def test_every_question_lists_the_proposed_model_first_and_each_baseline_that_answers_it(comparison):
    assert [row.model for row in comparison.detection] == ["proposed", "gdaconv, detection", "notl, multiclass"]
    assert [(row.question, row.model) for row in comparison.attribution] == [
        ("progan_a", "proposed"),
        ("progan_a", "postpool, attribution"),
        ("progan_a", "notl, multiclass"),
        ("sngan_b", "notl, multiclass"),
    ]
    assert [row.model for row in comparison.multiclass] == ["proposed, heads combined", "notl, softmax"]


def test_figures_are_those_of_the_test_split_and_equal_sklearns(comparison):
    proposed, weak, softmax = comparison.detection
    assert proposed.figures["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(FAKE, 1 - SOFTMAX[:, 0]))
    assert softmax.figures["roc_auc"] == pytest.approx(proposed.figures["roc_auc"])
    assert weak.figures["roc_auc"] < proposed.figures["roc_auc"]
    assert comparison.attribution[2].figures["average_precision"] == pytest.approx(
        sklearn_metrics.average_precision_score(PROGAN, SOFTMAX[:, 1])
    )


def test_the_best_of_each_question_is_marked_and_equals_are_marked_alike(comparison):
    assert [row.best for row in comparison.detection] == [True, False, True]
    assert [row.best for row in comparison.attribution] == [True, False, True, True]


def test_figures_of_several_classes_equal_sklearns(comparison):
    row = comparison.multiclass[1]
    decided = np.argmax(SOFTMAX, axis=1)
    assert row.accuracy == pytest.approx(sklearn_metrics.accuracy_score(LABELS, decided))
    assert row.balanced_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(LABELS, decided))
    assert row.macro_roc_auc == pytest.approx(
        sklearn_metrics.roc_auc_score(LABELS, SOFTMAX, multi_class="ovr", average="macro"), abs=1e-6
    )
    np.testing.assert_array_equal(row.confusion, sklearn_metrics.confusion_matrix(LABELS, decided))
    assert (row.images, row.left_out) == (60, 4)


def test_a_verdict_that_names_no_class_is_wrong_and_has_a_column_of_its_own():
    verdicts = np.array(["real", "unknown_generator", "sngan_b"] * 20)
    combined = CombinedHeads(CLASSES, LABELS, verdicts, SOFTMAX, 0)
    (row, _) = compare([], [baseline("multiclass", LABELS, SOFTMAX)], combined).multiclass
    assert row.columns == (*CLASSES, "unknown_generator")
    np.testing.assert_array_equal(row.confusion, [[20, 0, 0, 0], [0, 0, 0, 20], [0, 0, 20, 0]])
    assert row.accuracy == pytest.approx(2 / 3)


def test_a_class_without_images_does_not_spoil_the_averages():
    labels = np.array([0, 1, 0, 1])
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1]])
    accuracy, balanced, area, _ = multiclass_figures(labels, scores, np.argmax(scores, axis=1), 3)
    assert (accuracy, balanced) == (0.75, 0.75)
    assert area == pytest.approx((0.75 + 0.75) / 2)


def test_no_images_at_all_give_no_figures():
    figures = multiclass_figures(np.empty(0, int), np.empty((0, 3)), np.empty(0, int), 3)
    assert np.isnan(figures[:3]).all() and figures[3].sum() == 0


def test_a_question_of_one_class_marks_nobody_as_best():
    everything_fake = np.ones(60, int)
    compared = compare(
        [model("primary", everything_fake, SOFTMAX[:, 0])],
        [baseline("detection", everything_fake, SOFTMAX[:, 1])],
        None,
    )
    assert [row.best for row in compared.detection] == [False, False]


def test_trainings_carry_the_baselines_title():
    drawn = baseline_trainings(
        [
            baseline("detection", FAKE, SOFTMAX[:, 0]),
            baseline("attribution", PROGAN, SOFTMAX[:, 0], source="progan_a", architecture="postpool"),
            baseline("multiclass", LABELS, SOFTMAX, architecture="notl"),
        ]
    )
    assert [title for title, _ in drawn] == [
        "gdaconv, detection",
        "postpool, attribution of progan_a",
        "notl, multiclass",
    ]
