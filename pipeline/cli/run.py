"""`genattr run`: runs the pipeline on this machine, with a line for each node and a table of models at the end."""

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command, add_configuration
from pipeline.cli.output import DONE, FAILED
from pipeline.startup import import_tensorflow, importing
from serving.names import safe_text

if TYPE_CHECKING:
    from pipeline.runs.local import RunOutcome

_NODE_WIDTH = 44
_LINE_START = "\r\x1b[2K"  # back to the start of the line, which is emptied

_MARKS = {"executed": "[green]executed[/]", "cached": "[cyan]cached[/]", "failed": "[red]failed[/]"}


def add_run(commands: Commands) -> None:
    """Add `genattr run`."""
    parser = add_command(
        commands,
        "run",
        "run the pipeline on this machine, from a dataset to a pushed servable",
        "genattr run configs/demo.yaml --set primary.epochs=20",
        _run,
    )
    add_configuration(parser)
    add_runner(parser)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def add_runner(parser: argparse.ArgumentParser) -> None:
    """Add the choice of TFX's runner."""
    parser.add_argument(
        "--runner",
        choices=("beam", "local"),
        default="beam",
        help="BeamDagRunner (default) or LocalDagRunner; the result is the same",
    )


def _run(options: argparse.Namespace) -> int:
    """Run the pipeline. Exit code 1 if nothing was pushed because of an error."""
    from pipeline.config.schema import load_config
    from pipeline.runs.dataset_check import require_dataset
    from pipeline.sources.registry import with_registered_sources

    config = with_registered_sources(load_config(options.config, options.overrides))
    require_dataset(config)
    listener = RunConsole(silent=options.json)
    listener.loading()
    import_tensorflow(options.verbose)
    with importing():
        from pipeline.runs.local import run_pipeline

    with listener.watching_epochs():
        outcome = run_pipeline(config, options.runner, listener)
    if options.json:
        output.print_json(outcome_values(outcome))
    else:
        _print_outcome(outcome)
    if outcome.error is None:
        return FAILED if outcome.unwritten else DONE
    if options.verbose:
        raise outcome.error
    return FAILED


class RunConsole:
    """Display of a run while it goes on: a line for each node.

    Args:
        silent: Print nothing, because machines read standard output.
    """

    def __init__(self, silent: bool = False) -> None:
        self._console = output.terminal(quiet=silent)
        self._node = ""

    def loading(self) -> None:
        """Print why nothing happens for a few seconds."""
        self._console.print("loading TFX ...")

    @contextlib.contextmanager
    def watching_epochs(self) -> Iterator[None]:
        """Show each epoch behind the name of the node that trains while the context is open, on a terminal only."""
        if not self._watched:
            yield
            return
        from components.training.progress import watched_epochs

        with watched_epochs(self._epoch_ended):
            yield

    @property
    def _watched(self) -> bool:
        return output.is_watched(self._console) and not self._console.quiet

    def node_started(self, node: str) -> None:
        """Print the name of the node that runs; the line is completed when it ends."""
        from rich.markup import escape

        self._node = node
        self._console.print(f"  {escape(node):<{_NODE_WIDTH}}", end="")

    def _epoch_ended(self, figures: Mapping[str, Any]) -> None:
        """Write the node's line again, with the epoch behind the name."""
        total = f" (total {figures['total_loss']:.4f})" if "total_loss" in figures else ""
        text = (
            f"epoch {figures['epoch']}/{figures['epochs']}  loss {figures['loss']:.4f}{total}  eval loss "
            f"{figures['val_loss']:.4f}  eval ROC-AUC {figures['val_roc_auc']:.4f}  {figures['seconds']:.1f} s"
        )
        line = f"  {self._node:<{_NODE_WIDTH}}{text}"[: self._console.width - 1]
        self._console.file.write(f"{_LINE_START}{line}")
        self._console.file.flush()

    def node_ended(self, node: str, state: str, seconds: float) -> None:
        """Complete the node's line; the outcome replaces the last epoch."""
        if self._watched:
            self._console.file.write(f"{_LINE_START}  {node:<{_NODE_WIDTH}}")
        self._console.print(f"{_MARKS[state]}{' ' * (9 - len(state))}{seconds:6.1f} s")


