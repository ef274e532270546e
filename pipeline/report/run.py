"""The report of a run: one HTML file that needs nothing beside it, no network and no script.

Whatever comes from outside (names of sources, paths, messages, the configuration) is escaped; pictures are inside the
file; a content security policy forbids everything else.
"""

from datetime import UTC
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from components.metrics.scores import CALIBRATION_BINS
from pipeline.report import run_view as report_view
from pipeline.report import text as report_text
from pipeline.report.calibration_view import calibration_view
from pipeline.report.comparison import compare, training_curves
from pipeline.report.data import (
    CopiesReport,
    DataReport,
    Gate,
    ModelReport,
    NodeRun,
    RunReport,
    ScoreSet,
)
from pipeline.report.model_view import cautions, model_view, source_rows
from pipeline.report.open_set_view import open_set_view
from pipeline.report.plots import Plot
from pipeline.report.robustness_view import robustness_view, saved_alike_sentence
from serving import atomic

__all__ = [
    "CopiesReport",
    "DataReport",
    "Gate",
    "ModelReport",
    "NodeRun",
    "RunReport",
    "ScoreSet",
    "render",
    "write_report",
]

# So many cards of plots stand open; the rest is one click away, which keeps a page of a hundred sources usable.
CARDS_SHOWN = 12
# Metrics in the table of models: name in `metrics.summarise`, heading, explanation.
COLUMNS = (
    ("roc_auc", "ROC-AUC", "area under the ROC curve; below it, its 95 % interval"),
    ("average_precision", "AP", "average precision"),
    ("balanced_accuracy", "Bal. acc.", "balanced accuracy at the threshold"),
    ("tpr_at_fpr_1", "TPR at 1 %", "true-positive rate at 1 % false positives"),
    ("tpr_at_fpr_5", "TPR at 5 %", "true-positive rate at 5 % false positives"),
    ("eer", "EER", "equal error rate"),
    ("ece", "ECE", f"expected calibration error, {CALIBRATION_BINS} bins"),
)


def render(report: RunReport) -> str:
    """Returns the report as one HTML document.

    The same report gives the same text.

    Args:
        report: what is known of the run; anything may be missing, and the document says what is.

    Raises:
        ValueError: if scores, labels, sources or spectra have shapes or values that they cannot have.
    """
    created = report.created.replace(tzinfo=report.created.tzinfo or UTC).astimezone(UTC)
    views = [model_view(model, f"model-{index}") for index, model in enumerate(report.models)]
    robustness = robustness_view(report.copies, report.models)
    template = _environment().from_string(
        resources.files("pipeline.report").joinpath("templates/run.html").read_text(encoding="utf-8")
    )
    text = template.render(
        report=report,
        created=f"{created:%Y-%m-%d %H:%M} UTC",
        headline=report_view.headline(report),
        tiles=report_view.tiles(report, views),
        models=views,
        columns=COLUMNS,
        cautions=cautions(views),
        data=None if report.data is None else report_view.data_view(report.data),
        spectra=None if report.data is None else report_view.spectra_view(report.data),
        source_rows=source_rows(report.models),
        confusion_rows=report_view.confusion_rows(report),
        robustness=robustness,
        alike=robustness.saved_alike if robustness else None,
        alike_sentence=saved_alike_sentence(robustness, report.models),
        calibration=calibration_view(report.models),
        open_set=open_set_view(report.open_set),
        calibration_bins=CALIBRATION_BINS,
        comparison=compare(report.models, report.baselines, report.combined),
        baseline_curves=training_curves(report.baselines),
        nodes=report_view.node_rows(report.nodes),
        cards_shown=CARDS_SHOWN,
    )
    return text.lstrip()  # the template's macros leave empty lines before the document type


def write_report(report: RunReport, path: Path) -> None:
    """Writes the report, all of it or nothing: a reader never sees half a file.

    Args:
        report: what is known of the run.
        path: the file; its directory is made if need be, an existing file is replaced.

    Raises:
        ValueError: as `render`; nothing is written then.
        OSError: if the file cannot be written; an existing one is left as it was.
    """
    text = render(report)
    atomic.write_text(path, text, durable=True)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=report_text.number,
        quantity=report_text.quantity,
        share=report_text.share,
        count=report_text.count,
        duration=report_text.duration,
        breakable=_breakable,
        svg=_svg,
    )
    return environment


def _breakable(name: str) -> Markup:
    """Lets a long name break after its underscores."""
    return Markup("_<wbr>").join(str(name).split("_"))  # join escapes what it joins


def _svg(plot: Plot) -> Markup:
    return Markup(plot.svg)  # noqa: S704 - our own drawing: text from outside is in its legend, which is escaped
