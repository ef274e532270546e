"""Measuring two ways of doing one thing in one process, and the table that comes of it.

CPU time is that of all threads of the process and of its children that have ended, so that other work on the machine
disturbs little. Wall time is what it is; compare it only within a row. Peak memory is that of the process from the
start of a measurement on: Linux sets the mark back when asked to (proc(5), /proc/pid/clear_refs).
"""

import argparse
import gc
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

_RESET_PEAK = "5"


@dataclass
class Measurement:
    """What one way took.

    Attributes:
        images: images that it treated.
        wall_seconds: time that passed.
        cpu_seconds: processor time of all threads and of children.
        peak_bytes: most resident memory of the process meanwhile.
        disk_bytes: bytes that it left on disk; None where nothing is written.
    """

    images: int
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    disk_bytes: int | None = None

    @property
    def images_per_cpu_second(self) -> float:
        """Images a second of processor time."""
        return self.images / self.cpu_seconds


@dataclass
class Row:
    """One line of the table: our way, the yardstick's way, and their ratio.

    Attributes:
        name: what is measured.
        ratio: the better our way, the higher, unless `at_most`.
        goal: what the ratio is to reach; None where there is none.
        of: what the ratio is of, e.g. "images a CPU-second".
        ours: what our way took.
        yardstick: what the other way took; None where the ratio compares two of our own figures, which `note` names.
        at_most: the goal is an upper bound.
        limit: name of a raw limit of the machine -> share of it that our way reaches, 0..1.
        note: what a reader needs to know.
    """

    name: str
    ratio: float
    goal: float | None
    of: str
    ours: Measurement | None = None
    yardstick: Measurement | None = None
    at_most: bool = False
    limit: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


@contextmanager
def measured(images: int, disk: Path | None = None) -> Iterator[Measurement]:
    """Measures what happens inside the context.

    Args:
        images: images that are treated inside.
        disk: folder or file whose size is taken at the end.

    Yields:
        A measurement, filled in when the context closes.
    """
    result = Measurement(images)
    gc.collect()
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    wall, cpu = time.perf_counter(), cpu_seconds()
    yield result
    result.wall_seconds, result.cpu_seconds = time.perf_counter() - wall, cpu_seconds() - cpu
    result.peak_bytes = _peak_bytes()
    result.disk_bytes = None if disk is None else size_on_disk(disk)


def by_turns(ways: Mapping[str, Callable[[], object]], images: int, rounds: int) -> dict[str, Measurement]:
    """Runs every way once unmeasured, then all by turns; what else the machine does falls on all alike.

    Args:
        ways: name -> what to run.
        images: that each call treats.
        rounds: how often each way is measured.

    Returns:
        name -> sums over the rounds; the highest peak of them.
    """
    for run in ways.values():
        run()
    totals = {name: Measurement(0) for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            with measured(images) as one:
                run()
            total = totals[name]
            total.images += one.images
            total.wall_seconds += one.wall_seconds
            total.cpu_seconds += one.cpu_seconds
            total.peak_bytes = max(total.peak_bytes, one.peak_bytes)
    return totals


def rate_ratio(ours: Measurement, yardstick: Measurement) -> float:
    """Returns images a CPU-second of ours over those of the yardstick."""
    return ours.images_per_cpu_second / yardstick.images_per_cpu_second


def size_on_disk(path: Path) -> int:
    """Returns the bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    return sum(file.stat().st_size for file in files)


def benchmark_arguments(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options that every benchmark has: --short and --json."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer images and rounds: whether it works, roughly")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def show(rows: Sequence[Row], as_json: bool) -> int:
    """Prints rows as a table or as JSON; returns the exit code 0: a missed goal is a finding, not a failure."""
    text = json.dumps({"rows": [to_dict(row) for row in rows]}, indent=2) if as_json else table(rows)
    sys.stdout.write(text + "\n")
    return 0


def to_dict(row: Row) -> dict:
    """Returns a row as plain values, with what its properties say."""
    values = asdict(row)
    for side in ("ours", "yardstick"):
        one = getattr(row, side)
        if one is not None and one.cpu_seconds:
            values[side]["images_per_cpu_second"] = one.images_per_cpu_second
    return {**values, "reached": row.reached}


def from_dict(values: Mapping) -> Row:
    """Reads what `to_dict` wrote."""
    values = {key: value for key, value in values.items() if key != "reached"}
    for side in ("ours", "yardstick"):
        if values.get(side) is not None:
            known = {key: value for key, value in values[side].items() if key != "images_per_cpu_second"}
            values[side] = Measurement(**known)
    return Row(**values)


def table(rows: Iterable[Row]) -> str:
    """Returns rows as lines of a Markdown table."""
    lines = [
        "| row | ours | yardstick | ratio | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        goal = "" if row.goal is None else f"{'<=' if row.at_most else '>='} {row.goal:g}"
        shares = ", ".join(f"{share:.0%} of {name}" for name, share in row.limit.items())
        verdict = {True: "", False: "**missed**", None: ""}[row.reached]
        remarks = "; ".join(part for part in (verdict, shares, row.note) if part)
        lines.append(
            f"| {row.name} | {_described(row.ours)} | {_described(row.yardstick)} | {_number(row.ratio)} {row.of} "
            f"| {goal} | {remarks} |"
        )
    return "\n".join(lines)


def _described(one: Measurement | None) -> str:
    """Returns a measurement in a few words; leaves out what was not measured."""
    if one is None:
        return ""
    parts = []
    if one.cpu_seconds and one.images > 1:
        parts.append(f"{_number(one.images_per_cpu_second)} images/CPU-s")
    if one.wall_seconds:
        parts.append(f"{one.wall_seconds:.3g} s")
    if one.peak_bytes:
        parts.append(f"{one.peak_bytes / 1e6:,.0f} MB peak")
    if one.disk_bytes is not None:
        parts.append(f"{one.disk_bytes / 1e6:,.1f} MB on disk")
    return ", ".join(parts)


def _number(value: float) -> str:
    """Returns three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cpu_seconds() -> float:
    """Returns the processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
