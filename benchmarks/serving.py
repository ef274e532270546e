"""What the embedded server costs: throughput, latency, start and memory, against the same SavedModel in process.

    python benchmarks/serving.py                      every row, about ten minutes
    python benchmarks/serving.py --short --json       the same with fewer requests, for machines
    python benchmarks/serving.py --servable DIR --rows throughput,latency

The server is bound to one core, the load generator to another; the yardstick runs on the server's core while the
server is idle, by turns with it, so that whatever else the machine does falls on both. Images are 128 px JPEG of
about 6.7 kB, 64 different ones. Without --servable a real servable with random weights is exported: all
its arithmetic is done, and its answers mean nothing.

Rows, each with its goal:

    throughput   images a second by gRPC with dynamic batching, requests of 1, 4 and 8 images / in-process batches of 32
    latency      median of one image at a time by gRPC and by REST - in-process median of batch 1
    tail         99th percentile / median by gRPC, one at a time and at half of the sustained rate
    start        seconds from starting the process to ready
    memory       growth of resident memory over requests and version swaps
    predict      images a CPU-second of `genattr predict FOLDER` / one image at a time: by a `genattr predict` each,
                 and by a request each to a warm server (that server's CPU alone, without its start)
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from benchmarks.in_process import IMAGES, ROOT, InProcess, in_process
from tests.support.load import (
    Reply,
    ServerProcess,
    Wire,
    closed_loop,
    export_untrained,
    open_loop,
    open_wire,
    predict_body,
    predict_message,
    read_answers,
    server_process,
    textured_jpegs,
)

BATCH = 32  # of the yardstick of throughput
IN_FLIGHT = 96  # images in flight while throughput is measured: three batches


@dataclass(frozen=True)
class Effort:
    """How long each row measures."""

    rounds: int
    seconds: float  # of each turn
    requests: int  # of the row on memory
    swaps: int
    files: int  # in the folder that is predicted
    processes: int  # that predict one file each


FULL = Effort(rounds=5, seconds=4.0, requests=50_000, swaps=20, files=2_000, processes=3)
SHORT = Effort(rounds=2, seconds=2.0, requests=2_000, swaps=3, files=200, processes=1)


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        name: what was measured.
        measured: the product's figure, in `unit`.
        yardstick: what it is compared with, in the same unit; None where the goal is absolute.
        value: the ratio, difference or figure that the goal is about.
        goal: what `value` should be, in words.
        met: whether it is.
    """

    name: str
    measured: float
    yardstick: float | None
    unit: str
    value: float
    goal: str
    met: bool


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns 0, and 2 for bad usage. A goal that was missed is no failure of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servable", type=Path, help="a version's directory, or its base (default: made on the fly)")
    parser.add_argument("--representation", choices=("pixel", "dct"), default="pixel", help="default: %(default)s")
    parser.add_argument("--heads", type=int, default=4, help="heads of the servable made (default: %(default)s)")
    parser.add_argument("--rows", default=",".join(MEASURES), help="which rows, by comma (default: all)")
    parser.add_argument("--short", action="store_true", help="fewer and shorter turns; memory over 2,000 requests")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    chosen = options.rows.split(",")
    if unknown := set(chosen) - set(MEASURES):
        parser.error(f"--rows: must be among {', '.join(MEASURES)}, got {', '.join(sorted(unknown))}")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("two processors are needed: one for the server, one for the load. Here there is one.")
    effort = SHORT if options.short else FULL
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "models"
        if options.servable:
            from serving.servable.versions import find_version

            shutil.copytree(find_version(options.servable).path, base / "1")
        else:
            export_untrained(base / "1", options.representation, 128, options.heads)
        os.sched_setaffinity(0, {cores[1]})
        bench = Bench(base, Path(folder), cores[0], effort)
        made = [row for name in chosen for row in _timed(name, lambda name=name: MEASURES[name](bench))]
    servable = str(options.servable or f"{options.representation}, {options.heads} heads, random weights")
    if options.json:
        described = {"machine": machine(), "servable": servable, "effort": asdict(effort)}
        print(json.dumps(described | {"rows": [asdict(row) for row in made]}, indent=2))
        return 0
    print(f"{', '.join(f'{key} {value}' for key, value in machine().items())}; servable: {servable}")
    print(f"{'':58} {'measured':>10} {'yardstick':>10} {'unit':22} {'value':>7}  goal")
    for row in made:
        yardstick = "" if row.yardstick is None else f"{row.yardstick:.4g}"
        print(
            f"{row.name:58} {row.measured:>10.4g} {yardstick:>10} {row.unit:22} {row.value:>7.3g}  "
            f"{row.goal}{'' if row.met else '  MISSED'}"
        )
    return 0


