"""The proposed method beside the baselines, task by task, on the same images of the same split.

Three questions: real or synthesised (detection), this source or any other (attribution, one against the rest), and
which of all classes (multiclass). A softmax over all classes answers all three; the proposed method answers the last by
its verdict rule, for which an unknown generator, a contradiction or an uncertain image is not the class it should have
named.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.metrics.scores import roc_auc, roc_auc_interval, summarise
from pipeline.report.data import BaselineReport, CombinedHeads, ModelReport, ScoreSet
from pipeline.report.model_view import MAIN_SPLIT
from pipeline.report.training_view import TrainingView, training_view

PROPOSED = "proposed"


@dataclass(frozen=True)
class BinaryRow:
    """One model on one two-class question.

    Attributes:
        question: "detection", or the source that is told from the rest.
        model: "proposed", or architecture and task of the baseline.
        figures: metric to value, as `summarise`.
        interval: 95 % interval of the ROC-AUC.
        parameters: number of weights, None if unknown.
        training_seconds: of this model, None if unknown.
        best: whether no other model has a higher ROC-AUC on this question.
    """

    question: str
    model: str
    figures: dict[str, float]
    interval: tuple[float, float]
    parameters: int | None
    training_seconds: float | None
    best: bool = False


@dataclass(frozen=True)
class MulticlassRow:
    """One classifier of all classes.

    Attributes:
        model: "proposed", or architecture and task of the baseline.
        classes: in the order of the matrix' rows.
        images: number of images that were judged.
        left_out: images of the split that belong to none of the classes.
        accuracy: share of images whose class was named.
        balanced_accuracy: mean over the classes of the share that was named.
        macro_roc_auc: mean over the classes of the ROC-AUC against all others.
        columns: names of the matrix' columns.
        confusion: int64 [classes, columns], images.
    """

    model: str
    classes: tuple[str, ...]
    images: int
    left_out: int
    accuracy: float
    balanced_accuracy: float
    macro_roc_auc: float
    columns: tuple[str, ...]
    confusion: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """The proposed modules and the baselines, question by question."""

    detection: tuple[BinaryRow, ...]
    attribution: tuple[BinaryRow, ...]
    multiclass: tuple[MulticlassRow, ...]


def compare(
    models: Sequence[ModelReport], baselines: Sequence[BaselineReport], combined: CombinedHeads | None
) -> Comparison | None:
    """Compares the proposed modules with the baselines on the test split.

    Args:
        models: the primary module and the heads, in any order.
        baselines: at least one, else there is nothing to compare.
        combined: the proposed method as one classifier, None without heads.

    Returns:
        The comparison, None without baselines.

    Raises:
        ValueError: as `check_scores`.
    """
    if not baselines:
        return None
    proposed = [(model, scores) for model in models if (scores := _test_scores(model)) is not None]
    detection = [_proposed(model, scores, "detection") for model, scores in proposed if model.task == "detection"]
    attribution = [_proposed(model, scores, model.name) for model, scores in proposed if model.task == "attribution"]
    multiclass = [] if combined is None else [_combined_row(combined)]
    for baseline in baselines:
        if baseline.task == "detection":
            detection.append(_binary(baseline, "detection", baseline.scores, baseline.threshold))
        elif baseline.task == "attribution":
            attribution.append(_binary(baseline, baseline.source, baseline.scores, baseline.threshold))
        else:
            multiclass.append(_softmax_row(baseline))
            detection.append(_binary(baseline, "detection", _as_detection(baseline), 0.5))
            attribution.extend(
                _binary(baseline, source, _as_attribution(baseline, index), 0.5)
                for index, source in enumerate(baseline.classes)
                if index
            )
    asked = dict.fromkeys(row.question for row in attribution)
    return Comparison(
        tuple(_with_best(detection)),
        tuple(row for question in asked for row in _with_best([r for r in attribution if r.question == question])),
        tuple(multiclass),
    )


def baseline_trainings(baselines: Sequence[BaselineReport]) -> list[tuple[str, TrainingView]]:
    """Return the title and the training of each baseline that recorded one."""
    return [
        (title_of(baseline), view)
        for index, baseline in enumerate(baselines)
        if (view := training_view(baseline.history, f"baseline-{index}", title_of(baseline))) is not None
    ]


def title_of(baseline: BaselineReport) -> str:
    """Returns how a baseline is called: architecture, task, and its source if it has one.

    Example:
        "gdaconv, attribution of progan_celeba"
    """
    return f"{baseline.architecture}, {baseline.task}" + (f" of {baseline.source}" if baseline.source else "")


def multiclass_figures(
    labels: np.ndarray, scores: np.ndarray, decided: np.ndarray, columns: int
) -> tuple[float, float, float, np.ndarray]:
    """Computes the figures of a classifier of several classes.

    Args:
        labels: int [n], index of the true class.
        scores: floats [n, classes], 0..1; the higher, the more the class.
        decided: int [n], index of the named column: the classes first, then columns that are never right.
        columns: number of columns, at least the number of classes.

    Returns:
        Accuracy; balanced accuracy (the mean of the recalls of the classes that have images); the macro average of the
        one-vs-rest ROC-AUC over the classes for which it is defined; and the confusion matrix, int64
        [classes, columns]. What has no image to be computed from is NaN.
    """
    classes = scores.shape[1]
    confusion = np.zeros((classes, columns), np.int64)
    np.add.at(confusion, (labels, decided), 1)
    totals = confusion.sum(axis=1)
    right = np.diagonal(confusion)
    present = totals > 0
    accuracy = float(right.sum() / totals.sum()) if totals.sum() else float("nan")
    balanced = float(np.mean(right[present] / totals[present])) if present.any() else float("nan")
    areas = [roc_auc((labels == index).astype(int), scores[:, index]) for index in range(classes)]
    defined = [area for area in areas if not np.isnan(area)]
    return accuracy, balanced, float(np.mean(defined)) if defined else float("nan"), confusion


def _test_scores(model: ModelReport) -> ScoreSet | None:
    return next((scored for scored in model.scores if scored.split == MAIN_SPLIT), None)


def _proposed(model: ModelReport, scores: ScoreSet, question: str) -> BinaryRow:
    return _row(question, PROPOSED, scores, model.threshold, model.parameters, model.training_seconds)


def _binary(baseline: BaselineReport, question: str, scores: ScoreSet, threshold: float | None) -> BinaryRow:
    model = f"{baseline.architecture}, {baseline.task}"
    return _row(question, model, scores, threshold, baseline.parameters, baseline.training_seconds)


def _row(
    question: str, model: str, scores: ScoreSet, threshold: float | None, parameters: int | None, seconds: float | None
) -> BinaryRow:
    figures = summarise(scores.labels, scores.scores, 0.5 if threshold is None else threshold)
    interval = roc_auc_interval(scores.labels, scores.scores)
    return BinaryRow(question, model, figures, interval, parameters, seconds)


def _with_best(rows: Sequence[BinaryRow]) -> list[BinaryRow]:
    # A figure that is not defined equals nothing, itself included.
    best = max((row.figures["roc_auc"] for row in rows if row.figures["roc_auc"] >= 0), default=None)
    return [replace(row, best=row.figures["roc_auc"] == best) for row in rows]


def _as_detection(baseline: BaselineReport) -> ScoreSet:
    scored = baseline.scores
    # Rounding may take a sum of probabilities past 1 by an ulp.
    fake = np.clip(1.0 - scored.scores[:, 0], 0.0, 1.0)
    return ScoreSet(scored.split, (scored.labels != 0).astype(int), fake, scored.sources)


def _as_attribution(baseline: BaselineReport, index: int) -> ScoreSet:
    scored = baseline.scores
    return ScoreSet(scored.split, (scored.labels == index).astype(int), scored.scores[:, index], scored.sources)


def _softmax_row(baseline: BaselineReport) -> MulticlassRow:
    scored, classes = baseline.scores, baseline.classes
    figures = multiclass_figures(scored.labels, scored.scores, np.argmax(scored.scores, axis=1), len(classes))
    return _multiclass_row(
        f"{baseline.architecture}, softmax", classes, scored.labels, baseline.images_left_out, classes, figures
    )


def _combined_row(combined: CombinedHeads) -> MulticlassRow:
    others = sorted(set(combined.verdicts.tolist()) - set(combined.classes))
    columns = (*combined.classes, *others)
    index_of = {name: index for index, name in enumerate(columns)}
    decided = np.array([index_of[verdict] for verdict in combined.verdicts.tolist()], np.int64)
    figures = multiclass_figures(combined.labels, combined.scores, decided, len(columns))
    return _multiclass_row(
        f"{PROPOSED}, heads combined", combined.classes, combined.labels, combined.images_left_out, columns, figures
    )


def _multiclass_row(
    model: str,
    classes: tuple[str, ...],
    labels: np.ndarray,
    left_out: int,
    columns: tuple[str, ...],
    figures: tuple[float, float, float, np.ndarray],
) -> MulticlassRow:
    accuracy, balanced, area, confusion = figures
    return MulticlassRow(model, classes, len(labels), left_out, accuracy, balanced, area, columns, confusion)
