"""Line plots of the report as inline SVG that takes its colours from the page.

matplotlib draws with stand-in colours, which become CSS variables in the SVG: one picture serves a light page, a dark
page and a printed one. No text from outside (a source's name, a metric's) is ever drawn: it goes into the legend, which
the page writes beside the picture and escapes.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from components.evaluator import metrics

# Names of CSS variables that the page defines. Series are told apart by colour and, where two belong together, by dash.
INK, GRID, NEGATIVE, POSITIVE = "ink", "line", "negative", "positive"
SERIES = tuple(f"series-{index}" for index in range(8))
# Stand-ins: 24-bit colours that nothing else in a figure has.
_STAND_INS = {name: f"#01{index:02x}fe" for index, name in enumerate((INK, GRID, NEGATIVE, POSITIVE, *SERIES))}

MAX_CURVE_POINTS = 300  # a screen shows no more, and the file stays small
HISTOGRAM_BINS = 40
LARGEST_SCALE = 1.4  # a wide page does not blow a plot's text up beyond this
MANY_LINES = 10  # beyond it, lines of generators are drawn thin and are not told apart


@dataclass(frozen=True)
class LegendEntry:
    """What one line or area of a plot stands for.

    Attributes:
        label: its meaning; any text, escaped where it is written.
        colour: name of its CSS variable.
        dashed: whether its line is dashed.
    """

    label: str
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes:
        svg: an `<svg>` element; safe to insert into a page as it is.
        legend: its entries, to be written beside it.
    """

    svg: str
    legend: tuple[LegendEntry, ...]


