"""One look at a day of a request log: skew against the reference, drift against the days before."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from components.monitoring.divergence import Divergence, compare
from components.monitoring.parameters import MonitoringParameters
from components.monitoring.statistics import Statistics, class_counts, row_count, statistics_of
from pipeline.monitoring.reference import Reference
from serving.request_log.columns import ImageColumns
from serving.request_log.entries import Answered, Entry
from serving.request_log.reading import LoggedRows, logged_days, read_days


class NothingLoggedError(Exception):
    """There are no rows to look at; the message says where they were looked for."""


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        folder: of the request log.
        day: the day that was looked at, UTC.
        model: its rows alone were looked at.
        version: the version that gave most answers, whose scores alone were looked at; None where it was not logged.
        rows: that were looked at.
        baseline: the days that it was compared with; none if none were logged.
        baseline_rows: of these.
        reference: where the reference statistics came from; None without any.
        reference_rows: images that these are of.
        malformed: lines of all these days that could not be read.
        malformed_examples: where the first of them stand, and what is wrong.
        notes: what was not measured, and why.
        divergences: skew first.
        shares: column -> class -> images now, before, and in the reference.
    """

    folder: Path
    day: date
    model: str
    version: int | None
    rows: int
    baseline: list[date]
    baseline_rows: int
    reference: str | None
    reference_rows: int
    malformed: int
    malformed_examples: list[str]
    notes: list[str]
    divergences: list[Divergence]
    shares: dict[str, dict[str, tuple[int, ...]]] = field(repr=False)

    @property
    def breaches(self) -> list[Divergence]:
        """What is above its threshold and above what chance may do."""
        return [each for each in self.divergences if each.state == "breach"]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "log": str(self.folder),
            "day": self.day.isoformat(),
            "model": self.model,
            "version": self.version,
            "rows": self.rows,
            "baseline_days": [day.isoformat() for day in self.baseline],
            "baseline_rows": self.baseline_rows,
            "reference": self.reference,
            "reference_rows": self.reference_rows,
            "malformed_lines": self.malformed,
            "malformed_examples": self.malformed_examples,
            "notes": self.notes,
            "divergences": [each.to_dict() for each in self.divergences],
            "breaches": len(self.breaches),
        }


def look(
    folder: Path,
    parameters: MonitoringParameters,
    reference: Reference,
    day: date | None = None,
    model: str | None = None,
) -> Look:
    """Compares a day's rows.

    Probabilities and verdicts are compared within one version alone: between two of them they differ because the model
    does, not because the world moved.

    Args:
        folder: of the request log.
        parameters: thresholds, and what chance may do.
        reference: what the served model was judged on.
        day: UTC; None is the newest day that is logged.
        model: whose rows; None is the one with most rows on that day.

    Raises:
        FileNotFoundError: if there is no such folder.
        NothingLoggedError: if there are no rows.
    """
    days = logged_days(folder)
    if not days:
        raise NothingLoggedError(f"{folder}: holds no request log yet. Serve or predict with a request log there.")
    day = days[-1] if day is None else day
    earlier = [each for each in days if each < day][-parameters.baseline_days :]
    now, before = read_days(folder, [day]), read_days(folder, earlier)
    model = model or _most_frequent(entry.answer.model for entry in now.entries)
    entries, earlier_entries = _of_model(now, model), _of_model(before, model)
    if not entries:
        whose = "" if model is None else f" of model '{model}'"
        logged = f"Logged are {days[0]} to {days[-1]}; {now.malformed} lines of the day could not be read."
        raise NothingLoggedError(f"{folder}: holds no rows{whose} on {day}. {logged}")
    version = _most_frequent(entry.answer.version for entry in entries)
    current = statistics_of(_rows(entries, version))
    baseline = statistics_of(_rows(earlier_entries, version)) if earlier_entries else None
    notes = _notes(reference, version, entries, baseline is not None)
    divergences: list[Divergence] = []
    if reference.statistics is not None:
        divergences += compare(current, reference.statistics, "skew", parameters)
    if baseline is not None:
        divergences += compare(current, baseline, "drift", parameters)
    return Look(
        folder=folder,
        day=day,
        model=str(model),
        version=version,
        rows=len(entries),
        baseline=earlier if earlier_entries else [],
        baseline_rows=len(earlier_entries),
        reference=reference.origin if reference.statistics is not None else None,
        reference_rows=0 if reference.statistics is None else row_count(reference.statistics),
        malformed=now.malformed + before.malformed,
        malformed_examples=[*now.examples, *before.examples],
        notes=notes,
        divergences=divergences,
        shares=_shares(current, baseline, reference.statistics),
    )


def _of_model(logged: LoggedRows, model: str | None) -> list[Entry]:
    return [entry for entry in logged.entries if entry.answer.model == model]


def _rows(entries: Sequence[Entry], version: int | None) -> Iterator[tuple[ImageColumns, Answered | None]]:
    """Yields what is compared: of the answers, those of one version."""
    for entry in entries:
        yield entry.image, entry.answer if entry.answer.version == version else None


def _most_frequent(values: Iterable[Any]) -> Any:
    """Returns the most frequent value, the first of equals; None without any."""
    return next((value for value, _ in Counter(values).most_common(1)), None)


def _notes(reference: Reference, version: int | None, entries: Sequence[Entry], has_baseline: bool) -> list[str]:
    notes = []
    if reference.statistics is None:
        notes.append(f"skew is not measured: {reference.origin}")
    elif None not in (reference.version, version) and reference.version != version:
        notes.append(f"the reference is that of version {reference.version}, most answers are of version {version}")
    if not has_baseline:
        notes.append("drift is not measured: no earlier day is logged")
    others = sum(entry.answer.version != version for entry in entries)
    if others:
        notes.append(f"scores of {others:,} rows are left out, which other versions answered")
    return notes


def _shares(*statistics: Statistics | None) -> dict[str, dict[str, tuple[int, ...]]]:
    counts = [{} if each is None else class_counts(each) for each in statistics]
    return {
        column: {
            name: tuple(each.get(column, {}).get(name, 0) for each in counts)
            for name in dict.fromkeys(name for each in counts for name in each.get(column, {}))
        }
        for column in counts[0]
    }
