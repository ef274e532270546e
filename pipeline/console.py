"""What people see on the terminal: progress, tables, one line for an error. Silent where nobody watches."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from components.dataset.manifest import Manifest
    from pipeline.local import RunOutcome
    from serving.answers import Answer
    from serving.server import Addresses

Advance = Callable[[int, int, str], None]

_UNWATCHED_WIDTH = 160

_MARKS = {"executed": "[green]executed[/]", "cached": "[cyan]cached[/]", "failed": "[red]failed[/]"}


def _console(quiet: bool = False) -> Console:
    """Returns the console on standard output; written to a file or a pipe, tables are not squeezed."""
    console = Console(quiet=quiet, highlight=False)
    return console if console.is_terminal else Console(quiet=quiet, highlight=False, width=_UNWATCHED_WIDTH)


def error(message: str) -> None:
    """Writes one error to standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]genattr:[/] {escape(message)}")


@contextlib.contextmanager
def progress(task: str) -> Iterator[Advance]:
    """Shows a progress bar on standard error while the context is open; nothing where that is not a terminal.

    Yields:
        A function of (done, total, what) to call as work goes on.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn(task),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        identifier = bar.add_task(task, total=None, what="")
        yield lambda done, total, what: bar.update(identifier, completed=done, total=total, what=escape(what))


def counts(title: str, values: Mapping[str, int]) -> None:
    """Prints a number for each name."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("source")
    table.add_column("images", justify="right")
    for name, value in values.items():
        table.add_row(escape(name), f"{value:,}")
    _console().print(table)


def dataset(manifest: "Manifest", folder: Path) -> None:
    """Prints what a prepared dataset holds, and what was left out."""
    splits = ("train", "eval", "test", "testonly")
    sources = sorted({source for split in splits for source in manifest.counts.get(split, {})})
    table = Table(title=escape(f"dataset {folder}"), title_justify="left")
    table.add_column("source")
    for split in splits:
        table.add_column(split, justify="right")
    for source in sources:
        table.add_row(escape(source), *(f"{manifest.counts.get(split, {}).get(source, 0):,}" for split in splits))
    console = _console()
    console.print(table)
    if manifest.rejected:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(manifest.rejected_by_reason.items()))
        console.print(
            f"[yellow]{len(manifest.rejected)} files rejected[/] ({escape(reasons)}): see manifest.json#rejected"
        )
    for warning in manifest.warnings:
        console.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    ratio = manifest.bytes["dataset"] / max(1, manifest.bytes["encoded_images"])
    console.print(f"{manifest.bytes['dataset'] / 1e6:.1f} MB, {ratio:.2f} times the encoded images")
    if manifest.duplicates:
        console.print(f"{len(manifest.duplicates)} duplicates left out: see manifest.json#duplicates")


def serving(addresses: "Addresses", model_name: str) -> None:
    """Says where a server listens, and how to ask it."""
    console = _console()
    console.print(f"serving [bold]{escape(model_name)}[/] version {addresses.version}; stop with Ctrl-C")
    console.print(f"  gRPC  {addresses.grpc}    genattr predict IMAGE --grpc {addresses.grpc}")
    console.print(f"  REST  {addresses.rest}    genattr predict IMAGE --rest {addresses.rest}")


def equal_answers(rows: list[tuple[str, "Answer", "Answer"]]) -> None:
    """Prints what a server said of each image by gRPC and by REST."""
    table = Table(title="the pushed servable, asked by gRPC and by REST", title_justify="left")
    for heading in ("image", "verdict (gRPC)", "verdict (REST)", "fake (gRPC)", "fake (REST)"):
        table.add_column(heading, justify="right" if heading.startswith("fake") else "left")
    for path, by_grpc, by_rest in rows:
        table.add_row(
            escape(path),
            escape(by_grpc.verdict),
            escape(by_rest.verdict),
            f"{by_grpc.fake_probability:.6f}",
            f"{by_rest.fake_probability:.6f}",
        )
    _console().print(table)


def say(message: str) -> None:
    """Prints one line."""
    _console().print(escape(message), soft_wrap=True)


class RunConsole:
    """Shows a run: a line a node, and a table at the end.

    Args:
        silent: shows nothing, for machines.
    """

    def __init__(self, silent: bool = False) -> None:
        self._console = _console(quiet=silent)

    def loading(self) -> None:
        """Says why nothing happens for a few seconds."""
        self._console.print("loading TFX ...")

    def node_started(self, node: str) -> None:
        """Says which node runs; the line is completed when it ends."""
        self._console.print(f"  {escape(node):<44}", end="")

    def node_ended(self, node: str, state: str, seconds: float) -> None:  # noqa: ARG002 (nodes run one at a time)
        """Completes the node's line."""
        self._console.print(f"{_MARKS[state]}{' ' * (9 - len(state))}{seconds:6.1f} s")

    def finished(self, outcome: "RunOutcome") -> None:
        """Prints models, blessings, where the servable and the report lie, and what went wrong."""
        report = outcome.report
        if report.models:
            self._console.print(_models_table(outcome))
        color = "green" if report.outcome == "pushed" else "red"
        self._console.print(f"[{color}]{report.outcome}[/] {escape(report.message)}", soft_wrap=True)
        if report.servable:
            self._console.print(f"servable  {escape(report.servable)}", soft_wrap=True)
        self._console.print(f"report    {escape(str(outcome.report_path))}", soft_wrap=True)


def outcome_values(outcome: "RunOutcome") -> dict[str, Any]:
    """Returns the outcome of a run as plain values for JSON."""
    report = outcome.report
    return {
        "outcome": report.outcome,
        "message": report.message,
        "run_id": report.run_id,
        "servable": report.servable,
        "report": str(outcome.report_path),
        "nodes": [{"name": node.name, "state": node.state, "seconds": node.seconds} for node in report.nodes],
        "models": [
            {
                "name": model.name,
                "task": model.task,
                "blessed": model.blessed,
                "threshold": model.threshold,
                "metrics": dict(model.metrics),
            }
            for model in report.models
        ],
    }


def _models_table(outcome: "RunOutcome") -> Table:
    from components.evaluator.metrics import summarise

    table = Table(title="models, on the test split", title_justify="left")
    for heading in (
        "model",
        "blessed",
        "ROC-AUC",
        "avg. precision",
        "bal. accuracy",
        "TPR at 5% FPR",
        "EER",
        "threshold",
    ):
        table.add_column(heading, justify="left" if heading in ("model", "blessed") else "right")
    for model in outcome.report.models:
        blessed = {True: "[green]yes[/]", False: "[red]no[/]", None: "-"}[model.blessed]
        scored = next((scores for scores in model.scores if scores.split == "test"), None)
        figures = ["-"] * 6
        if scored is not None and model.threshold is not None:
            values = summarise(scored.labels, scored.scores, model.threshold)
            keys = ("roc_auc", "average_precision", "balanced_accuracy", "tpr_at_fpr_5", "eer", "threshold")
            figures = [f"{values[key]:.3f}" for key in keys]
        table.add_row(escape(model.name), blessed, *figures)
    return table
