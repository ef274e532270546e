"""From what a run left behind to its report: gathers, computes nothing that a component owns."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from components.assembler.assembly import read_assembly
from components.dataset.manifest import Manifest
from components.evaluator.confusion import verdict_confusion
from components.evaluator.eval_config import gates
from components.evaluator.evaluation import overall_metrics
from components.evaluator.parameters import GateParameters
from components.evaluator.report import write_report
from components.evaluator.report_data import DataReport, Gate, ModelReport, NodeRun, RunReport, ScoreSet
from components.trainer import artifacts
from pipeline.config import PRIMARY, PipelineConfig
from pipeline.dataset_view import mean_spectra, source_images
from pipeline.lineage import NodeRecord, OutputArtifact, read_run

_SAMPLE_IMAGES = 4  # of each source, shown in the report

_LIBRARIES = ("tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam", "numpy")


def write_run_report(config: PipelineConfig, report: RunReport) -> Path:
    """Writes `reports/<run>/report.html` under the output root and returns its path."""
    path = config.root / "reports" / (report.run_id or report.created.strftime("%Y%m%d-%H%M%S")) / "report.html"
    write_report(report, path)
    return path


def build_report(config: PipelineConfig, run_id: str, nodes: list[NodeRun], outcome: str, message: str) -> RunReport:
    """Gathers everything that is known of a run.

    Args:
        config: of the pipeline.
        run_id: TFX's identifier; empty if no node started.
        nodes: what happened to each node.
        outcome: "pushed", "stopped" or "failed".
        message: the cause, if nothing was pushed.

    Returns:
        The report. What a run that ended early did not produce is None or empty in it.
    """
    records = read_run(config.metadata_path, config.name, run_id)
    models = [
        report
        for name in (PRIMARY, *(source.name for source in config.sources))
        if (report := _model_report(config, records, name)) is not None
    ]
    pushed = _output(records, "Pusher", "pushed_model")
    data = _data_report(config, records)
    return RunReport(
        pipeline=config.name,
        run_id=run_id,
        created=datetime.now(UTC),
        outcome=outcome,
        message=message,
        servable=str(pushed.properties["pushed_destination"]) if pushed else None,
        nodes=nodes,
        data=data,
        models=models,
        confusion=_confusion(records),
        versions=_versions(),
        digests=_digests(config, records),
        configuration=config.to_yaml(),
    )


def _trainer_of(name: str) -> str:
    return "PrimaryTrainer" if name == PRIMARY else f"SecondaryTrainer.{name}"


def _output(records: Mapping[str, NodeRecord], node: str, key: str) -> OutputArtifact | None:
    return records[node].output(key) if node in records else None


def _model_report(config: PipelineConfig, records: Mapping[str, NodeRecord], name: str) -> ModelReport | None:
    model, run = (_output(records, _trainer_of(name), key) for key in ("model", "model_run"))
    if model is None or run is None:
        return None
    description = artifacts.read_description(model.path)
    history = artifacts.read_history(run.path)
    blessing, evaluation = (_output(records, f"Evaluator.{name}", key) for key in ("blessing", "evaluation"))
    metrics = overall_metrics(evaluation.path) if evaluation else {}
    limits = config.evaluation.detection if name == PRIMARY else config.evaluation.attribution
    return ModelReport(
        name=name,
        task=description.task,
        blessed=bool(blessing.properties.get("blessed")) if blessing else None,
        gates=_gates(limits, metrics) if evaluation else [],
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
    )


def _gates(limits: GateParameters, metrics: Mapping[str, float]) -> list[Gate]:
    return [
        Gate(metric, minimum, None, metrics.get(metric), metrics.get(metric, float("-inf")) >= minimum)
        for metric, minimum in gates(limits).items()
    ]


def _data_report(config: PipelineConfig, records: Mapping[str, NodeRecord]) -> DataReport | None:
    examples = _output(records, "ImportExampleGen", "examples")
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
    )


def _confusion(records: Mapping[str, NodeRecord]) -> tuple[list[str], list[str], np.ndarray] | None:
    """Asks the verdict rule about the test split, from the scores that trainers wrote."""
    assembled = _output(records, "Assembler", "model")
    if assembled is None:
        return None
    sources = list(read_assembly(assembled.path).heads)
    scored = {name: _test_scores(records, name) for name in (PRIMARY, *sources)}
    by_path = {name: dict(zip(scores.paths, scores.scores, strict=True)) for name, scores in scored.items()}
    primary = scored[PRIMARY]
    points = {name: _threshold(records, name) for name in scored}
    known = [index for index, path in enumerate(primary.paths) if all(path in by_path[name] for name in sources)]
    columns = [[by_path[name][primary.paths[index]] for name in sources] for index in known]
    from components.servable.verdict import verdicts  # TensorFlow comes with it

    decided = verdicts(
        primary.scores[known],
        np.array(columns, np.float32).reshape(len(known), len(sources)),
        points[PRIMARY],
        [points[name] for name in sources],
        sources,
    )
    return verdict_confusion(
        primary.sources[known].tolist(),
        [verdict.decode() for verdict in decided.numpy()],
        sources,
        primary.labels[known],
    )


def _required(records: Mapping[str, NodeRecord], node: str, key: str) -> Path:
    """Returns the folder of an output that must be there, because a later node ran."""
    artifact = _output(records, node, key)
    if artifact is None:
        raise ValueError(f"{node}: the metadata store holds no output '{key}', though later nodes ran.")
    return artifact.path


def _test_scores(records: Mapping[str, NodeRecord], name: str) -> artifacts.SplitScores:
    return artifacts.read_scores(_required(records, _trainer_of(name), "model_run"))["test"]


def _threshold(records: Mapping[str, NodeRecord], name: str) -> float:
    return artifacts.read_description(_required(records, _trainer_of(name), "model")).operating_point.threshold


def _versions() -> dict[str, str]:
    versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
    return {
        "generator-attribution": importlib.metadata.version("generator-attribution"),
        "python": platform.python_version(),
        **versions,
    }


def _digests(config: PipelineConfig, records: Mapping[str, NodeRecord]) -> dict[str, str]:
    from components.digest import source_digest

    digests = {
        "training code": source_digest("components.trainer.executor"),
        "preprocessing code": source_digest("components.features.preprocessing"),
    }
    examples = _output(records, "ImportExampleGen", "examples")
    if examples is not None:
        digests["examples"] = str(examples.properties.get("input_fingerprint", ""))
        path = config.dataset / f"span-{examples.properties.get('span', 0)}" / "manifest.json"
        if path.is_file():
            digests["dataset"] = str(json.loads(path.read_text()).get("digest", ""))
    return digests
