"""Metrics, curves and pages where Kubeflow's own user interface shows them.

Kubeflow hands a container a JSON text (the executor input) that says under which address each declared output belongs,
and reads what is known of them from a file that it names. Source: kfp.dsl.executor of the KFP SDK 2.16.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from kfp import dsl

from components.metrics.scores import roc_curve
from pipeline.cluster.plan import Plan
from pipeline.config.nodes import evaluated_model
from pipeline.metadata.lineage import read_run
from pipeline.metadata.store import open_store
from pipeline.report.data import RunReport, ScoreSet
from pipeline.report.model_view import MAIN_SPLIT
from pipeline.runs.reporting import model_report

_Artifact = TypeVar("_Artifact", bound=dsl.Artifact)

METRICS, ROC, PAGE, CONFUSION = "metrics", "roc", "page", "confusion"
_POINTS = 200  # of a curve: what the user interface can draw, and the metadata store hold


def has_evaluation(node: str) -> bool:
    """Whether a node's task declares metrics and a curve."""
    return evaluated_model(node) is not None


class Outputs:
    """The outputs that Kubeflow declares for one container.

    Args:
        executor_input: the JSON text that it hands over.
    """

    def __init__(self, executor_input: str) -> None:
        self._declared: dict[str, Any] = json.loads(executor_input)["outputs"]
        self._written: dict[str, dsl.Artifact] = {}

    def artifact(self, name: str, kind: type[_Artifact]) -> _Artifact:
        """Returns a declared output, to be filled.

        Raises:
            KeyError: if it is not declared.
        """
        (declared,) = self._declared["artifacts"][name]["artifacts"]
        # Some drivers give an output neither name nor metadata.
        given_name, metadata = declared.get("name") or name, dict(declared.get("metadata") or {})
        made = kind(name=given_name, uri=declared["uri"], metadata=metadata)
        self._written[name] = made
        return made

    def write(self) -> None:
        """Tells Kubeflow what was filled."""
        artifacts = {
            name: {"artifacts": [{"name": made.name, "uri": made.uri, "metadata": made.metadata}]}
            for name, made in self._written.items()
        }
        path = Path(self._declared["outputFile"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"artifacts": artifacts}))


def write_evaluation(plan: Plan, node: str, executor_input: str) -> None:
    """Writes the figures of the model that a node evaluated: every metric, and the ROC curve on the test split.

    Args:
        plan: of the run.
        node: an Evaluator.
        executor_input: as Kubeflow hands it over.
    """
    records = read_run(open_store(plan.config), plan.config.name, plan.run_id)
    report = model_report(plan.config, records, evaluated_model(node) or node)
    outputs = Outputs(executor_input)
    metrics, roc = outputs.artifact(METRICS, dsl.Metrics), outputs.artifact(ROC, dsl.ClassificationMetrics)
    if report is not None:
        for name, value in report.metrics.items():
            metrics.log_metric(name, value)
        metrics.log_metric("blessed", float(bool(report.blessed)))
        for scores in report.scores:
            if scores.split == MAIN_SPLIT and 0 < scores.labels.sum() < scores.labels.size:
                roc.log_roc_curve(*_curve(scores))
    outputs.write()


def _curve(scores: ScoreSet) -> tuple[list[float], list[float], list[float]]:
    """Returns false and true positive rates and thresholds, in no more points than are drawn."""
    false_positive, true_positive, thresholds = roc_curve(scores.labels, scores.scores)
    every = max(1, len(thresholds) // _POINTS)
    kept = sorted({*range(0, len(thresholds), every), len(thresholds) - 1})
    # The curve starts above every score, at infinity, which JSON does not have; no probability exceeds 1.
    columns = (false_positive, true_positive, np.minimum(thresholds, 1.0))
    return tuple(column[kept].tolist() for column in columns)


def write_report(report: RunReport, path: Path, executor_input: str) -> None:
    """Writes the report as a page, the verdicts as a confusion matrix, and how the run ended.

    Args:
        report: of the run.
        path: its page.
        executor_input: as Kubeflow hands it over.
    """
    outputs = Outputs(executor_input)
    page = outputs.artifact(PAGE, dsl.HTML)
    Path(page.path).parent.mkdir(parents=True, exist_ok=True)
    Path(page.path).write_bytes(path.read_bytes())
    page.metadata["report"] = str(path)
    confusion = outputs.artifact(CONFUSION, dsl.ClassificationMetrics)
    if report.confusion is not None:
        rows, columns, counts = report.confusion
        # Kubeflow's matrix is square: rows and columns that the other side lacks are added, empty.
        names = list(dict.fromkeys([*columns, *rows]))
        matrix = [[0] * len(names) for _ in names]
        for row, values in zip(rows, counts.tolist(), strict=True):
            for column, value in zip(columns, values, strict=True):
                matrix[names.index(row)][names.index(column)] = int(value)
        confusion.log_confusion_matrix(names, matrix)
    metrics = outputs.artifact(METRICS, dsl.Metrics)
    metrics.metadata.update(
        outcome=report.outcome,
        cause=report.message,
        servable=report.servable or "",
        report=str(path),
        blessed_models=sum(bool(model.blessed) for model in report.models),
        models=len(report.models),
    )
    outputs.write()