def roc_plot(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]], threshold: float | None, key: str, alternative: str
) -> Plot:
    """Draws the ROC curve of one model on each split, and its operating point on the first.

    Args:
        sets: split to labels and scores as `metrics.check_scores`. A split of a single class has no curve; the legend
            says so.
        threshold: the operating point, 0..1, or None.
        key: prefix of the SVG's identifiers, unique in the page; letters, digits and hyphens.
        alternative: text for those who do not see the picture.
    """
    figure, (axes,) = _figure(3.1, 2.9)
    axes.plot([0, 1], [0, 1], color=_STAND_INS[GRID], linewidth=1)
    legend = []
    for index, (split, (labels, scores)) in enumerate(sets.items()):
        colour, dashed = SERIES[index % len(SERIES)], index > 0
        curve = metrics.roc_curve(labels, scores)
        area = metrics.roc_auc(labels, scores)
        if np.isnan(area):
            legend.append(LegendEntry(f"{split}: no curve, one class only", colour, dashed))
            continue
        kept = np.unique(np.linspace(0, len(curve.thresholds) - 1, MAX_CURVE_POINTS).astype(int))
        axes.plot(
            curve.false_positive_rate[kept],
            curve.true_positive_rate[kept],
            color=_STAND_INS[colour],
            linestyle="--" if dashed else "-",
            linewidth=1.8,
            clip_on=False,
        )
        legend.append(LegendEntry(f"{split}: area {area:.3f}", colour, dashed))
        if index == 0 and threshold is not None:
            called = np.asarray(scores, np.float64) >= threshold
            point = called[np.asarray(labels) == 0].mean(), called[np.asarray(labels) == 1].mean()
            axes.plot(*point, "o", color=_STAND_INS[INK], markersize=5, clip_on=False)
            legend.append(LegendEntry(f"threshold: FPR {point[0]:.1%}, TPR {point[1]:.1%}", INK))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="false-positive rate", ylabel="true-positive rate")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return Plot(_svg(figure, key, alternative), tuple(legend))


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
    figure, (axes,) = _figure(3.1, 2.9)
    legend = []
    for index, (name, (labels, scores)) in enumerate(sets.items()):
        colour, dashed = SERIES[index % len(SERIES)], index > 0
        average = metrics.average_precision(labels, scores)
        if np.isnan(average):
            legend.append(LegendEntry(f"{name}: no curve, one class only", colour, dashed))
            continue
        recall, precision, _ = metrics.precision_recall_curve(labels, scores)
        kept = np.unique(np.linspace(0, len(recall) - 1, MAX_CURVE_POINTS).astype(int))
        axes.step(
            np.append(0, recall[kept]),
            np.append(precision[0], precision[kept]),
            where="pre",
            color=_STAND_INS[colour],
            linestyle="--" if dashed else "-",
            linewidth=1.8,
            clip_on=False,
        )
        legend.append(LegendEntry(f"{name}: average precision {average:.3f}", colour, dashed))
        if index == 0 and threshold is not None and (np.asarray(scores, np.float64) >= threshold).any():
            hits = np.asarray(labels)[np.asarray(scores, np.float64) >= threshold]
            point = hits.sum() / np.asarray(labels).sum(), hits.mean()
            axes.plot(*point, "o", color=_STAND_INS[INK], markersize=5, clip_on=False)
            legend.append(LegendEntry(f"threshold: precision {point[1]:.1%}, recall {point[0]:.1%}", INK))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return Plot(_svg(figure, key, alternative), tuple(legend))


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
    labels, scores = metrics.check_scores(labels, scores)
    figure, (axes,) = _figure(3.1, 2.9)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    highest = 1
    legend = []
    for label, (name, colour) in enumerate(zip(names, (NEGATIVE, POSITIVE), strict=True)):
        counts, _ = np.histogram(scores[labels == label], edges)
        highest = max(highest, int(counts.max()))
        stand_in = _STAND_INS[colour]
        axes.stairs(counts, edges, baseline=0.5, fill=True, color=stand_in, alpha=0.3, linewidth=0)
        axes.stairs(np.maximum(counts, 0.5), edges, baseline=0.5, color=stand_in, linewidth=1.3)
        legend.append(LegendEntry(f"{name}: {counts.sum():,} images", colour))
    if threshold is not None:
        axes.axvline(threshold, color=_STAND_INS[INK], linewidth=1.2, linestyle="--")
        legend.append(LegendEntry(f"threshold {threshold:.3f}", INK, dashed=True))
    axes.set_yscale("log")
    axes.set(xlim=(0, 1), ylim=(0.5, highest * 1.5), xlabel="score", ylabel="images (logarithmic)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return Plot(_svg(figure, key, alternative), tuple(legend))


def history_plot(history: Mapping[str, Sequence[float]], key: str, alternative: str) -> Plot:
    """Draws training curves: losses left, everything else right; `val_x` is dashed in the colour of `x`.

    Args:
        history: values per epoch, at least one quantity with at least one value; NaN leaves a gap.
        key: as `roc_plot`.
        alternative: as `roc_plot`.
    """
    losses = {name: values for name, values in history.items() if "loss" in name}
    others = {name: values for name, values in history.items() if "loss" not in name}
    groups = [(title, group) for title, group in (("loss", losses), ("metrics", others)) if group]
    figure, panels = _figure(2.9 * max(len(groups), 1), 2.3, panels=len(groups))
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    legend = []
    for axes, (title, group) in zip(panels, groups, strict=True):
        for name, values in group.items():
            base = name.removeprefix("val_")
            colour, dashed = SERIES[bases.index(base) % len(SERIES)], name != base
            axes.plot(
                np.arange(1, len(values) + 1),
                np.asarray(values, np.float64),
                color=_STAND_INS[colour],
                linestyle="--" if dashed else "-",
                marker="o" if len(values) < 2 else None,
                markersize=4,
                linewidth=1.6,
            )
            legend.append(LegendEntry(name, colour, dashed))
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    return Plot(_svg(figure, key, alternative), tuple(legend))


def radial_plot(
    profiles: Mapping[str, np.ndarray],
    labels: Mapping[str, int],
    reference: np.ndarray | None,
    key: str,
    alternative: str,
) -> Plot:
    """Draws radial profiles of spectra, and beside them their distance from the mean real profile.

    Args:
        profiles: source to floats [radii]: mean log |DCT| over a ring, all of one length.
        labels: source to 0 or 1; sources of label 0 are drawn in the colour of real images, above the others.
        reference: floats [radii], the mean real profile, or None: then there is no right half.
        key: as `roc_plot`.
        alternative: as `roc_plot`.
    """
    figure, panels = _figure(5.5 if reference is None else 11, 3.4, panels=1 if reference is None else 2)
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
        frequency = (np.arange(len(profile)) + 1) * np.sqrt(2) / len(profile)
        for axes, values in zip(panels, [profile, profile - (0 if reference is None else reference)], strict=False):
            axes.plot(
                frequency,
                values,
                color=_STAND_INS[colour],
                linestyle="--" if dashed else "-",
                linewidth=1.8 if real else 0.8 if many else 1.3,
                alpha=0.5 if many and not real else 1,
            )
        if not (many and not real):
            legend.append(LegendEntry(source, colour, dashed))
    if many:
        legend.insert(0, LegendEntry(f"{len(fakes)} generators, each a line", POSITIVE))
    for axes, label in zip(panels, ("mean log |DCT|", "difference from real"), strict=False):
        axes.set(xlim=(0, np.sqrt(2)), xlabel="spatial frequency (1 = Nyquist of an axis)", ylabel=label)
    return Plot(_svg(figure, key, alternative), tuple(legend))


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Returns a styled figure of so many inches and its panels, side by side; a layout engine would double the time."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    left, right, bottom, top = 0.62, 0.12, 0.5, 0.1  # inches around each panel, for labels
    share = width / max(panels, 1)
    all_axes = []
    for index in range(panels):
        axes = figure.add_axes(
            (
                (index * share + left) / width,
                bottom / height,
                (share - left - right) / width,
                (height - bottom - top) / height,
            )
        )
        axes.set_facecolor("none")
        axes.grid(True, color=_STAND_INS[GRID], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_STAND_INS[GRID])
        axes.tick_params(colors=_STAND_INS[INK], labelsize=8, length=0)
        axes.xaxis.label.set(color=_STAND_INS[INK], fontsize=8.5)
        axes.yaxis.label.set(color=_STAND_INS[INK], fontsize=8.5)
        all_axes.append(axes)
    return figure, all_axes


def _svg(figure: Figure, key: str, alternative: str) -> str:
    """Writes a figure as an `<svg>` element of the page: no size of its own, colours and text style of the page."""
    buffer = io.StringIO()
    # A fixed salt: equal figures give equal text.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "text.parse_math": False}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    # Identifiers are unique in a page, not just in a picture; groups need none.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{key}-", text)
    text = re.sub(r' ?font-family: [^;"]*;', "", text)  # the page's own
    text = re.sub(r"(\d+\.\d\d)\d+", r"\1", text)  # a hundredth of a point is enough
    for name, colour in _STAND_INS.items():
        text = text.replace(colour, f"var(--{name})")
    view_box = re.search(r'viewBox="[^"]*"', text)
    if view_box is None:
        raise ValueError("svg: matplotlib wrote no viewBox.")
    label = alternative.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    widest = figure.get_figwidth() * LARGEST_SCALE * 96  # CSS pixels an inch
    body = text[text.index(">") + 1 :]
    xlink = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    text = f'<svg {xlink} {view_box.group()} style="max-width: {widest:.0f}px" role="img" aria-label="{label}">{body}'
    return re.sub(r">\s+<", "><", re.sub(r"[ \t]*\n[ \t]*", " ", text)).strip()