def _print_outcome(outcome: "RunOutcome") -> None:
    """Print models, blessings, the paths of the servable and of the report, and what went wrong."""
    from rich.markup import escape

    report = outcome.report
    if report.models:
        _print_models(outcome)
    if report.baselines:
        _print_baselines(outcome)
    if report.copies:
        from pipeline.report.robustness_view import robustness_view, saved_alike_sentence

        robustness = robustness_view(report.copies, report.models)
        if robustness is not None and robustness.wild is not None:
            output.say(robustness.wild.sentence, "bold")
        output.say(saved_alike_sentence(robustness, report.models))
    for warning in report.data.warnings if report.data else ():
        output.say(warning, "yellow")
    for part in report.missing:
        output.say(f"missing in the report: {part}", "yellow")
    color = "green" if report.outcome == "pushed" else "red"
    cause = f"[{color}]{report.outcome}[/] {escape(safe_text(report.message))}"
    if report.outcome == "pushed":
        output.terminal().print(cause, soft_wrap=True)
    if report.servable:
        output.say(f"servable  {report.servable}")
    output.say(outcome.unwritten or f"report    {outcome.report_path}", "yellow" if outcome.unwritten else None)
    if report.outcome != "pushed":  # last, where people look first
        output.terminal().print(cause, soft_wrap=True)


def outcome_values(outcome: "RunOutcome") -> dict[str, Any]:
    """Return the outcome of a run as plain values for JSON."""
    from pipeline.report.calibration_view import calibration_values
    from pipeline.report.robustness_view import robustness_values, robustness_view

    report = outcome.report
    return {
        "outcome": report.outcome,
        "message": report.message,
        "run_id": report.run_id,
        "servable": report.servable,
        "report": None if outcome.unwritten else str(outcome.report_path),
        "missing": [*report.missing, *([outcome.unwritten] if outcome.unwritten else [])],
        "nodes": [{"name": node.name, "state": node.state, "seconds": node.seconds} for node in report.nodes],
        "models": [
            {
                "name": model.name,
                "task": model.task,
                "blessed": model.blessed,
                "threshold": model.threshold,
                "metrics": dict(model.metrics),
                "calibration": calibration_values(model),
            }
            for model in report.models
        ],
        **({"acceptance": report.acceptance.to_json()} if report.acceptance else {}),
        "warnings": list(report.data.warnings) if report.data else [],
        "robustness": robustness_values(robustness_view(report.copies, report.models)),
        "comparison": _comparison_values(outcome),
    }


def _comparison_values(outcome: "RunOutcome") -> dict[str, Any] | None:
    """Return the comparison with baselines as plain values; None without baselines."""
    from pipeline.report.comparison import compare

    compared = compare(outcome.report.models, outcome.report.baselines, outcome.report.combined)
    if compared is None:
        return None
    return {
        "binary": [
            {"question": row.question, "model": row.model, "figures": row.figures}
            for row in (*compared.detection, *compared.attribution)
        ],
        "multiclass": [
            {
                "model": row.model,
                "classes": list(row.classes),
                "accuracy": row.accuracy,
                "balanced_accuracy": row.balanced_accuracy,
                "macro_roc_auc": row.macro_roc_auc,
                "images": row.images,
                "left_out": row.left_out,
            }
            for row in compared.multiclass
        ],
    }


def _print_baselines(outcome: "RunOutcome") -> None:
    values = _comparison_values(outcome) or {"binary": [], "multiclass": []}
    compared = [(row["question"], row["model"], row["figures"], "roc_auc") for row in values["binary"]]
    compared += [("multiclass", row["model"], row, "macro_roc_auc") for row in values["multiclass"]]
    rows: list[tuple[str, ...]] = [
        (question, model, f"{scores[auc]:.3f}", f"{scores['balanced_accuracy']:.3f}")
        for question, model, scores, auc in compared
    ]
    figures = ("ROC-AUC", "bal. accuracy")
    headings = ("question", "model", *figures)
    output.table("beside baselines, on the test split", headings, rows, numbers=figures)


def _print_models(outcome: "RunOutcome") -> None:
    from rich.text import Text

    from components.metrics.scores import summarise

    figures = {
        "roc_auc": "ROC-AUC",
        "average_precision": "avg. precision",
        "balanced_accuracy": "bal. accuracy",
        "tpr_at_fpr_5": "TPR at 5% FPR",
        "eer": "EER",
        "threshold": "threshold",
    }
    marks = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("-")}
    rows: list[tuple[str | Text, ...]] = []
    for model in outcome.report.models:
        scored = next((scores for scores in model.scores if scores.split == "test"), None)
        shown = ["-"] * len(figures)
        if scored is not None and model.threshold is not None:
            values = summarise(scored.labels, scored.scores, model.threshold)
            shown = [f"{values[figure]:.3f}" for figure in figures]
        rows.append((model.name, marks[model.blessed], *shown))
    headings = ("model", "blessed", *figures.values())
    output.table("models, on the test split", headings, rows, numbers=headings[2:])
