"""Adding and retiring a source: a run of the pipeline on the primary module that is served, then the registry.

The span of that primary module is pinned, so that the run finds it, and every other head, in TFX's cache, whatever was
prepared since. What a change may do is held by `rules.ChangeRules`, not hoped for. The output root is held from the
first look at the registry to the last write.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.examples.names import group_of
from components.leave_one_out.parameters import OpenSetParameters
from pipeline.config.data import SourceParameters
from pipeline.config.nodes import PRIMARY_TRAINER
from pipeline.config.schema import ConfigurationError, PipelineConfig, validated
from pipeline.metadata.store import open_store
from pipeline.report.data import ModelReport
from pipeline.runs.dataset_check import require_dataset
from pipeline.runs.inputs import resolve_run
from pipeline.runs.launches import LaunchListener
from pipeline.runs.local import RunOutcome, only_run, run_alone
from pipeline.runs.runners import Runner
from pipeline.sources.images import span_for, spans_of
from pipeline.sources.registry import Registry, read_registry, write_registry
from pipeline.sources.rules import ChangeRules
from pipeline.sources.served import ServedPrimary, served_primary
from pipeline.sources.versions import newest_version

Progress = Callable[[int, int, str], None]

_MODELS_CONFIG = "models.config"


@dataclass(frozen=True)
class Change:
    """What adding or retiring a source came to.

    Attributes:
        action: "added" or "retired".
        source: its name.
        span: the span that its head was trained on; None for a retired one.
        primary_span: the span of the primary module, which was pinned.
        before: the version that was newest before.
        after: the version that is newest now.
        executed: nodes that ran.
        cached: nodes that came from the cache.
        failed: nodes that failed.
        roc_auc: of the new head on the test split; None where it was not measured.
        error: why it was not done; "" if it was.
        report: the run's report.
        notes: what whoever serves the versions ought to know.
    """

    action: str
    source: str
    span: int | None
    primary_span: int
    before: int
    after: int
    executed: tuple[str, ...]
    cached: tuple[str, ...]
    failed: tuple[str, ...]
    roc_auc: float | None
    error: str
    report: Path
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the source was added or retired."""
        return not self.error

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return {**vars(self), "done": self.done, "report": str(self.report)}

    def lines(self) -> list[str]:
        """Returns what people are told."""
        figure = "" if self.roc_auc is None else f", ROC-AUC {self.roc_auc:.3f} on the test split"
        span = "" if self.span is None else f" (span {self.span}{figure})"
        outcome = f"{self.action if self.done else f'not {self.action}'}  {self.source}{span}"
        served = f"version {self.after}, was {self.before}" if self.after != self.before else f"version {self.after}"
        return [
            outcome,
            f"executed  {', '.join(self.executed) or 'nothing'}",
            f"cached    {len(self.cached)} nodes, the primary module of span {self.primary_span} among them"
            if PRIMARY_TRAINER in self.cached
            else f"cached    {len(self.cached)} nodes",
            f"newest    {served}",
            f"report    {self.report}",
            *self.notes,
        ]


def add_source(config: PipelineConfig, name: str, span: int | None, runner: Runner, listener: LaunchListener) -> Change:
    """Trains the head of one source on the served primary module, and has it served beside the others.

    Args:
        config: as it was read from its file.
        name: the source.
        span: that its head is trained on; None takes the one that a retired source had, else the newest that holds it.
        runner: "beam" or "local".
        listener: told as nodes start and end.

    Returns:
        What it came to. If the head was not blessed, or a node failed, what is served stays and nothing is registered.

    Raises:
        ConfigurationError: before any work: if the source is there already, cannot be called so, is in no span or has
            too few images, or nothing is served yet.
        StepRefusedError: if the metadata store does not know the primary module that is served.
    """
    validated(SourceParameters, {"name": name}, f"source '{name}': ")
    with only_run(config.root):
        registry = read_registry(config)
        _require_new(registry.apply(config), name)
        primary = served_primary(config, open_store(config))
        own_span = _span_of_new_head(config, registry, primary, name, span)
        changed = registry.with_added(name, own_span)
        return _run(config, changed, primary, name, own_span, runner, listener)


def retire_source(config: PipelineConfig, name: str, runner: Runner, listener: LaunchListener) -> Change:
    """Assembles what is served without the head of one source. Its artifacts stay, so that it can come back.

    Args:
        config: as it was read from its file.
        name: the source.
        runner: "beam" or "local".
        listener: told as nodes start and end.

    Returns:
        What it came to. If a node failed, what is served stays and nothing is registered.

    Raises:
        ConfigurationError: before any work: if there is no such source, it is the last one, or nothing is served yet.
        StepRefusedError: if the metadata store does not know the primary module that is served.
    """
    with only_run(config.root):
        registry = read_registry(config)
        names = [source.name for source in registry.apply(config).sources]
        if name not in names:
            gone = registry.entries.get(name)
            what = f"was retired already, {gone.retired}" if gone and gone.retired else "is none of this pipeline"
            raise ConfigurationError(f"source '{name}' {what}. Sources there: {', '.join(names) or 'none'}.")
        if names == [name]:
            raise ConfigurationError(
                f"source '{name}' is the last one: without it nothing would be attributed. Add another one first."
            )
        primary = served_primary(config, open_store(config))
        return _run(config, registry.with_retired(name), primary, name, None, runner, listener)


