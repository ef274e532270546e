"""What the report shows of generators that heads do not know: every source in turn, and all turns together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import NullFormatter, PercentFormatter

from components.metrics.open_set import OpenSetCurve, open_set_area
from components.metrics.open_set_turns import (
    KNOWN_REJECTION,
    OpenSetEvaluation,
    OpenSetFigures,
    OpenSetTurn,
    best_score,
    pooled_curve,
    recall_interval,
    turn_figures,
)
from pipeline.report.plot_style import SERIES, STAND_INS, LegendEntry, Plot, figure_of, svg_of
from pipeline.report.text import count, enumeration, share

# Below this many images of either kind a share moves by whole percents when one image does.
ROUGH_BELOW = 100
_MOST_POINTS = 300  # a screen shows no more, and the file stays small

# Acceptance score -> heading, explanation.
_HEADINGS = {
    "max_logit": ("highest logit", "the logit of the head that claims the image most"),
    "energy": ("energy", "logarithm of the sum over heads of exp(logit); Liu et al. 2020"),
    "mahalanobis": (
        "Mahalanobis",
        "distance from the training images of the source whose head claims the image most, in that head's features; "
        "Lee et al. 2018",
    ),
    "logit_per_head": ("logit per head", "the highest logit less the median of that head's source in the eval split"),
    "mahalanobis_per_head": (
        "Mahalanobis per head",
        "the Mahalanobis distance divided by the median of that head's source in the eval split",
    ),
}


@dataclass(frozen=True)
class ScoreCell:
    """One acceptance score on one turn, or on all of them.

    Attributes:
        recall: share of unknown images that are rejected at 5 % known-rejection; NaN where there are none.
        interval: its 95 % interval; NaN where it is not known.
        area: under the open-set classification rate curve; NaN where there is none.
        best: whether no other score has a higher recall here.
    """

    recall: float
    interval: tuple[float, float]
    area: float
    best: bool


@dataclass(frozen=True)
class TurnRow:
    """One turn, or all of them.

    Attributes:
        left_out: the source; empty for all.
        known: images of known sources.
        unknown: images of the left-out one.
        accuracy: share of known images that the right head claims most.
        cells: in the order of the scores.
    """

    left_out: str
    known: int
    unknown: int
    accuracy: float
    cells: tuple[ScoreCell, ...]


@dataclass(frozen=True)
class OpenSetView:
    """The evaluation, ready to be written.

    Attributes:
        split: that was scored.
        headings: heading and explanation of each acceptance score.
        best: heading of the best score.
        turns: a row for each source.
        pooled: all turns, one threshold for all.
        curve: open-set classification rate curves over all turns; None where there is none.
        cautions: sentences on what to mind.
    """

    split: str
    headings: tuple[tuple[str, str], ...]
    best: str
    turns: tuple[TurnRow, ...]
    pooled: TurnRow
    curve: Plot | None
    cautions: tuple[str, ...]


def open_set_view(evaluation: OpenSetEvaluation | None) -> OpenSetView | None:
    """Prepares a leave-one-generator-out evaluation; None where there was none.

    Raises:
        ValueError: if a score is NaN.
    """
    if evaluation is None or not evaluation.turns:
        return None
    names = evaluation.score_names
    pooled = _row("", evaluation.turns, names, [recall_interval(evaluation.turns, name) for name in names])
    nothing = [(math.nan, math.nan)] * len(names)
    curves = {_heading(name)[0]: curve for name in names if (curve := pooled_curve(evaluation.turns, name))}
    return OpenSetView(
        evaluation.split,
        tuple(_heading(name) for name in names),
        _heading(best_score(evaluation))[0],
        tuple(_row(turn.left_out, [turn], names, nothing) for turn in evaluation.turns),
        pooled,
        open_set_plot(curves, "open-set", "Open-set classification rate over all turns") if curves else None,
        tuple(_cautions(evaluation.turns)),
    )


def open_set_plot(curves: Mapping[str, OpenSetCurve], key: str, alternative: str) -> Plot:
    """Draws open-set classification rate curves, the false acceptances on a logarithmic axis as in the source.

    Args:
        curves: name of the acceptance score -> curve.
        key: prefix of the SVG's identifiers, unique in the page; letters, digits and hyphens.
        alternative: text for those who do not see the picture.

    Source: Dhamija, Guenther & Boult 2018, "Reducing Network Agnostophobia", figure 3.
    """
    figure, axes = figure_of(5.5, 3.2)
    legend, lowest = [], 1.0
    for index, (name, curve) in enumerate(curves.items()):
        colour = SERIES[index % len(SERIES)]
        shown = np.flatnonzero(curve.false_acceptance_rate > 0)  # a logarithm has no place for the rest
        shown = shown[np.unique(np.linspace(0, len(shown) - 1, _MOST_POINTS).astype(int))]
        lowest = min(lowest, float(curve.false_acceptance_rate[shown[0]]))
        axes.plot(
            curve.false_acceptance_rate[shown],
            curve.correct_rate[shown],
            color=STAND_INS[colour],
            linewidth=1.8,
            marker="o" if len(shown) < 2 else None,
            clip_on=False,
        )
        legend.append(LegendEntry(f"{name}: area {open_set_area(curve):.3f}", colour))
    axes.set_xscale("log")
    axes.set(
        xlim=(min(lowest, 0.1), 1),
        ylim=(0, 1),
        xlabel="unknown images accepted (logarithmic)",
        ylabel="known images, accepted and right",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return Plot(svg_of(figure, key, alternative), tuple(legend))


def _row(
    left_out: str, turns: Sequence[OpenSetTurn], names: Sequence[str], intervals: Sequence[tuple[float, float]]
) -> TurnRow:
    figures: list[OpenSetFigures] = [turn_figures(turns, name) for name in names]
    highest = max((one.recall for one in figures if not math.isnan(one.recall)), default=math.inf)
    cells = tuple(
        ScoreCell(one.recall, interval, one.area, one.recall >= highest)
        for one, interval in zip(figures, intervals, strict=True)
    )
    first = figures[0]
    return TurnRow(left_out, first.known, first.unknown, first.accuracy, cells)


def _heading(score: str) -> tuple[str, str]:
    return _HEADINGS.get(score, (score, ""))


def _cautions(turns: Sequence[OpenSetTurn]) -> list[str]:
    notes = []
    rough = [
        f"{turn.left_out} ({count(int(turn.unknown.sum()))} unknown, {count(int((~turn.unknown).sum()))} known)"
        for turn in turns
        if min(turn.unknown.sum(), (~turn.unknown).sum()) < ROUGH_BELOW
    ]
    if rough:
        notes.append(
            f"Rough figures: fewer than {ROUGH_BELOW} images of a kind in the turns of {enumeration(rough)}. "
            f"A threshold that rejects {share(KNOWN_REJECTION)} of known images then hangs on a handful of them."
        )
    if len(turns[0].scores) > 1:
        notes.append("Which score does best was read off these very images: its figures lean to the good side.")
    return notes
