"""The report of a run as one HTML file."""

from datetime import UTC
from pathlib import Path

import numpy as np

from components.metrics.scores import CALIBRATION_BINS
from pipeline.report import run_view
from pipeline.report.calibration_view import calibration_view
from pipeline.report.comparison import baseline_trainings, compare
from pipeline.report.data import RunReport
from pipeline.report.model_view import COLUMNS, cautions, model_view, source_rows
from pipeline.report.open_set_view import open_set_view
from pipeline.report.page import render_page
from pipeline.report.robustness_view import robustness_view, saved_alike_sentence
from pipeline.report.verdicts import verdict_rows
from serving import atomic


def render(report: RunReport) -> str:
    """Return the report as one HTML document; the same report gives the same text.

    Args:
        report: Facts of the run. Anything may be missing, and the document says what is.

    Raises:
        ValueError: If scores, labels, sources or spectra have shapes or values that they cannot have.
    """
    created = report.created.replace(tzinfo=report.created.tzinfo or UTC).astimezone(UTC)
    views = [model_view(model, f"model-{index}") for index, model in enumerate(report.models)]
    robustness = robustness_view(report.copies, report.models)
    sources, verdicts, counts = report.confusion or ([], [], [])
    return render_page(
        "run.html",
        report=report,
        created=f"{created:%Y-%m-%d %H:%M} UTC",
        headline=run_view.headline(report),
        tiles=run_view.tiles(report, views, robustness.wild if robustness else None),
        models=views,
        columns=COLUMNS,
        cautions=cautions(views),
        data=None if report.data is None else run_view.data_view(report.data),
        spectra=None if report.data is None else run_view.spectra_view(report.data),
        source_rows=source_rows(report.models),
        confusion_rows=verdict_rows(sources, verdicts, np.asarray(counts).tolist()),
        robustness=robustness,
        alike=robustness.saved_alike if robustness else None,
        alike_sentence=saved_alike_sentence(robustness, report.models),
        calibration=calibration_view(report.models),
        open_set=open_set_view(report.open_set),
        calibration_bins=CALIBRATION_BINS,
        comparison=compare(report.models, report.baselines, report.combined),
        baseline_trainings=baseline_trainings(report.baselines),
        nodes=run_view.node_rows(report.nodes),
    )


def write_report(report: RunReport, path: Path) -> None:
    """Write the report as a whole or not at all: a reader never sees half a file.

    Args:
        report: Facts of the run.
        path: HTML file; its directory is created if it does not exist, and an existing file is replaced.

    Raises:
        ValueError: As `render`; nothing is written then.
        OSError: If the file cannot be written; an existing one stays as it was.
    """
    text = render(report)
    atomic.write_text(path, text, durable=True)
