"""What the report shows of perturbed copies: what each kind costs every model, and what was format all along.

Where real and fake images were stored in different ways, a detector may learn the ways. On copies that were all stored
alike that difference is gone, and what a ROC-AUC loses there it owed to it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.metrics.scores import expected_calibration_error, roc_auc, roc_auc_interval, tpr_at_fpr
from pipeline.report import plots
from pipeline.report.data import CopiesReport, Gate, ModelReport
from pipeline.report.plot_style import Plot
from pipeline.report.text import number
from pipeline.report.wild import WildFigures, wild_figures

_HOW_TO_GET_IT = (
    "set evaluation.perturbations: {jpeg_95: {}} to see which part of a ROC-AUC is format of files, not fingerprint"
)


@dataclass(frozen=True)
class Area:
    """A ROC-AUC and its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class CopiesRow:
    """One kind of copies.

    Attributes:
        perturbation: what was done.
        images: number of copies, None if it is not known.
        left_out: number of copies that were too small.
        detection: of the primary module.
        tpr_at_fpr_5: its true-positive rate at 5 % false positives.
        ece: its expected calibration error.
        heads: ROC-AUC of each head, in the order of `RobustnessView.heads`.
        gates: conditions on these copies.
        state: "reached", "missed" or "not set".
    """

    perturbation: str
    images: int | None
    left_out: int
    detection: Area
    tpr_at_fpr_5: float
    ece: float
    heads: tuple[Area, ...]
    gates: tuple[Gate, ...]
    state: str


@dataclass(frozen=True)
class SavedAlike:
    """ROC-AUCs on copies that were all stored as JPEG of one quality.

    Attributes:
        perturbation: their name.
        quality: the JPEG quality, the highest that there is.
        areas: model -> area there.
        plain: model -> area on the same images as they were.
    """

    perturbation: str
    quality: int
    areas: dict[str, Area]
    plain: dict[str, Area]

    @property
    def heading(self) -> str:
        """What the column of the table of models is called."""
        return f"saved alike (JPEG {self.quality})"


@dataclass(frozen=True)
class RobustnessView:
    """All kinds of copies, ready to be written.

    Attributes:
        split: the split that was copied, "" if no scores say so.
        heads: names of the heads that were asked.
        rows: the images as they were first.
        saved_alike: None without a JPEG among the kinds.
        picture: ROC-AUC against JPEG quality, None with fewer than two JPEGs.
        scored: whether a servable was asked; if not, the figures are the Evaluator's.
        wild: figures over all kinds mixed, None with fewer than two that a servable judged.
    """

    split: str
    heads: tuple[str, ...]
    rows: tuple[CopiesRow, ...]
    saved_alike: SavedAlike | None
    picture: Plot | None
    scored: bool
    wild: WildFigures | None = None


def robustness_view(copies: Sequence[CopiesReport], models: Sequence[ModelReport]) -> RobustnessView | None:
    """Prepares what is known of perturbed copies; None if there are none.

    Args:
        copies: the kinds, the images as they were first.
        models: the primary module and the heads, whose order is kept.

    Raises:
        ValueError: as `check_scores`.
    """
    if not copies:
        return None
    primary = next((model.name for model in models if model.task == "detection"), "")
    heads = tuple(
        model.name
        for model in models
        if model.task == "attribution" and any(model.name in kind.scores for kind in copies)
    )
    areas = {kind.perturbation: _areas(kind, primary) for kind in copies}
    rows = tuple(_row(kind, primary, heads, areas[kind.perturbation]) for kind in copies)
    jpegs = [kind for kind in copies if kind.jpeg_quality is not None]
    return RobustnessView(
        split=next((scored.split for kind in copies for scored in kind.scores.values()), ""),
        heads=heads,
        rows=rows,
        saved_alike=_saved_alike(jpegs, areas, areas[copies[0].perturbation]),
        picture=_picture(jpegs, areas, (primary, *heads), areas[copies[0].perturbation]),
        scored=any(kind.scores for kind in copies),
        wild=wild_figures(copies, primary),
    )


