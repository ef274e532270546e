"""Pictures of an evaluation as PNG files: ROC curves, precision-recall curves, confusion matrices.

The report holds the same curves as SVG (`pipeline.report.plots`); these files are for slides and papers, so they
are drawn in dark ink on white, with the legend inside.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from components.metrics.scores import average_precision, precision_recall_curve, roc_auc, roc_curve

INK, GRID = "#1c2430", "#dfe3e8"
SERIES = ("#c8553d", "#2a7f8e", "#8a5aa8", "#b07d12", "#4f7d2c", "#c2417c", "#6b5b4b", "#3f6fd1")
DOTS_PER_INCH = 120
LONGEST_NAME = 28  # characters of a name that are drawn
MOST_WRITTEN_CELLS = 24 * 24  # beyond it, a matrix is shown by its colours alone

Sets = Mapping[str, tuple[np.ndarray, np.ndarray]]
Place = Literal["lower left", "lower right"]

_NO_CURVE = np.empty(0), np.empty(0)


def roc_png(sets: Sets, title: str) -> bytes:
    """Returns ROC curves as a PNG file.

    Args:
        sets: name -> labels and scores, as `check_scores`; a set of one class has no curve, and the legend says
            so.
        title: any text.
    """
    figure, axes = _figure(5, 4.6, title)
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    for index, (name, (labels, scores)) in enumerate(sets.items()):
        area = roc_auc(labels, scores)
        curve = roc_curve(labels, scores)
        x, y = _NO_CURVE if np.isnan(area) else (curve.false_positive_rate, curve.true_positive_rate)
        _line(axes, index, x, y, f"{_short(name)}: {_figure_text('area', area)}")
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    return _curves_png(figure, axes, "lower right")


def precision_recall_png(sets: Sets, title: str) -> bytes:
    """Returns precision-recall curves, as steps, as a PNG file; arguments as `roc_png`."""
    figure, axes = _figure(5, 4.6, title)
    for index, (name, (labels, scores)) in enumerate(sets.items()):
        average = average_precision(labels, scores)
        x, y = _NO_CURVE
        if not np.isnan(average):
            curve = precision_recall_curve(labels, scores)
            x, y = np.append(0, curve.recall), np.append(curve.precision[0], curve.precision)
        _line(axes, index, x, y, f"{_short(name)}: {_figure_text('average precision', average)}", steps=True)
    axes.set(xlabel="recall", ylabel="precision")
    return _curves_png(figure, axes, "lower left")


def confusion_png(rows: Sequence[str], columns: Sequence[str], counts: np.ndarray, title: str, truth: str) -> bytes:
    """Returns a confusion matrix as a PNG file: counts, and their share of all images, coloured by share of the row.

    Args:
        rows: names of the truth.
        columns: names of what was said.
        counts: integers [rows, columns]; rows without images are allowed.
        title: any text.
        truth: what the rows are, e.g. "true source".
    """
    counts = np.asarray(counts, np.int64).reshape(len(rows), len(columns))
    height, width = max(3.0, 0.5 * len(rows) + 1.8), max(3.8, 0.85 * len(columns) + 1.9)
    figure, axes = _figure(width, height, title)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(columns)), [_short(name) for name in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), [_short(name) for name in rows])
    axes.set(xlabel="called", ylabel=truth)
    every = max(int(counts.sum()), 1)
    if counts.size <= MOST_WRITTEN_CELLS:
        for (row, column), count in np.ndenumerate(counts):
            axes.text(
                column,
                row,
                f"{count:,}\n{count / every:.1%}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if shares[row, column] > 0.55 else INK,
            )
    return _png(figure)


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(_short(title, 60), fontsize=10, color=INK, parse_math=False)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=9)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    return figure, axes


def _line(axes: Axes, index: int, x: np.ndarray, y: np.ndarray, label: str, steps: bool = False) -> None:
    colour, style = SERIES[index % len(SERIES)], "--" if index else "-"
    drawstyle = "steps-pre" if steps else "default"
    axes.plot(x, y, color=colour, linestyle=style, linewidth=1.8, label=label, drawstyle=drawstyle, clip_on=False)


def _curves_png(figure: Figure, axes: Axes, place: Place) -> bytes:
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    for text in axes.legend(loc=place, fontsize=8, frameon=False, labelcolor=INK).get_texts():
        text.set_parse_math(False)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        for text in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            text.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands for it; the name is elsewhere
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _figure_text(name: str, value: float) -> str:
    return "no curve, one class only" if np.isnan(value) else f"{name} {value:.3f}"


def _short(name: str, longest: int = LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}\u2026"
