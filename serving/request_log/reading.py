"""Reading a request log back: a day at a time, from all the files that servers and clients left in its folder."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from serving.request_log.entries import Entry, MalformedLineError, parse_line
from serving.request_log.files import log_files

_EXAMPLES = 5

# Shares are known well enough from so many rows; more would only take memory.
MOST_ROWS = 100_000


@dataclass(frozen=True)
class LoggedRows:
    """What some days' files hold.

    Attributes:
        rows: number of lines that could be read.
        entries: of these, or of as many as were asked for, drawn by chance.
        malformed: number of lines that could not.
        examples: where the first of these stand, and what is wrong with them.
    """

    rows: int
    entries: list[Entry]
    malformed: int
    examples: list[str]


def logged_days(folder: Path) -> list[date]:
    """Returns the days (UTC) of which there are files, the earliest first.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    return sorted(log_files(folder))


def read_days(folder: Path, days: Iterable[date], most: int = MOST_ROWS) -> LoggedRows:
    """Reads what was logged on some days.

    A line that is still being written, without its end, is not looked at; one that is damaged is counted.

    Args:
        folder: of the log.
        days: UTC; a day without a file holds nothing.
        most: entries to return; the same ones each time.

    Raises:
        FileNotFoundError: if there is no such folder.
        OSError: if a file cannot be read.
    """
    files = log_files(folder)
    entries: list[Entry] = []
    rows = malformed = 0
    examples: list[str] = []
    chance = random.Random(0)  # noqa: S311 - a sample, not a secret
    for path in (path for day in sorted(set(days)) for path in files.get(day, [])):
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith("\n") or not line.strip():
                    continue
                try:
                    entry = parse_line(line)
                except MalformedLineError as error:
                    malformed += 1
                    if len(examples) < _EXAMPLES:
                        examples.append(f"{path.name}:{number}: {error}")
                    continue
                rows += 1
                if len(entries) < most:
                    entries.append(entry)
                elif (place := chance.randrange(rows)) < most:  # reservoir sampling (Vitter 1985, algorithm R)
                    entries[place] = entry
    return LoggedRows(rows, entries, malformed, examples)
