"""What the report shows of probabilities: whether they mean what they say, before calibration and after."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.metrics.calibration import Calibration
from components.metrics.reliability import (
    FEW_IMAGES,
    CalibrationFigures,
    calibration_figures,
    reliability_points,
    uncalibrated,
)
from pipeline.report import plots
from pipeline.report.data import ModelReport, ScoreSet
from pipeline.report.model_view import main_set
from pipeline.report.plot_style import Plot
from pipeline.report.text import count, enumeration, number

_NOT_RECORDED = "not recorded: the module is of before calibration"


@dataclass(frozen=True)
class CalibrationRow:
    """One model: its name, the split that was measured, figures, and what its calibration was fitted on."""

    name: str
    split: str
    figures: CalibrationFigures
    note: str


@dataclass(frozen=True)
class CalibrationView:
    """The calibration of all models that have scores, ready to be written.

    Attributes:
        rows: one a model.
        diagram: reliability of the primary module, None without its scores.
        cautions: what cannot be told from so few images.
    """

    rows: tuple[CalibrationRow, ...]
    diagram: Plot | None
    cautions: tuple[str, ...]


def calibration_view(models: Sequence[ModelReport]) -> CalibrationView:
    """Prepares the calibration of the models, on the split that each is judged by.

    Raises:
        ValueError: as `metrics.check_scores`.
    """
    rows = []
    diagram = None
    for model in models:
        scored = main_set(model)
        if scored is None:
            continue
        rows.append(calibration_row(model, scored))
        if diagram is None and model.task == "detection" and len(scored.labels):
            diagram = _diagram(model.name, scored, model.calibration)
    return CalibrationView(tuple(rows), diagram, tuple(_cautions(rows)))


def calibration_row(model: ModelReport, scored: ScoreSet) -> CalibrationRow:
    """Measures one model on one of its score sets."""
    figures = calibration_figures(scored.labels, scored.scores, model.calibration)
    return CalibrationRow(
        model.name, scored.split, figures, _NOT_RECORDED if model.calibration is None else model.calibration.note
    )


def calibration_values(model: ModelReport) -> dict[str, Any] | None:
    """Returns the figures of one model as plain values for JSON, None without scores; what is undefined is None."""
    scored = main_set(model)
    if scored is None:
        return None
    row = calibration_row(model, scored)
    figures = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.figures._asdict().items()
    }
    calibration = model.calibration
    return {
        "split": row.split,
        "scale": None if calibration is None else calibration.scale,
        "shift": None if calibration is None else calibration.shift,
        "note": row.note,
        **figures,
    }


def _diagram(name: str, scored: ScoreSet, calibration: Calibration | None) -> Plot:
    sets = {"calibrated": reliability_points(scored.labels, scored.scores)}
    if calibration is None:
        sets = {"as it answers": sets["calibrated"]}
    elif (calibration.scale, calibration.shift) != (1.0, 0.0):
        before = uncalibrated(scored.scores, calibration)
        sets["before calibration"] = reliability_points(scored.labels, before)
    return plots.reliability_plot(sets, "reliability", f"Reliability diagram of {name}")


def _cautions(rows: Sequence[CalibrationRow]) -> list[str]:
    few = [
        f"{row.name} ({count(row.figures.images)} images: {number(row.figures.low)} to {number(row.figures.high)})"
        for row in rows
        if 0 < row.figures.images < FEW_IMAGES
    ]
    if not few:
        return []
    return [
        f"With fewer than {FEW_IMAGES} images an ECE cannot be told more closely than within its interval: "
        f"{enumeration(few)}. Such a figure supports no claim."
    ]
