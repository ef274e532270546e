"""Output of the commands: exit codes, progress, tables and lines for people, JSON for machines.

Rich is imported by the functions that need it: it takes as long as everything else that `genattr --help` imports.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.cli.command import name_flags
from serving.atomic import naming_storage_errors
from serving.names import printable, safe_text, shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STANDARD_OUTPUT = "standard output"  # as messages name it

DONE, FAILED, BAD_USAGE = 0, 1, 2

Advance = Callable[[int, int, str], None]

_UNWATCHED_WIDTH = 160


class Outcome(Protocol):
    """Outcome of a command, for people and for machines."""

    def lines(self) -> list[str]:
        """Return the lines for people."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""


def terminal(quiet: bool = False) -> "Console":
    """Return the console on standard output; written to a file or a pipe, tables are not squeezed."""
    from rich.console import Console

    console = Console(quiet=quiet, highlight=False)
    return console if console.is_terminal else Console(quiet=quiet, highlight=False, width=_UNWATCHED_WIDTH)


def is_watched(console: "Console") -> bool:
    """Return whether a console may move its cursor: FORCE_COLOR asks for colours in a log, not for progress in it."""
    if console.file.isatty():
        return os.environ.get("TERM", "") not in ("dumb", "unknown")
    return console.is_terminal and not (os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE"))


def say(message: str, style: str | None = None) -> None:
    """Print one line, in a style of Rich if one is given."""
    from rich.markup import escape

    with naming_storage_errors(STANDARD_OUTPUT):
        terminal().print(escape(safe_text(message)), style=style, soft_wrap=True)


def error(message: str) -> None:
    """Write one error to standard error."""
    from rich.markup import escape

    _standard_error().print(f"[red]genattr:[/] {escape(safe_text(shortened(message)))}")


def remark(message: str) -> None:
    """Write a remark to standard error, where it does not mix with what is printed for machines."""
    from rich.markup import escape

    _standard_error().print(escape(safe_text(message)))


def _standard_error() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress(task: str) -> Iterator[Advance]:
    """Show a progress bar on standard error while the context is open; nothing where that is not a terminal.

    Yields:
        A function of (done, total, what) to call as work goes on.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(task),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console, disable=not is_watched(console), transient=True) as bar:
        identifier = bar.add_task(task, total=None, what="")
        yield lambda done, total, what: bar.update(
            identifier, completed=done, total=total, what=escape(printable(what))
        )


def table(
    title: str, headings: Sequence[str], rows: "Iterable[Sequence[str | Text]]", numbers: Sequence[str] = ()
) -> None:
    """Print a table.

    Args:
        title: Line above it.
        headings: Headings of the columns.
        rows: Cells of each row, as text or as styled text.
        numbers: Headings of the columns that are aligned to the right.
    """
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=escape(title), title_justify="left")
    for heading in headings:
        shown.add_column(heading, justify="right" if heading in numbers else "left")
    for row in rows:
        shown.add_row(*(escape(safe_text(cell)) if isinstance(cell, str) else cell for cell in row))
    with naming_storage_errors(STANDARD_OUTPUT):
        terminal().print(shown)


def counts(title: str, values: Mapping[str, int]) -> None:
    """Print the number of images of each source."""
    rows = [(source, f"{number:,}") for source, number in values.items()]
    table(title, ("source", "images"), rows, numbers=("images",))


def outcome(options: argparse.Namespace, result: Outcome) -> None:
    """Print an outcome: as JSON if the options say so, else its lines, in which parameters are named by their flags."""
    if options.json:
        print_json(result.to_dict())
    else:
        for line in result.lines():
            say(name_flags(line, options))


def print_json(values: Any) -> None:
    """Print a result for machines."""
    with naming_storage_errors(STANDARD_OUTPUT):
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
