"""What the report shows of the trained models: figures, plots, cautions, and how each source scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.metrics.scores import CALIBRATION_BINS, roc_auc_interval, summarise
from pipeline.report import plots
from pipeline.report.data import ModelReport, ScoreSet
from pipeline.report.plot_style import Plot
from pipeline.report.text import count, enumeration, number
from pipeline.report.training_view import TrainingView, training_view

# Below this many images of either class a figure moves by whole percents when one image does.
ROUGH_BELOW = 100
# The Evaluator's area is an approximation by 10,000 thresholds; beyond this it measured something else.
AREAS_DIFFER = 0.01
MAIN_SPLIT = "test"
# Metrics in the table of models: name in `metrics.summarise`, heading, explanation.
COLUMNS = (
    ("roc_auc", "ROC-AUC", "area under the ROC curve; below it, its 95 % interval"),
    ("average_precision", "AP", "average precision"),
    ("balanced_accuracy", "Bal. acc.", "balanced accuracy at the threshold"),
    ("tpr_at_fpr_1", "TPR at 1\u202f%", "true-positive rate at 1 % false positives"),
    ("tpr_at_fpr_5", "TPR at 5\u202f%", "true-positive rate at 5 % false positives"),
    ("eer", "EER", "equal error rate"),
    ("ece", "ECE", f"expected calibration error, {CALIBRATION_BINS} bins"),
)


@dataclass(frozen=True)
class ModelView:
    """One model, ready to be written.

    Attributes:
        report: what it is made from.
        split: the split that `figures` are of, "" if they are the Evaluator's or missing.
        figures: metric to value, as `summarise`; without scores, the Evaluator's under the same names.
        interval: 95 % interval of the ROC-AUC, NaN where there is none.
        rates: false- and true-positive rate at the threshold, NaN where there are none.
        splits: split to its figures, for all score sets.
        roc: ROC curves, None without scores.
        histogram: scores of the split by class, None without scores.
        history: training by epoch, None without a history.
    """

    report: ModelReport
    split: str
    figures: dict[str, float]
    interval: tuple[float, float]
    rates: tuple[float, float]
    splits: dict[str, dict[str, float]]
    roc: Plot | None
    histogram: Plot | None
    history: TrainingView | None


@dataclass(frozen=True)
class SourceCell:
    """How one model scores the images of one source on one split.

    Attributes:
        images: number of images.
        mean: their mean score, 0..1.
        called: share of scores at or above the threshold, 0..1; NaN without a threshold.
        roc_auc: area against the images of the other class, NaN where there are none.
        positive: whether the model should call them.
    """

    images: int
    mean: float
    called: float
    roc_auc: float
    positive: bool


@dataclass(frozen=True)
class SourceRow:
    """One source on one split: a cell a model, None where the model was not asked."""

    split: str
    source: str
    cells: tuple[SourceCell | None, ...]


def main_set(model: ModelReport) -> ScoreSet | None:
    """Returns the scores that a model is judged by: the test split's, else the first, else None."""
    return next((s for s in model.scores if s.split == MAIN_SPLIT), next(iter(model.scores), None))


def model_view(model: ModelReport, key: str) -> ModelView:
    """Prepare one model.

    Args:
        model: Report of the model.
        key: Prefix of identifiers in its plots, unique in the page.

    Raises:
        ValueError: As `check_scores`, or if `sources` is not as long as the scores.
    """
    history = training_view(model.history, f"{key}-history", model.name)
    main = main_set(model)
    threshold = math.nan if model.threshold is None else model.threshold
    if main is None:
        nothing = (math.nan, math.nan)
        return ModelView(model, "", dict(model.metrics), nothing, nothing, {}, None, None, history)
    for scores in model.scores:
        if np.shape(scores.sources) != np.shape(scores.scores):
            raise ValueError(
                f"{model.name}, split {scores.split}: sources and scores must be equally long, "
                f"got {np.shape(scores.sources)} and {np.shape(scores.scores)}."
            )
    ordered = [main, *(s for s in model.scores if s is not main)]
    splits = {s.split: summarise(s.labels, s.scores, threshold) for s in ordered}
    figures = splits[main.split]
    roc = plots.roc_plot(
        {s.split: (s.labels, s.scores) for s in ordered}, model.threshold, f"{key}-roc", f"ROC curve of {model.name}"
    )
    names = ("real", "fake") if model.task == "detection" else ("other sources", model.name)
    histogram = plots.histogram_plot(
        main.labels, main.scores, model.threshold, names, f"{key}-scores", f"Scores of {model.name} by class"
    )
    called, labels = np.asarray(main.scores, np.float64) >= threshold, np.asarray(main.labels)
    rates = tuple(
        float(called[labels == label].mean()) if (labels == label).any() and model.threshold is not None else math.nan
        for label in (0, 1)
    )
    if model.threshold is None:
        for values in splits.values():
            values["balanced_accuracy"] = math.nan
    interval = roc_auc_interval(main.labels, main.scores)
    return ModelView(model, main.split, figures, interval, (rates[0], rates[1]), splits, roc, histogram, history)