class Bench:
    """What all rows share.

    Args:
        base: the model's base directory; holds version 1.
        folder: for logs and files.
        core: the processor of servers and yardsticks.
        effort: how long to measure.
    """

    def __init__(self, base: Path, folder: Path, core: int, effort: Effort) -> None:
        self.base = base
        self.folder = folder
        self.core = core
        self.effort = effort
        self.images = textured_jpegs(IMAGES)

    def server(self, *options: str) -> "server_process":
        """Starts a server on its core."""
        return server_process(self.base, self.folder / "log", *options, cores=(self.core,))

    def yardstick(self) -> "in_process":
        """Starts a yardstick on the same core."""
        return in_process(self.base / "1", (self.core,))

    def messages(self, rows: int) -> list[bytes]:
        """Returns gRPC requests of so many images."""
        return [predict_message(self.images[start : start + rows]) for start in range(0, IMAGES, rows)]

    async def ask_one_by_one(self, send: Callable[[bytes], object], contents: Sequence[bytes]) -> list[float]:
        """Returns the seconds of each request of a turn."""
        replies = await closed_loop(
            lambda number: send(contents[number % len(contents)]), 1, seconds=self.effort.seconds
        )
        return sorted(reply.seconds for reply in _all_answered(replies))


def throughput(bench: Bench) -> Iterator[Row]:
    """Sustained images a second, by turns with the yardstick."""
    with bench.yardstick() as yardstick, bench.server() as server:
        for rows in (1, 4, 8):
            pairs = asyncio.run(_throughput_turns(bench, yardstick, server, rows))
            ours, theirs, cpu, cpu_theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            name = f"throughput by gRPC, {rows} image{'s' * (rows > 1)} a request"
            yield _at_least(name, ours, theirs, "images/s", 0.8)
            yield _at_least("  the same, by CPU time of the server", cpu, cpu_theirs, "images/CPU-s", 0.8)


