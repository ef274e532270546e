"""From what a run left behind to its report: gathers, computes nothing that a component owns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from components.dataset.confounds import FILE_NAME as CONFOUNDS_FILE
from components.dataset.manifest import Manifest
from components.evaluator.evaluation import overall_metrics
from components.examples.names import group_of
from components.leave_one_out.artifacts import read_evaluation
from components.metrics.confusion import verdict_confusion
from components.metrics.open_set_turns import OpenSetEvaluation
from components.servable.assembly import read_assembly
from components.servable.card_file import CARD_FILE
from components.training import artifacts
from pipeline.config.nodes import (
    ASSEMBLER,
    EXAMPLE_GEN,
    EXAMPLE_VALIDATOR,
    LEAVE_ONE_OUT,
    PRIMARY,
    PUSHER,
    baseline_trainer,
    evaluator_of,
    trainer_of,
)
from pipeline.config.schema import PipelineConfig
from pipeline.graph.selection import baseline_runs, baseline_sources
from pipeline.metadata.lineage import NodeRecord, OutputArtifact, read_run
from pipeline.metadata.store import open_store
from pipeline.model_card.describe import describe_servable
from pipeline.model_card.rendering import as_html
from pipeline.model_card.sections import card_sections
from pipeline.report.data import (
    BaselineReport,
    CombinedHeads,
    DataReport,
    ModelReport,
    NodeRun,
    RunReport,
    ScoreSet,
)
from pipeline.report.model_view import MAIN_SPLIT
from pipeline.runs.copies import copies_reports, judged_gates
from pipeline.runs.images import mean_spectra, source_images
from pipeline.runs.provenance import digests, library_versions
from pipeline.runs.report_parts import Parts, write_what_can_be_shown
from serving import atomic, contract
from serving.servable.acceptance import Acceptance, read_acceptance

_CARD = "model_card.html"
_SAMPLE_IMAGES = 4  # of each source, shown in the report


def write_run_report(config: PipelineConfig, report: RunReport) -> Path:
    """Writes `reports/<run>/report.html` under the output root, the model card beside it, and returns its path.

    What cannot be shown is left out and named in the report.

    Raises:
        OSError: if nothing can be written there.
    """
    path = config.root / "reports" / (report.run_id or report.created.strftime("%Y%m%d-%H%M%S")) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    if report.model_card:
        parts = Parts()
        card = parts.make("model card", None, _write_card, config, report, path.with_name(report.model_card))
        report = replace(report, model_card=card, missing=[*report.missing, *parts.missing])
    write_what_can_be_shown(report, path)
    return path


def _write_card(config: PipelineConfig, report: RunReport, path: Path) -> str | None:
    described = describe_servable(Path(str(report.servable)), config)
    atomic.write_text(path, as_html(described.title, card_sections(described)))
    return path.name


def build_report(config: PipelineConfig, run_id: str, nodes: list[NodeRun], outcome: str, message: str) -> RunReport:
    """Gathers everything that is known of a run, whatever state it left behind.

    Args:
        config: of the pipeline.
        run_id: TFX's identifier; empty if no node started.
        nodes: what happened to each node.
        outcome: "pushed", "stopped" or "failed".
        message: the cause, if the run did not go through.

    Returns:
        The report. What a run that ended early did not produce is None or empty in it; what cannot be read is that
        too, and stands in `missing`.
    """
    parts = Parts()
    records = parts.make("records of the run", {}, _records, config, run_id)
    names = (PRIMARY, *(source.name for source in config.sources))
    found = [parts.make(f"model {name}", None, model_report, config, records, name) for name in names]
    models = [model for model in found if model is not None]
    pushed = _output(records, PUSHER, "pushed_model")
    servable = str(pushed.properties["pushed_destination"]) if pushed else None
    combined = parts.make("heads combined", None, _combined, config, records) if config.baselines else None
    return RunReport(
        pipeline=config.name,
        run_id=run_id,
        created=datetime.now(UTC),
        outcome=outcome,
        message=message,
        servable=servable,
        nodes=nodes,
        data=parts.make("data", None, _data_report, config, records),
        models=models,
        confusion=parts.make("verdicts", None, _confusion, config, records),
        versions=parts.make("versions of libraries", {}, library_versions),
        digests=parts.make("digests", {}, lambda: digests(config, _output(records, EXAMPLE_GEN, "examples"))),
        configuration=config.to_yaml(),
        baselines=parts.make("baselines", [], _baselines, config, records),
        combined=combined,
        copies=parts.make("perturbed copies", [], copies_reports, config, records),
        open_set=parts.make("unknown generators", None, _open_set, records),
        model_card=_CARD if servable and (Path(servable) / CARD_FILE).is_file() else None,
        missing=parts.missing,
        acceptance=parts.make("acceptance threshold", None, _acceptance, records),
    )


def _records(config: PipelineConfig, run_id: str) -> Mapping[str, NodeRecord]:
    return read_run(open_store(config), config.name, run_id)


def _output(records: Mapping[str, NodeRecord], node: str, key: str) -> OutputArtifact | None:
    return records[node].output(key) if node in records else None


def model_report(config: PipelineConfig, records: Mapping[str, NodeRecord], name: str) -> ModelReport | None:
    """Gathers what is known of one model of a run.

    Args:
        config: of the pipeline.
        records: of the run's nodes.
        name: "primary" or a source.

    Returns:
        The report, None if the model was not trained.
    """
    model, run = (_output(records, trainer_of(name), key) for key in ("model", "model_run"))
    if model is None or run is None:
        return None
    description = artifacts.read_description(model.path)
    history = artifacts.read_history(run.path)
    evaluator = evaluator_of(name)
    blessing, evaluation = (_output(records, evaluator, key) for key in ("blessing", "evaluation"))
    metrics = overall_metrics(evaluation.path) if evaluation else {}
    limits = config.evaluation.detection if name == PRIMARY else config.evaluation.attribution
    return ModelReport(
        name=name,
        task=description.task,
        blessed=bool(blessing.properties.get("blessed")) if blessing else None,
        gates=judged_gates(limits, metrics) if evaluation else [],
        metrics=metrics,
        threshold=description.operating_point.threshold,
        threshold_rule=f"{description.operating_point.rule} on split eval: {description.operating_point.note}",
        history={key: values for key, values in history.items() if isinstance(values, list)},
        parameters=description.parameters,
        training_seconds=description.training_seconds,
        scores=[
            ScoreSet(split, scored.labels, scored.scores, scored.sources)
            for split, scored in sorted(artifacts.read_scores(run.path).items(), reverse=True)
        ],
        calibration=description.calibration,
    )


def _data_report(config: PipelineConfig, records: Mapping[str, NodeRecord]) -> DataReport | None:
    examples = _output(records, EXAMPLE_GEN, "examples")
    if examples is None:
        return None
    span = int(examples.properties.get("span", 0))
    path = config.dataset / f"span-{span}" / "manifest.json"
    if not path.is_file():
        return None
    manifest = Manifest.load(path)
    images = source_images(examples.path)
    return DataReport(
        span=span,
        counts=manifest.counts,
        labels=manifest.labels,
        rejected=manifest.rejected_by_reason,
        rejected_examples=[(item.path, item.reason, item.detail) for item in manifest.rejected[:50]],
        duplicates=len(manifest.duplicates),
        formats=manifest.formats,
        samples={source: encoded[:_SAMPLE_IMAGES] for source, encoded in images.items()},
        spectra=mean_spectra(images, config.input.size),
        warnings=list(dict.fromkeys([*manifest.warnings, *_confounds(records)])),
    )


def _confounds(records: Mapping[str, NodeRecord]) -> list[str]:
    """Returns what the check on data found to tell real from fake beside the picture."""
    checked = _output(records, EXAMPLE_VALIDATOR, "anomalies")
    path = None if checked is None else checked.path / CONFOUNDS_FILE
    return json.loads(path.read_text())["warnings"] if path is not None and path.is_file() else []


@dataclass(frozen=True)
class _Decided:
    """What the verdict rule says of the test split, image by image.

    Attributes:
        labels: int (count,), 0 real, 1 fake.
        groups: str (count,): source of each image, or its architecture where heads stand for architectures.
        verdicts: str (count,).
        probabilities: float32 (count, 1 + heads): the primary module's, then each head's.
    """

    labels: np.ndarray
    groups: np.ndarray
    verdicts: np.ndarray
    probabilities: np.ndarray


def _decided(config: PipelineConfig, records: Mapping[str, NodeRecord], sources: list[str]) -> _Decided:
    """Asks the verdict rule about the test split, from the scores that trainers wrote.

    Heads of other spans were scored on other images: those that not all models were asked about are left out.
    """
    scored = {name: _test_scores(records, name) for name in (PRIMARY, *sources)}
    by_path = {name: dict(zip(scores.paths, scores.scores, strict=True)) for name, scores in scored.items()}
    primary = scored[PRIMARY]
    points = {name: _threshold(records, name) for name in scored}
    known = [index for index, path in enumerate(primary.paths) if all(path in by_path[name] for name in sources)]
    columns = [[by_path[name][primary.paths[index]] for name in sources] for index in known]
    heads = np.array(columns, np.float32).reshape(len(known), len(sources))
    from components.servable.verdict import verdicts  # TensorFlow comes with it

    band = config.verdict.uncertain_band
    thresholds = [points[name] for name in sources]
    decided = verdicts(
        primary.scores[known], heads, points[PRIMARY], thresholds, sources, band, acceptance=_acceptance(records)
    )
    return _Decided(
        primary.labels[known],
        np.array([group_of(source, config.attribution_level) for source in primary.sources[known].tolist()]),
        np.array([verdict.decode() for verdict in decided.numpy()]),
        np.column_stack([primary.scores[known], heads]),
    )


def _acceptance(records: Mapping[str, NodeRecord]) -> Acceptance | None:
    """Return the acceptance threshold of the assembled servable; None if it has none."""
    assembled = _output(records, ASSEMBLER, "model")
    if assembled is None:
        return None
    return read_acceptance(assembled.path / artifacts.SERVING_FOLDER)


def _confusion(
    config: PipelineConfig, records: Mapping[str, NodeRecord]
) -> tuple[list[str], list[str], np.ndarray] | None:
    """Counts the verdicts of the assembled servable; None if it has heads that were taken and never scored here."""
    assembled = _output(records, ASSEMBLER, "model")
    if assembled is None:
        return None
    sources = list(read_assembly(assembled.path).heads)
    if config.primary.takes_module and not {source.name for source in config.sources}.issuperset(sources):
        return None
    decided = _decided(config, records, sources)
    with_uncertain = config.verdict.uncertain_band is not None
    return verdict_confusion(
        decided.groups.tolist(), decided.verdicts.tolist(), sources, decided.labels, with_uncertain
    )


def _open_set(records: Mapping[str, NodeRecord]) -> OpenSetEvaluation | None:
    evaluation = _output(records, LEAVE_ONE_OUT, "evaluation")
    return read_evaluation(evaluation.path) if evaluation else None


def _baselines(config: PipelineConfig, records: Mapping[str, NodeRecord]) -> list[BaselineReport]:
    reports = []
    for baseline, source in baseline_runs(config):
        trainer = baseline_trainer(baseline.architecture, baseline.task, source)
        model, run = (_output(records, trainer, key) for key in ("model", "model_run"))
        if model is None or run is None:
            continue
        description = artifacts.read_description(model.path)
        scored = artifacts.read_scores(run.path)[MAIN_SPLIT]
        history = artifacts.read_history(run.path)
        reports.append(
            BaselineReport(
                architecture=baseline.architecture,
                task=baseline.task,
                source=source,
                classes=description.classes,
                images_left_out=description.images_left_out.get(MAIN_SPLIT, 0),
                threshold=None if description.classes else description.operating_point.threshold,
                parameters=description.parameters,
                training_seconds=description.training_seconds,
                history={key: values for key, values in history.items() if isinstance(values, list)},
                scores=ScoreSet(MAIN_SPLIT, scored.labels, scored.scores, scored.sources),
            )
        )
    return reports


def _combined(config: PipelineConfig, records: Mapping[str, NodeRecord]) -> CombinedHeads | None:
    """Lets all heads, blessed or not, decide together: what a softmax over the same classes is compared with."""
    sources = list(baseline_sources(config))
    if not sources or any(_output(records, trainer_of(name), "model_run") is None for name in (PRIMARY, *sources)):
        return None
    decided = _decided(config, records, sources)
    classes = (contract.VERDICT_REAL, *sources)
    named = np.where(decided.labels == contract.REAL_LABEL, contract.VERDICT_REAL, decided.groups)
    kept = np.isin(named, classes)
    scores = np.column_stack([1.0 - decided.probabilities[:, 0], decided.probabilities[:, 1:]])
    return CombinedHeads(
        classes,
        np.array([classes.index(name) for name in named[kept].tolist()], np.int64),
        decided.verdicts[kept],
        scores[kept],
        int((~kept).sum()),
    )


def _required(records: Mapping[str, NodeRecord], node: str, key: str) -> Path:
    """Returns the folder of an output that must be there, because a later node ran."""
    artifact = _output(records, node, key)
    if artifact is None:
        raise ValueError(f"{node}: the metadata store holds no output '{key}', though later nodes ran.")
    return artifact.path


def _test_scores(records: Mapping[str, NodeRecord], name: str) -> artifacts.SplitScores:
    return artifacts.read_scores(_required(records, trainer_of(name), "model_run"))[MAIN_SPLIT]


def _threshold(records: Mapping[str, NodeRecord], name: str) -> float:
    return artifacts.read_description(_required(records, trainer_of(name), "model")).operating_point.threshold
