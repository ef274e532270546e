"""What people see on the terminal: progress, tables, one line for an error. Silent where nobody watches."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from components.dataset.manifest import Manifest
    from pipeline.runs.local import RunOutcome
    from serving.client.answers import Answer
    from serving.server.options import Addresses, ServerOptions

Advance = Callable[[int, int, str], None]

_UNWATCHED_WIDTH = 160

_NODE_WIDTH = 44
_LINE_START = "\r\x1b[2K"  # back to the start of the line, which is emptied

_MARKS = {"executed": "[green]executed[/]", "cached": "[cyan]cached[/]", "failed": "[red]failed[/]"}


def _console(quiet: bool = False) -> Console:
    """Returns the console on standard output; written to a file or a pipe, tables are not squeezed."""
    console = Console(quiet=quiet, highlight=False)
    return console if console.is_terminal else Console(quiet=quiet, highlight=False, width=_UNWATCHED_WIDTH)


def error(message: str) -> None:
    """Writes one error to standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]genattr:[/] {escape(message)}")


def remark(message: str) -> None:
    """Writes a remark to standard error, where it does not mix with what is printed for machines."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape(message))


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
    for note in manifest.confounds.get("notes", ()):
        console.print(escape(note), soft_wrap=True)
    ratio = manifest.bytes["dataset"] / max(1, manifest.bytes["encoded_images"])
    console.print(f"{manifest.bytes['dataset'] / 1e6:.1f} MB, {ratio:.2f} times the encoded images")
    if manifest.duplicates:
        console.print(f"{len(manifest.duplicates)} duplicates left out: see manifest.json#duplicates")


def evaluation(document: Mapping[str, Any], report: Path) -> None:
    """Prints the figures of an evaluation, under each perturbation, and where the report lies.

    Args:
        document: what metrics.json holds.
        report: the HTML file.
    """
    figures = {
        "roc_auc": "ROC-AUC",
        "average_precision": "avg. precision",
        "balanced_accuracy": "bal. accuracy",
        "tpr_at_fpr_5": "TPR at 5% FPR",
        "eer": "EER",
    }
    table = Table(title=f"{document['images']:,} images judged", title_justify="left")
    for heading in ("model", "perturbation", *figures.values(), "threshold"):
        table.add_column(heading, justify="left" if heading in ("model", "perturbation") else "right")
    for model in document["models"]:
        for name, result in model["results"].items():
            values = [result["overall"][figure] for figure in figures]
            shown = ["-" if value is None else f"{value:.3f}" for value in values]
            table.add_row(escape(model["name"]), name, *shown, f"{model['threshold']:.3f}")
    console = _console()
    console.print(table)
    for name, verdicts in document["verdicts"].items():
        overall = verdicts["overall"]
        contradictions = overall["contradictions"]
        accuracy = "not defined" if overall["accuracy"] is None else f"{overall['accuracy']:.3f}"
        uncertain = f"; uncertain: {overall['uncertain']['count']:,}" if "uncertain" in overall else ""
        console.print(
            f"verdicts ({name}): accuracy {accuracy}; contradictions: {contradictions['count']:,} of "
            f"{contradictions['predicted_real']:,} called real{uncertain}",
            soft_wrap=True,
        )
    console.print(f"report  {escape(str(report))}", soft_wrap=True)


def serving(addresses: "Addresses", options: "ServerOptions") -> None:
    """Says where a server listens, and how to ask it."""
    console = _console()
    what = options.model_name if options.model_config_file is None else str(options.model_config_file)
    console.print(f"serving [bold]{escape(what)}[/] version {addresses.version}; stop with Ctrl-C")
    console.print(f"  gRPC  {addresses.grpc}    genattr predict IMAGE --grpc {addresses.grpc}")
    console.print(f"  REST  {addresses.rest}    genattr predict IMAGE --rest {addresses.rest}")
    if options.page:
        console.print(f"  page  {addresses.rest}/ui/")


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


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under headings."""
    shown = Table(title=escape(title), title_justify="left")
    for heading in headings:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*(escape(value) for value in row))
    _console().print(shown)


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
        self._node = ""

    def loading(self) -> None:
        """Says why nothing happens for a few seconds."""
        self._console.print("loading TFX ...")

    @contextlib.contextmanager
    def watching_epochs(self) -> Iterator[None]:
        """While the context is open, shows each epoch behind the name of the node that trains, on a terminal only."""
        if not self._watched:
            yield
            return
        from components.training.progress import watched_epochs

        with watched_epochs(self._epoch_ended):
            yield

    @property
    def _watched(self) -> bool:
        return self._console.is_terminal and not self._console.quiet

    def node_started(self, node: str) -> None:
        """Says which node runs; the line is completed when it ends."""
        self._node = node
        self._console.print(f"  {escape(node):<{_NODE_WIDTH}}", end="")

    def _epoch_ended(self, figures: Mapping[str, Any]) -> None:
        """Writes the node's line anew, with the epoch behind the name."""
        text = (
            f"epoch {figures['epoch']}/{figures['epochs']}  loss {figures['loss']:.4f}  eval loss "
            f"{figures['val_loss']:.4f}  eval ROC-AUC {figures['val_roc_auc']:.4f}  {figures['seconds']:.1f} s"
        )
        line = f"  {self._node:<{_NODE_WIDTH}}{text}"[: self._console.width - 1]
        self._console.file.write(f"{_LINE_START}{line}")
        self._console.file.flush()

    def node_ended(self, node: str, state: str, seconds: float) -> None:
        """Completes the node's line; the last epoch makes room for the outcome."""
        if self._watched:
            self._console.file.write(f"{_LINE_START}  {node:<{_NODE_WIDTH}}")
        self._console.print(f"{_MARKS[state]}{' ' * (9 - len(state))}{seconds:6.1f} s")

    def finished(self, outcome: "RunOutcome") -> None:
        """Prints models, blessings, where the servable and the report lie, and what went wrong."""
        report = outcome.report
        if report.models:
            self._console.print(_models_table(outcome))
        if report.baselines:
            self._console.print(_baselines_table(outcome))
        if report.copies:
            from pipeline.report.robustness_view import robustness_view, saved_alike_sentence

            view = robustness_view(report.copies, report.models)
            self._console.print(escape(saved_alike_sentence(view, report.models)), soft_wrap=True)
        for warning in report.data.warnings if report.data else ():
            self._console.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
        color = "green" if report.outcome == "pushed" else "red"
        self._console.print(f"[{color}]{report.outcome}[/] {escape(report.message)}", soft_wrap=True)
        if report.servable:
            self._console.print(f"servable  {escape(report.servable)}", soft_wrap=True)
        self._console.print(f"report    {escape(str(outcome.report_path))}", soft_wrap=True)