async def _throughput_turns(
    bench: Bench, yardstick: InProcess, server: ServerProcess, rows: int
) -> list[tuple[float, float, float, float]]:
    messages, turns = bench.messages(rows), []
    async with open_wire(server) as wire:

        async def turn(seconds: float) -> tuple[float, float]:
            cpu, started = server.cpu_seconds(), time.monotonic()
            send = lambda number: wire.grpc(messages[number % len(messages)])  # noqa: E731 (a name for one line)
            replies = _all_answered(await closed_loop(send, IN_FLIGHT // rows, seconds=seconds))
            images = rows * len(replies)
            return images / (time.monotonic() - started), images / (server.cpu_seconds() - cpu)

        await turn(2.0)  # warm
        for _ in range(bench.effort.rounds):
            there = await asyncio.to_thread(yardstick.run, BATCH, bench.effort.seconds)
            rate, cpu_rate = await turn(bench.effort.seconds)
            turns.append((rate, there["images"] / there["seconds"], cpu_rate, there["images"] / there["cpu_seconds"]))
    return turns


def latency(bench: Bench) -> Iterator[Row]:
    """One image at a time, by turns with the yardstick."""
    medians: dict[str, list[float]] = {"gRPC": [], "REST": [], "in process": []}

    async def turns(yardstick: InProcess, server: ServerProcess) -> None:
        messages, bodies = bench.messages(1), [predict_body([image]) for image in bench.images]
        async with open_wire(server) as wire:
            for number in range(bench.effort.rounds + 1):
                there = await asyncio.to_thread(yardstick.run, 1, bench.effort.seconds)
                by_grpc = await bench.ask_one_by_one(wire.grpc, messages)
                by_rest = await bench.ask_one_by_one(wire.rest, bodies)
                if number:  # the first turn is warm-up
                    medians["in process"].append(there["p50"])
                    medians["gRPC"].append(statistics.median(by_grpc))
                    medians["REST"].append(statistics.median(by_rest))

    with bench.yardstick() as yardstick, bench.server() as server:
        asyncio.run(turns(yardstick, server))
    there = statistics.median(medians["in process"]) * 1e3
    for way in ("gRPC", "REST"):
        here = statistics.median(medians[way]) * 1e3
        name = f"latency of one image by {way}, median; in process"
        yield Row(name, here, there, "ms", here - there, "at most 3 ms more", here - there <= 3)


def tail(bench: Bench) -> Iterator[Row]:
    """How far the slowest hundredth lies from the median."""
    messages = bench.messages(1)

    async def turns(wire: Wire) -> tuple[list[float], list[float], float]:
        send = lambda number: wire.grpc(messages[number % len(messages)])  # noqa: E731 (a name for one line)
        seconds = bench.effort.seconds * bench.effort.rounds
        warm = _all_answered(await closed_loop(send, IN_FLIGHT, seconds=bench.effort.seconds))
        rate = len(warm) / bench.effort.seconds / 2
        alone = _all_answered(await closed_loop(send, 1, seconds=seconds))
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        loaded = _all_answered(
            await open_loop(lambda number, due: wire.grpc(messages[number % len(messages)], due=due), rate, stop)
        )
        return [reply.seconds for reply in alone], [reply.seconds for reply in loaded], rate

    async def scenario(server: ServerProcess) -> tuple[list[float], list[float], float]:
        async with open_wire(server) as wire:
            return await turns(wire)

    with bench.server() as server:
        alone, loaded, rate = asyncio.run(scenario(server))
    for name, seconds in (("one at a time", alone), (f"at half load ({rate:.0f}/s)", loaded)):
        cuts = statistics.quantiles(seconds, n=100)
        ratio = cuts[98] / cuts[49]
        yield Row(f"99th percentile by gRPC, {name}; median", cuts[98] * 1e3, cuts[49] * 1e3, "ms", ratio, "below 5",
                  ratio < 5)  # fmt: skip


def start(bench: Bench) -> Iterator[Row]:
    """From starting the process to the line that says ready."""
    seconds = []
    for _ in range(min(bench.effort.rounds, 3)):
        with bench.server() as server:
            seconds.append(server.seconds_to_ready)
    median = statistics.median(seconds)
    yield Row("start of the process to ready, on one core", median, None, "s", median, "below 15 s", median < 15)


def memory(bench: Bench) -> Iterator[Row]:
    """Growth over requests and swaps, after some of both."""
    effort = bench.effort
    warm_swaps = max(2, effort.swaps // 5)
    message, bodies = bench.messages(1), [predict_body([image]) for image in bench.images]
    base = bench.folder / "swapped"
    shutil.copytree(bench.base / "1", base / "1")

    async def scenario(server: ServerProcess) -> list[float]:
        megabytes = []
        async with open_wire(server) as wire:

            async def send(number: int) -> Reply:
                position = number % IMAGES
                return await (wire.rest(bodies[position]) if number % 2 else wire.grpc(message[position]))

            for swap in range(warm_swaps + effort.swaps):
                _all_answered(await closed_loop(send, 8, count=effort.requests // effort.swaps))
                version = swap + 2
                await asyncio.to_thread(shutil.copytree, base / str(version - 1), base / f".pushing-{version}")
                (base / f".pushing-{version}").rename(base / str(version))
                await _until_served(wire, message[0], version)
                await asyncio.to_thread(shutil.rmtree, base / str(version - 1))
                await asyncio.sleep(1.5)  # the old version goes
                megabytes.append(server.megabytes())
        return megabytes

    with server_process(base, bench.folder / "log", "--poll-seconds", "0.2", cores=(bench.core,)) as server:
        megabytes = asyncio.run(scenario(server))
    before, after = megabytes[warm_swaps - 1], megabytes[-1]
    growth = 100 * (after / before - 1)
    name = f"memory over {effort.requests:,} requests and {effort.swaps} swaps; before"
    yield Row(name, after, before, "MB", growth, "below 5 % more", growth < 5)


def predict(bench: Bench) -> Iterator[Row]:
    """Images a CPU-second of the command line, for a folder and for single files."""
    effort, pictures = bench.effort, bench.folder / "pictures"
    pictures.mkdir()
    for number in range(effort.files):
        # A comment at the end makes every file another one, at no cost to its making.
        (pictures / f"{number:05d}.jpg").write_bytes(bench.images[number % IMAGES] + str(number).encode())
    few = bench.folder / "few"
    few.mkdir()
    for path in sorted(pictures.iterdir())[: effort.files // 10]:
        shutil.copy(path, few)
    whole, part = _predict_cpu(bench, pictures), _predict_cpu(bench, few)
    rate = effort.files / whole
    single = statistics.median(_predict_cpu(bench, path) for path in sorted(few.iterdir())[: effort.processes])
    yield _at_least(f"predict, a folder of {effort.files}; a process an image", rate, 1 / single, "images/CPU-s", 5.0)

    async def scenario(server: ServerProcess) -> float:
        async with open_wire(server) as wire:
            messages = bench.messages(1)
            await bench.ask_one_by_one(wire.grpc, messages)
            cpu = server.cpu_seconds()
            asked = await bench.ask_one_by_one(wire.grpc, messages)
            return len(asked) / (server.cpu_seconds() - cpu)

    with bench.server() as server:
        warm = asyncio.run(scenario(server))
    yield Row(f"predict, a folder of {effort.files}; a warm server, an image a request", rate, warm, "images/CPU-s",
              rate / warm, "none: the start counts", True)  # fmt: skip
    if effort is FULL:  # of a few files, the difference would be noise
        marginal = (effort.files - effort.files // 10) / (whole - part)
        yield Row(
            "  the same without predict's own start", marginal, warm, "images/CPU-s", marginal / warm, "none", True
        )


def _predict_cpu(bench: Bench, path: Path) -> float:
    """Returns the CPU seconds of one `genattr predict`, its children included."""
    output = bench.folder / "verdicts.jsonl"
    words = ["predict", str(path), "--model", str(bench.base), "--format", "jsonl", "-o", str(output)]
    process = subprocess.Popen(  # noqa: S603 (our own words)
        [sys.executable, "-m", "pipeline.cli.main", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"genattr {' '.join(words)}: ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


async def _until_served(wire: Wire, message: bytes, version: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        (reply,) = _all_answered([await wire.grpc(message)])
        if read_answers(reply).version == version:
            return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"version {version} was not served within a minute")


def _all_answered(replies: list[Reply]) -> list[Reply]:
    """A benchmark of refusals would be a fast one."""
    if failed := [reply for reply in replies if not reply.answered]:
        raise RuntimeError(
            f"{len(failed)} of {len(replies)} requests failed: {failed[0].code} {failed[0].body[:200]!r}"
        )
    return replies


def _at_least(name: str, measured: float, yardstick: float, unit: str, goal: float) -> Row:
    ratio = measured / yardstick
    return Row(name, measured, yardstick, unit, ratio, f"ratio at least {goal:g}", ratio >= goal)


def _timed(name: str, measure: Callable[[], Iterator[Row]]) -> list[Row]:
    started = time.monotonic()
    rows = list(measure())
    if sys.stderr.isatty():
        sys.stderr.write(f"{name}: measured in {time.monotonic() - started:.0f} s\n")
    return rows


def machine() -> dict[str, str]:
    """Returns what the figures depend on."""
    from importlib.metadata import version

    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "CPU": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "TensorFlow": version("tensorflow"),
        "grpcio": version("grpcio"),
        "aiohttp": version("aiohttp"),
    }


MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "throughput": throughput,
    "latency": latency,
    "tail": tail,
    "start": start,
    "memory": memory,
    "predict": predict,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
