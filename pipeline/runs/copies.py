"""From what a run left behind of perturbed copies to its report: gathers, computes nothing that a component owns."""

import json
from collections.abc import Mapping

import numpy as np

from components.dataset.perturbed_copies import CLEAN, jpeg_quality
from components.evaluator.eval_config import gates
from components.evaluator.evaluation import metrics_by_value
from components.evaluator.parameters import GateParameters, PerturbationGateParameters
from components.examples import names
from components.perturbed_examples.executor import TOO_SMALL
from components.robustness_scores.copy_scores import CopyScores, read_copy_scores
from pipeline.config.nodes import PERTURBED_EXAMPLES, PRIMARY, ROBUSTNESS_EVALUATOR, ROBUSTNESS_SCORES
from pipeline.config.schema import PipelineConfig
from pipeline.metadata.lineage import NodeRecord
from pipeline.report.data import CopiesReport, Gate, ScoreSet


def copies_reports(config: PipelineConfig, records: Mapping[str, NodeRecord]) -> list[CopiesReport]:
    """Gathers what is known of each kind of perturbed copies, the images as they were first.

    Args:
        config: of the pipeline.
        records: of the run's nodes.

    Returns:
        One a kind; none if no copies were judged. Without a servable they hold what the Evaluator measured of the
        primary module, and no scores.
    """
    made, evaluation, scored = (
        records[node].output(key) if node in records else None
        for node, key in (
            (PERTURBED_EXAMPLES, "perturbed"),
            (ROBUSTNESS_EVALUATOR, "evaluation"),
            (ROBUSTNESS_SCORES, "scores"),
        )
    )
    if made is None or evaluation is None:
        return []
    left_out = json.loads(made.properties.get(TOO_SMALL, "{}"))
    measured = metrics_by_value(evaluation.path, names.PERTURBATION)
    scores = read_copy_scores(scored.path) if scored else None
    reports = []
    for name in (CLEAN, *config.evaluation.perturbations):
        metrics = measured.get(name, {})
        limits = config.evaluation.perturbations.get(name, PerturbationGateParameters())
        reports.append(
            CopiesReport(
                perturbation=name,
                jpeg_quality=jpeg_quality(name),
                images=int(metrics.get("example_count", 0)),
                left_out=int(left_out.get(name, 0)),
                metrics=metrics,
                gates=judged_gates(limits, metrics),
                scores=scores_of_copies(config, scores, name) if scores else {},
            )
        )
    return reports


def scores_of_copies(config: PipelineConfig, scores: CopyScores, perturbation: str) -> dict[str, ScoreSet]:
    """Returns the scores of every served model on one kind of copies; none if there are no such copies."""
    own = scores.perturbation == perturbation
    if not own.any():
        return {}
    split, sources = config.evaluation.split, scores.source[own]
    groups = np.array([names.group_of(source, config.attribution_level) for source in sources.tolist()])
    sets = {PRIMARY: ScoreSet(split, scores.label[own], scores.fake_probability[own], sources)}
    for column, head in enumerate(scores.heads.tolist()):
        labels = (groups == head).astype(np.int64)
        sets[head] = ScoreSet(split, labels, scores.source_probabilities[own, column], sources)
    return sets


def judged_gates(limits: GateParameters | PerturbationGateParameters, metrics: Mapping[str, float]) -> list[Gate]:
    """Returns the conditions that are set, each with what was measured; what was not measured is not reached."""
    return [
        Gate(metric, minimum, None, metrics.get(metric), metrics.get(metric, float("-inf")) >= minimum)
        for metric, minimum in gates(limits).items()
    ]
