"""All rows of speed and scale in one table: `make bench`, or a short mode with `make bench-short`.

    python benchmarks/run.py [--short] [--only NAME ...] [--results FOLDER] [--json]

Every benchmark runs in a process of its own, forked from one that has imported TensorFlow: its memory is its own, and
nobody's import is counted. One after the other, since two at once would disturb each other; in the short mode, which is
rough anyway, one on each core. The table goes to standard output, and with the machine's description to a JSON file in
benchmarks/results, one a day and mode.
"""

import datetime
import json
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measure import benchmark_arguments, from_dict, table, to_dict
from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

BENCHMARKS = {
    "dct_statistics": "DCT statistics: Transform's analyze phase against a loop over images",
    "first_step": "From a prepared dataset to the first training step, against float arrays",
    "primary_training": "Training of the primary module, against Keras fit on arrays in memory",
    "networks": "Training steps of the networks, in each precision",
    "head_training": "Training of heads, against passes through the whole model",
    "inference": "Answers of the servable, against a script",
    "pipeline_overhead": "What the pipeline adds to its steps",
    "growth": "What an image costs as datasets grow",
}
RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: Sequence[str]) -> int:
    """Runs the benchmarks; returns 0, or 1 if one of them failed. A missed goal is a finding, not a failure."""
    parser = benchmark_arguments(__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=f"some of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON file goes (default: %(default)s)")
    options = parser.parse_args(arguments)
    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    from benchmarks import machine

    result = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "short": options.short,
        "machine": machine.describe(),
        "limits": in_own_process(_limits),
        "benchmarks": {},
    }
    failed = []
    started = time.monotonic()
    names = options.only or list(BENCHMARKS)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if options.short else 1) as pool:
        # The last ones take longest; with several at a time they come first.
        in_order = reversed(names) if options.short else names
        pending = {name: pool.submit(_timed_rows, name, options.short) for name in in_order}
        for name in names:
            try:
                result["benchmarks"][name] = pending[name].result()
            except BenchmarkError as error:
                failed.append(name)
                _tell(str(error))
    result["seconds"] = time.monotonic() - started
    if not options.only and not failed:
        path = write_result(options.results, result)
        _tell(f"written to {path}")
    sys.stdout.write((json.dumps(result, indent=2) if options.json else text(result)) + "\n")
    if failed:
        _tell(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


class BenchmarkError(Exception):
    """A benchmark ended without its rows; the message holds its traceback."""


def in_own_process(work: Callable, *arguments: object) -> object:
    """Returns what a function returns in a forked process.

    Args:
        work: what to call; its result must be plain values.
        *arguments: of the call.

    Raises:
        BenchmarkError: if it raises, or the process dies.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, work, arguments))
    process.start()
    sender.close()
    # A process that was forked meanwhile holds the pipe open too: that its other end closed cannot be waited for alone.
    wait([receiver, process.sentinel])
    try:
        if not receiver.poll():
            raise EOFError
        succeeded, value = receiver.recv()
    except EOFError:
        process.join()
        raise BenchmarkError(f"{work.__name__}{arguments}: its process ended with {process.exitcode}") from None
    process.join()
    if not succeeded:
        raise BenchmarkError(value)
    return value


def write_result(folder: Path, result: dict) -> Path:
    """Writes a result to the history: one file a day and mode; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['date'][:10]}{'-short' if result['short'] else ''}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def text(result: dict) -> str:
    """Returns a result as Markdown: the machine, its limits, and the table."""
    from benchmarks.machine import one_line

    limits = result["limits"]
    rows = [from_dict(values) for one in result["benchmarks"].values() for values in one["rows"]]
    return "\n".join(
        [
            f"Machine: {one_line(result['machine'])}.",
            f"Limits a CPU-second: {limits['multiplied'] / 1e9:.0f} GFLOP of float32 matrix products, "
            f"{limits['copied'] / 1e9:.1f} GB copied. All rows took {result['seconds']:.0f} s.",
            "",
            table(rows),
        ]
    )


def _timed_rows(name: str, short: bool) -> dict[str, object]:
    _tell(f"{BENCHMARKS[name]} ...")
    started = time.monotonic()
    rows = in_own_process(_rows, name, short)
    return {"seconds": time.monotonic() - started, "rows": rows}


def _rows(name: str, short: bool) -> list[dict]:
    return [to_dict(row) for row in import_module(f"benchmarks.{name}").rows(short)]


def _limits() -> dict[str, float]:
    from benchmarks import machine

    return {"multiplied": machine.multiplied_per_second(), "copied": machine.copied_per_second()}


def _send_result(sender: Connection, work: Callable, arguments: tuple) -> None:
    try:
        sender.send((True, work(*arguments)))
    except BaseException:
        sender.send((False, traceback.format_exc()))


def _revision() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or "unknown"


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