def saved_alike_sentence(view: RobustnessView | None, models: Sequence[ModelReport]) -> str:
    """Returns one sentence: what the figures on copies that were stored alike say, or how to get them."""
    alike = view.saved_alike if view else None
    if alike is None:
        return f"Not measured on images that were all saved alike: {_HOW_TO_GET_IT}."
    gaps = [
        f"{model.name} {number(alike.plain[model.name].value)} to {number(alike.areas[model.name].value)}"
        for model in models
        if model.task == "detection" and model.name in alike.areas and model.name in alike.plain
    ]
    gap = f"the gap ({gaps[0]})" if gaps else "the gap"
    return (
        f"Saved alike: the same images, real and fake, all stored again as JPEG of quality {alike.quality}; {gap} is "
        "the part of a ROC-AUC that was format of files, not fingerprint, and what that JPEG itself wiped out."
    )


def robustness_values(view: RobustnessView | None) -> dict[str, Any] | None:
    """Returns the figures as plain values for JSON, None where there are none; what is undefined is None."""
    if view is None:
        return None
    alike = view.saved_alike
    return {
        "split": view.split or None,
        "wild": view.wild and view.wild.to_dict(),
        "saved_alike": alike
        and {
            "perturbation": alike.perturbation,
            "roc_auc": {name: _area_values(area) for name, area in alike.areas.items()},
            "plain_roc_auc": {name: _area_values(area) for name, area in alike.plain.items()},
        },
        "copies": [
            {
                "perturbation": row.perturbation,
                "images": row.images,
                "left_out": row.left_out,
                "roc_auc": _area_values(row.detection),
                "tpr_at_fpr_5": _known(row.tpr_at_fpr_5),
                "ece": _known(row.ece),
                "heads": {name: _area_values(area) for name, area in zip(view.heads, row.heads, strict=True)},
                "gate": row.state,
            }
            for row in view.rows
        ],
    }


def _areas(kind: CopiesReport, primary: str) -> dict[str, Area]:
    """Returns the area of every model that was asked about these copies; else what the Evaluator measured."""
    areas = {
        name: Area(roc_auc(scored.labels, scored.scores), *roc_auc_interval(scored.labels, scored.scores))
        for name, scored in kind.scores.items()
    }
    measured = kind.metrics.get("roc_auc")
    if primary and primary not in areas and measured is not None:
        areas[primary] = Area(measured)
    return areas


def _row(kind: CopiesReport, primary: str, heads: Sequence[str], areas: dict[str, Area]) -> CopiesRow:
    scored = kind.scores.get(primary)
    reached = all(gate.passed for gate in kind.gates)
    return CopiesRow(
        perturbation=kind.perturbation,
        images=kind.images,
        left_out=kind.left_out,
        detection=areas.get(primary, Area(math.nan)),
        tpr_at_fpr_5=math.nan if scored is None else tpr_at_fpr(scored.labels, scored.scores, 0.05),
        ece=math.nan if scored is None else expected_calibration_error(scored.labels, scored.scores),
        heads=tuple(areas.get(name, Area(math.nan)) for name in heads),
        gates=tuple(kind.gates),
        state=("reached" if reached else "missed") if kind.gates else "not set",
    )


def _saved_alike(
    jpegs: Sequence[CopiesReport], areas: dict[str, dict[str, Area]], plain: dict[str, Area]
) -> SavedAlike | None:
    measured = [kind for kind in jpegs if areas[kind.perturbation]]
    if not measured:
        return None
    best = max(measured, key=lambda kind: kind.jpeg_quality or 0)
    return SavedAlike(best.perturbation, int(best.jpeg_quality or 0), areas[best.perturbation], plain)


def _picture(
    jpegs: Sequence[CopiesReport], areas: dict[str, dict[str, Area]], names: Sequence[str], plain: dict[str, Area]
) -> Plot | None:
    curves: dict[str, dict[int, tuple[float, float, float]]] = {}
    for kind in jpegs:
        for name in names:
            area = areas[kind.perturbation].get(name)
            if area is not None and not math.isnan(area.value):
                curves.setdefault(name, {})[int(kind.jpeg_quality or 0)] = (area.value, area.low, area.high)
    ordered = {name: curves[name] for name in names if len(curves.get(name, ())) > 1}
    if not ordered:
        return None
    first = plain.get(next(iter(ordered)), Area(math.nan))
    return plots.quality_plot(ordered, first.value, "jpeg-quality", "ROC-AUC of every model against JPEG quality")


def _area_values(area: Area) -> dict[str, float | None]:
    return {"value": _known(area.value), "low": _known(area.low), "high": _known(area.high)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
