"""Line plots of the report, as inline SVG in the colours of the page (plot_style.py)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from components.metrics.reliability import ReliabilityPoint
from components.metrics.scores import average_precision, check_scores, precision_recall_curve, roc_auc, roc_curve
from pipeline.report.plot_style import (
    GRID,
    INK,
    NEGATIVE,
    POSITIVE,
    SERIES,
    STAND_INS,
    LegendEntry,
    Plot,
    figure_of,
    svg_of,
)

MAX_CURVE_POINTS = 300  # a screen shows no more, and the file stays small
HISTOGRAM_BINS = 40
MANY_LINES = 10  # beyond it, lines of generators are drawn thin and are not told apart


def roc_plot(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]], threshold: float | None, key: str, alternative: str
) -> Plot:
    """Draws the ROC curve of one model on each split, and its operating point on the first.

    Args:
        sets: split to labels and scores as `check_scores`. A split of a single class has no curve; the legend
            says so.
        threshold: the operating point, 0..1, or None.
        key: prefix of the SVG's identifiers, unique in the page; letters, digits and hyphens.
        alternative: text for those who do not see the picture.
    """
    figure, axes = figure_of(3.1, 2.9)
    axes.plot([0, 1], [0, 1], color=STAND_INS[GRID], linewidth=1)
    legend = []
    for index, (split, (labels, scores)) in enumerate(sets.items()):
        colour, dashed = SERIES[index % len(SERIES)], index > 0
        curve = roc_curve(labels, scores)
        area = roc_auc(labels, scores)
        if np.isnan(area):
            legend.append(LegendEntry(f"{split}: no curve, one class only", colour, dashed))
            continue
        kept = np.unique(np.linspace(0, len(curve.thresholds) - 1, MAX_CURVE_POINTS).astype(int))
        axes.plot(
            curve.false_positive_rate[kept],
            curve.true_positive_rate[kept],
            color=STAND_INS[colour],
            linestyle="--" if dashed else "-",
            linewidth=1.8,
            clip_on=False,
        )
        legend.append(LegendEntry(f"{split}: area {area:.3f}", colour, dashed))
        if index == 0 and threshold is not None:
            called = np.asarray(scores, np.float64) >= threshold
            point = called[np.asarray(labels) == 0].mean(), called[np.asarray(labels) == 1].mean()
            axes.plot(*point, "o", color=STAND_INS[INK], markersize=5, clip_on=False)
            legend.append(LegendEntry(f"threshold: FPR {point[0]:.1%}, TPR {point[1]:.1%}", INK))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="false-positive rate", ylabel="true-positive rate")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def precision_recall_plot(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]], threshold: float | None, key: str, alternative: str
) -> Plot:
    """Draws the precision-recall curve of one model on each set, and its operating point on the first.

    The curve is drawn as the steps whose area is the average precision.

    Args:
        sets: as `roc_plot`; a set of a single class has no curve, and the legend says so.
        threshold: as `roc_plot`.
        key: as `roc_plot`.
        alternative: as `roc_plot`.
    """
    figure, axes = figure_of(3.1, 2.9)
    legend = []
    for index, (name, (labels, scores)) in enumerate(sets.items()):
        colour, dashed = SERIES[index % len(SERIES)], index > 0
        average = average_precision(labels, scores)
        if np.isnan(average):
            legend.append(LegendEntry(f"{name}: no curve, one class only", colour, dashed))
            continue
        recall, precision, _ = precision_recall_curve(labels, scores)
        kept = np.unique(np.linspace(0, len(recall) - 1, MAX_CURVE_POINTS).astype(int))
        axes.step(
            np.append(0, recall[kept]),
            np.append(precision[0], precision[kept]),
            where="pre",
            color=STAND_INS[colour],
            linestyle="--" if dashed else "-",
            linewidth=1.8,
            clip_on=False,
        )
        legend.append(LegendEntry(f"{name}: average precision {average:.3f}", colour, dashed))
        if index == 0 and threshold is not None and (np.asarray(scores, np.float64) >= threshold).any():
            hits = np.asarray(labels)[np.asarray(scores, np.float64) >= threshold]
            point = hits.sum() / np.asarray(labels).sum(), hits.mean()
            axes.plot(*point, "o", color=STAND_INS[INK], markersize=5, clip_on=False)
            legend.append(LegendEntry(f"threshold: precision {point[1]:.1%}, recall {point[0]:.1%}", INK))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def histogram_plot(
    labels: np.ndarray, scores: np.ndarray, threshold: float | None, names: tuple[str, str], key: str, alternative: str
) -> Plot:
    """Draws how the scores of each class are spread; counts on a logarithmic axis, so that single errors show.

    Args:
        labels: integers [n], each 0 or 1.
        scores: floats [n], each in 0..1.
        threshold: the operating point, 0..1, or None.
        names: what labels 0 and 1 are called in the legend.
        key: as `roc_plot`.
        alternative: as `roc_plot`.
    """
    labels, scores = check_scores(labels, scores)
    figure, axes = figure_of(3.1, 2.9)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    highest = 1
    legend = []
    for label, (name, colour) in enumerate(zip(names, (NEGATIVE, POSITIVE), strict=True)):
        counts, _ = np.histogram(scores[labels == label], edges)
        highest = max(highest, int(counts.max()))
        stand_in = STAND_INS[colour]
        axes.stairs(counts, edges, baseline=0.5, fill=True, color=stand_in, alpha=0.3, linewidth=0)
        axes.stairs(np.maximum(counts, 0.5), edges, baseline=0.5, color=stand_in, linewidth=1.3)
        legend.append(LegendEntry(f"{name}: {counts.sum():,} images", colour))
    if threshold is not None:
        axes.axvline(threshold, color=STAND_INS[INK], linewidth=1.2, linestyle="--")
        legend.append(LegendEntry(f"threshold {threshold:.3f}", INK, dashed=True))
    axes.set_yscale("log")
    axes.set(xlim=(0, 1), ylim=(0.5, highest * 1.5), xlabel="score", ylabel="images (logarithmic)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def history_plot(history: Mapping[str, Sequence[float]], title: str, key: str, alternative: str) -> Plot:
    """Draw quantities by epoch on one axis; `val_x` is dashed in the colour of `x`.

    Args:
        history: Values per epoch, at least one quantity with at least one value; NaN leaves a gap.
        title: Title of the axis.
        key: As `roc_plot`.
        alternative: As `roc_plot`.
    """
    figure, axes = figure_of(3.1, 2.3)
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    legend = []
    for name, values in history.items():
        base = name.removeprefix("val_")
        colour, dashed = SERIES[bases.index(base) % len(SERIES)], name != base
        axes.plot(
            np.arange(1, len(values) + 1),
            np.asarray(values, np.float64),
            color=STAND_INS[colour],
            linestyle="--" if dashed else "-",
            marker="o" if len(values) < 2 else None,
            markersize=4,
            linewidth=1.6,
        )
        legend.append(LegendEntry(name, colour, dashed))
    axes.set(xlabel="epoch", ylabel=title)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def radial_plot(
    profiles: Mapping[str, np.ndarray], labels: Mapping[str, int], title: str, key: str, alternative: str
) -> Plot:
    """Draw radial profiles of spectra.

    Args:
        profiles: Floats [radii] by source: a mean over rings of equal spatial frequency, all of one length.
        labels: 0 or 1 by source; sources of label 0 are drawn in the colour of real images, above the others.
        title: Title of the vertical axis.
        key: As `roc_plot`.
        alternative: As `roc_plot`.
    """
    figure, axes = figure_of(4.6, 3.0)
    fakes = [source for source in profiles if labels.get(source, 1)]
    reals = [source for source in profiles if source not in fakes]
    many = len(fakes) > MANY_LINES
    legend = []
    for index, source in enumerate([*fakes, *reals]):
        real = source in reals
        colour = NEGATIVE if real else POSITIVE if many else SERIES[index % len(SERIES)]
        # More sources than colours: the second round is dashed.
        dashed = (reals.index(source) > 0) if real else (not many and index >= len(SERIES))
        profile = profiles[source]
        axes.plot(
            (np.arange(len(profile)) + 1) * np.sqrt(2) / len(profile),
            profile,
            color=STAND_INS[colour],
            linestyle="--" if dashed else "-",
            linewidth=1.8 if real else 0.8 if many else 1.3,
            alpha=0.5 if many and not real else 1,
        )
        if not (many and not real):
            legend.append(LegendEntry(source, colour, dashed))
    if many:
        legend.insert(0, LegendEntry(f"{len(fakes)} generators, each a line", POSITIVE))
    axes.set(xlim=(0, np.sqrt(2)), xlabel="spatial frequency (1 = Nyquist of an axis)", ylabel=title)
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def reliability_plot(sets: Mapping[str, Sequence[ReliabilityPoint]], key: str, alternative: str) -> Plot:
    """Draws which share of images is positive where the model gives a probability: on the diagonal, it is right.

    Args:
        sets: name -> points; the first is drawn with the intervals of its shares, the others dashed.
        key: as `roc_plot`.
        alternative: as `roc_plot`.
    """
    figure, axes = figure_of(3.1, 2.9)
    axes.plot([0, 1], [0, 1], color=STAND_INS[GRID], linewidth=1)
    legend = []
    for index, (name, points) in enumerate(sets.items()):
        colour, dashed = SERIES[index % len(SERIES)], index > 0
        means, shares = [point.probability for point in points], [point.share for point in points]
        if not dashed:
            lows, highs = [point.low for point in points], [point.high for point in points]
            axes.vlines(means, lows, highs, color=STAND_INS[colour], linewidth=1.2, alpha=0.6)
        axes.plot(
            means,
            shares,
            color=STAND_INS[colour],
            linestyle="--" if dashed else "-",
            marker="o",
            markersize=3.5,
            linewidth=1.4,
            clip_on=False,
        )
        images = sum(point.images for point in points)
        legend.append(LegendEntry(f"{name}: {images:,} images in {len(points)} groups", colour, dashed))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share that is positive")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def quality_plot(
    areas: Mapping[str, Mapping[int, tuple[float, float, float]]], plain: float, key: str, alternative: str
) -> Plot:
    """Draws what is left of ROC-AUCs where all images are saved as JPEGs of one quality.

    Args:
        areas: model -> JPEG quality -> area, lower and upper end of its interval (NaN: not drawn). The first model's
            interval is drawn as a band.
        plain: the first model's area on the images as they were; NaN if it is not known.
        key: as `roc_plot`.
        alternative: as `roc_plot`.
    """
    figure, axes = figure_of(4.2, 2.6)
    many = len(areas) - 1 > MANY_LINES
    legend = []
    for index, (name, by_quality) in enumerate(areas.items()):
        qualities = sorted(by_quality)
        values = np.array([by_quality[quality] for quality in qualities], np.float64)
        colour = GRID if many and index else SERIES[index % len(SERIES)]
        dashed = not many and index >= len(SERIES)
        if not index:
            axes.fill_between(qualities, values[:, 1], values[:, 2], color=STAND_INS[colour], alpha=0.15, linewidth=0)
        axes.plot(
            qualities,
            values[:, 0],
            color=STAND_INS[colour],
            linestyle="--" if dashed else "-",
            marker="o",
            markersize=3.5,
            linewidth=1.2 if index else 2,
            zorder=2 if index else 3,
        )
        if not (many and index):
            legend.append(LegendEntry(name, colour, dashed))
        if not index and not np.isnan(plain):
            axes.axhline(plain, color=STAND_INS[INK], linewidth=1, linestyle="--")
            legend.append(LegendEntry(f"{name}, images as they were: {plain:.3f}", INK, dashed=True))
    if many:
        legend.append(LegendEntry(f"{len(areas) - 1} heads, each a line", GRID))
    axes.axhline(0.5, color=STAND_INS[GRID], linewidth=1)
    axes.set(xlabel="JPEG quality", ylabel="ROC-AUC")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    return Plot(svg_of(figure, key, alternative), tuple(legend))