def cautions(views: Sequence[ModelView]) -> list[str]:
    """Return sentences on what to mind when reading the figures."""
    sizes, single, differing = {}, [], []
    for view in (view for view in views if view.split):
        positives, total = int(view.figures["positives"]), int(view.figures["count"])
        sizes[view.report.name] = (positives, total - positives)
        if positives in (0, total):
            single.append(f"{view.report.name} (split {view.split})")
        area, measured = view.figures["roc_auc"], view.report.metrics.get("roc_auc", math.nan)
        if abs(area - measured) > AREAS_DIFFER:
            differing.append(f"{view.report.name} ({number(measured)} there, {number(area)} here)")
    notes = rough_figures(sizes)
    if single:
        notes.append(f"Images of one class only: most figures are undefined for {enumeration(single)}.")
    if differing:
        notes.append(
            f"The Evaluator's ROC-AUC and that of the scores shown here differ for {enumeration(differing)}: "
            "they are not of the same images, or not of the same model."
        )
    return notes


def rough_figures(class_sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a caution that names the models with few images of a class; none if there is no such model.

    Args:
        class_sizes: Number of positive and of negative images by model. A model with images of one class only is not
            named: its figures are not rough but undefined.
    """
    rough = [
        f"{name} ({count(positives)} positive, {count(negatives)} negative)"
        for name, (positives, negatives) in class_sizes.items()
        if 0 < min(positives, negatives) < ROUGH_BELOW
    ]
    if not rough:
        return []
    return [
        f"Rough figures: fewer than {ROUGH_BELOW} images of a class for {enumeration(rough)}. "
        "Read each ROC-AUC with its 95 % interval, which stands below it, and rates at 1 % FPR as anecdotes."
    ]


def source_rows(models: Sequence[ModelReport]) -> list[SourceRow]:
    """Returns how every model scores every source, on every split that it was asked on.

    The area of a source is taken against the images of the other class on the same split or, where that has none (a
    split of unseen generators, say), on the split that the model is judged by.

    Returns:
        Rows by split, the one that the models are judged by first; within a split in order of the sources' names, those
        that the first model should not call first.
    """
    cells: dict[tuple[str, str], list[SourceCell | None]] = {}
    for index, model in enumerate(models):
        main = main_set(model)
        if main is None:
            continue
        for scores in [main, *(s for s in model.scores if s is not main)]:
            for source, cell in _cells(scores, main, model.threshold).items():
                cells.setdefault((scores.split, source), [None] * len(models))[index] = cell
    splits = list(dict.fromkeys(split for split, _ in cells))

    def order(row: SourceRow) -> tuple[int, bool, str]:
        known = next(cell for cell in row.cells if cell is not None)
        return splits.index(row.split), known.positive, row.source

    return sorted((SourceRow(split, source, tuple(row)) for (split, source), row in cells.items()), key=order)


def _cells(scores: ScoreSet, main: ScoreSet, threshold: float | None) -> dict[str, SourceCell]:
    sources, labels, values = (
        np.asarray(scores.sources),
        np.asarray(scores.labels),
        np.asarray(scores.scores, np.float64),
    )
    others = []
    for positive in (0, 1):  # the scores of the class that a source of label `positive` is held against, sorted
        other = values[labels != positive]
        if not other.size:
            other = np.asarray(main.scores, np.float64)[np.asarray(main.labels) != positive]
        others.append(np.sort(other))
    cells = {}
    for source in np.unique(sources):
        chosen = sources == source
        own = values[chosen]
        positive = bool(labels[chosen].mean() > 0.5)
        other = others[positive]
        # Mann-Whitney: how many of the other class lie below each score, ties half.
        below = (np.searchsorted(other, own, "left") + np.searchsorted(other, own, "right")) / 2
        area = float(below.mean() / other.size) if other.size else math.nan
        called = math.nan if threshold is None else float((own >= threshold).mean())
        cells[str(source)] = SourceCell(own.size, float(own.mean()), called, area if positive else 1 - area, positive)
    return cells