def outcome_values(outcome: "RunOutcome") -> dict[str, Any]:
    """Returns the outcome of a run as plain values for JSON."""
    from pipeline.report.calibration_view import calibration_values
    from pipeline.report.robustness_view import robustness_values, robustness_view

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
                "calibration": calibration_values(model),
            }
            for model in report.models
        ],
        "warnings": list(report.data.warnings) if report.data else [],
        "robustness": robustness_values(robustness_view(report.copies, report.models)),
        "comparison": _comparison_values(outcome),
    }


def _comparison_values(outcome: "RunOutcome") -> dict[str, Any] | None:
    """Returns the comparison with baselines as plain values; None without baselines."""
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


def _baselines_table(outcome: "RunOutcome") -> Table:
    table = Table(title="beside baselines, on the test split", title_justify="left")
    for heading in ("question", "model", "ROC-AUC", "bal. accuracy"):
        table.add_column(heading, justify="left" if heading in ("question", "model") else "right")
    values = _comparison_values(outcome) or {"binary": [], "multiclass": []}
    for row in values["binary"]:
        figures = row["figures"]
        shown = (f"{figures['roc_auc']:.3f}", f"{figures['balanced_accuracy']:.3f}")
        table.add_row(escape(row["question"]), escape(row["model"]), *shown)
    for row in values["multiclass"]:
        shown = (f"{row['macro_roc_auc']:.3f}", f"{row['balanced_accuracy']:.3f}")
        table.add_row("multiclass", escape(row["model"]), *shown)
    return table


def _models_table(outcome: "RunOutcome") -> Table:
    from components.metrics.scores import summarise

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