def prepare_images(config: PipelineConfig, name: str, images: Path, progress: Progress | None = None) -> int:
    """Prepares a new span from an image tree, with the parameters of the newest span, and returns its number.

    Args:
        config: of the pipeline.
        name: the source that it must hold.
        images: image tree: the source's images beside those of the others, which its head must be told from.
        progress: called with (done, total, description).

    Raises:
        ConfigurationError: before any work: if the source is there already, or the tree does not hold it.
        ValueError: as `prepare`.
    """
    from components.dataset.manifest import Manifest
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    _require_new(read_registry(config).apply(config), name)
    if _configured(config, name) is not None:
        raise ConfigurationError(
            f"images: '{name}' is a source of the configuration, which says what it is trained on. Leave it out."
        )
    folders = images / "fake"
    there = sorted(path.name for path in folders.iterdir() if path.is_dir()) if folders.is_dir() else []
    if name not in {group_of(source, config.attribution_level) for source in there}:
        raise ConfigurationError(
            f"images: {images} holds no folder fake/{name}; there are: {', '.join(there) or 'none'}. Put its images "
            "there, beside those of the other sources and the real ones."
        )
    spans = spans_of(config.dataset)
    if not spans:
        raise ConfigurationError(f"data.dataset: {config.data.dataset} has no span. Make one with genattr prepare.")
    given = Manifest.load(config.dataset / f"span-{spans[-1]}").parameters
    parameters = PreparationParameters.model_validate({**given, "span": spans[-1] + 1})
    prepare(images, config.dataset, parameters, progress=progress)
    return spans[-1] + 1


def _require_new(config: PipelineConfig, name: str) -> None:
    for source in config.sources:
        if source.name == name:
            where = "" if source.span is None else f", with span {source.span}"
            raise ConfigurationError(
                f"source '{name}' is there already{where}. To train its head on other images, retire it first."
            )


def _span_of_new_head(
    config: PipelineConfig, registry: Registry, primary: ServedPrimary, name: str, asked: int | None
) -> int:
    """Returns the span that the head of a new or of a retired source is trained on.

    Raises:
        ConfigurationError: as `span_for`, or if another span is asked for than the configuration gives the source.
    """
    configured = _configured(config, name)
    if configured is None:
        before = registry.entries.get(name)
        return span_for(config, name, before.span if before and asked is None else asked)
    span = primary.span if configured.span is None else configured.span
    if asked not in (None, span):
        raise ConfigurationError(
            f"span: '{name}' is a source of the configuration, which has it trained on span {span}, got {asked}. "
            "Leave it out, or change the configuration."
        )
    return span


def _configured(config: PipelineConfig, name: str) -> SourceParameters | None:
    return next((source for source in config.sources if source.name == name), None)


def _run(
    config: PipelineConfig,
    registry: Registry,
    primary: ServedPrimary,
    name: str,
    span: int | None,
    runner: Runner,
    listener: LaunchListener,
) -> Change:
    """Runs the pipeline with the changed sources; registers them once what came of it is served."""
    pinned = config.model_copy(
        # Baselines are not served, and one of them would be trained anew by every source; so would the heads of the
        # leave-one-out evaluation, which is for the next whole run.
        update={
            "data": config.data.model_copy(update={"span": primary.span}),
            "baselines": (),
            "open_set": OpenSetParameters(leave_one_out=False),
        }
    )
    asked = registry.apply(pinned)
    require_dataset(asked)
    resolved, earlier_models = resolve_run(asked)
    added = name if span is not None else None
    outcome = run_alone(resolved, earlier_models, runner, listener, ChangeRules(resolved, added))
    error = _why_not(outcome, added)
    if not error:
        write_registry(config, registry)
    return _change(config, outcome, primary, name, span, error)


def _why_not(outcome: RunOutcome, added: str | None) -> str:
    """Returns why a run did not do what it was for; "" if it did."""
    head = _head(outcome, added)
    if outcome.error is not None:
        gates = [gate for gate in head.gates if not gate.passed] if head else []
        missed = [f"{gate.metric} is {gate.value}, must be at least {gate.minimum}" for gate in gates]
        return " ".join([outcome.report.message, *(f"Missed: {text}." for text in missed)])
    if added is not None and (head is None or not head.blessed):
        return f"the head of '{added}' is not blessed; see the report."
    return ""


def _head(outcome: RunOutcome, added: str | None) -> ModelReport | None:
    return next((model for model in outcome.report.models if model.name == added), None)


def _change(
    config: PipelineConfig, outcome: RunOutcome, primary: ServedPrimary, name: str, span: int | None, error: str
) -> Change:
    nodes = outcome.report.nodes
    head = _head(outcome, name)
    newest = newest_version(config)
    executed, cached, failed = (
        tuple(node.name for node in nodes if node.state == state) for state in ("executed", "cached", "failed")
    )
    return Change(
        "added" if span is not None else "retired",
        name,
        span,
        primary.span,
        primary.version,
        newest.number if newest else primary.version,
        executed,
        cached,
        failed,
        head.metrics.get("roc_auc") if head and span is not None else None,
        error,
        outcome.report_path,
        () if error else _notes(config, span),
    )


def _notes(config: PipelineConfig, span: int | None) -> tuple[str, ...]:
    notes = []
    serving = config.serving_base.parent
    if (serving / _MODELS_CONFIG).is_file():
        notes.append(f"{serving / _MODELS_CONFIG} says which versions are served: genattr promote {serving} newest")
    if span is None:
        notes.append("Earlier versions still have this head: a rollback to one of them brings it back.")
    return tuple(notes)
