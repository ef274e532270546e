"""Whole runs of the pipeline on this machine, from the configuration to the report."""

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.errors import StepRefusedError
from pipeline.config.schema import ConfigurationError, PipelineConfig
from pipeline.graph.pipeline import create_pipeline
from pipeline.metadata.store import create_store
from pipeline.report.data import NodeRun, RunReport
from pipeline.runs.inputs import resolve_run
from pipeline.runs.launches import Launches, LaunchListener, LaunchRecord, LaunchRules, NodeNotRunError
from pipeline.runs.report_parts import problem
from pipeline.runs.reporting import build_report, write_run_report
from pipeline.runs.runners import RUNNERS, Runner
from serving.names import shortened


@dataclass(frozen=True)
class RunOutcome:
    """The end of a run.

    Attributes:
        report: everything that is known of it.
        report_path: the HTML report.
        error: what ended the run early, None for a finished one.
        unwritten: why there is no file at `report_path`; empty if there is one.
    """

    report: RunReport
    report_path: Path
    error: BaseException | None
    unwritten: str = ""


def run_pipeline(config: PipelineConfig, runner: Runner, listener: LaunchListener) -> RunOutcome:
    """Runs the pipeline once and writes its report, whether it succeeded or not.

    Args:
        config: the validated configuration.
        runner: "beam" or "local".
        listener: told as nodes start and end.

    Returns:
        The outcome. A node's failure is an outcome, not an exception.

    Raises:
        ConfigurationError: if the dataset or the models of a warm start are not there, or another run works under the
            same output root.
    """
    config, earlier_models = resolve_run(config)
    with only_run(config.root):
        return run_alone(config, earlier_models, runner, listener)


def run_alone(
    config: PipelineConfig,
    earlier_models: Mapping[str, Path],
    runner: Runner,
    listener: LaunchListener,
    rules: LaunchRules | None = None,
) -> RunOutcome:
    """Runs the pipeline once, as `run_pipeline`; the caller holds the output root by `only_run`.

    Args:
        config: the configuration, its span written out.
        earlier_models: as `resolve_run` found them.
        runner: "beam" or "local".
        listener: told as nodes start and end.
        rules: what the run may do; None leaves it to TFX's cache.
    """
    create_store(config)
    pipeline = create_pipeline(config, earlier_models)
    node_ids = [node.id for node in pipeline.components]
    launches = Launches(listener, rules)
    record = launches.record
    error: BaseException | None = None
    try:
        RUNNERS[runner](launches).run(pipeline)
    except Exception as raised:
        error = record.failure[1] if record.failure else raised
    report = build_report(config, record.run_id, _node_runs(node_ids, record), _outcome(error), _message(record, error))
    try:
        return RunOutcome(report, write_run_report(config, report), error)
    except Exception as unwritten:  # must not take the place of what ended the run
        return RunOutcome(report, config.root / "reports", error, problem("report", unwritten))


def _node_runs(node_ids: list[str], record: LaunchRecord) -> list[NodeRun]:
    return [NodeRun(node, record.states.get(node, "not run"), record.seconds.get(node)) for node in node_ids]


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "pushed"
    return "stopped" if isinstance(error, StepRefusedError) else "failed"


def _message(record: LaunchRecord, error: BaseException | None) -> str:
    """Returns the readable cause: node and message, without the data that libraries put into theirs."""
    if error is None:
        return ""
    node = f"{record.failure[0]}: " if record.failure else ""
    if isinstance(error, StepRefusedError):
        return shortened(f"{node}{error}")
    if isinstance(error, NodeNotRunError):
        return shortened(str(error))
    return shortened(f"{node}{type(error).__name__}: {error}")


@contextlib.contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Holds the output root for one run; the lock goes with the process, however it ends.

    Raises:
        ConfigurationError: if another run holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"output_root: another run works under {root}. Wait for it, or set another output_root."
            ) from error
        yield
