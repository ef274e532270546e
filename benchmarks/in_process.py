"""The yardstick of benchmarks/serving.py: the same SavedModel, asked in the process that has loaded it.

    python benchmarks/in_process.py SERVABLE

reads one command a line, {"batch": rows, "seconds": s}, runs batches of that many 128 px JPEG images for that long, and
answers each with one line: {"images", "seconds", "cpu_seconds", "p50"}. It is a process of its own so that it can be
bound to the server's core from its first moment, which is when TensorFlow counts its threads.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

IMAGES = 64  # different ones


class InProcess:
    """The yardstick as seen by who asks it."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def run(self, batch: int, seconds: float) -> dict:
        """Runs batches of so many images for so long; returns what the module's docstring says."""
        self._process.stdin.write(json.dumps({"batch": batch, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the yardstick's process ended; its standard error says why")
        return json.loads(line)


@contextmanager
def in_process(servable: Path, cores: Sequence[int]) -> Iterator[InProcess]:
    """Starts the yardstick, bound to some processors."""
    from tests.support.load import at_cores

    with at_cores(cores):
        process = subprocess.Popen(  # noqa: S603 (our own words)
            [sys.executable, __file__, str(servable)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    try:
        yield InProcess(process)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def main(arguments: list[str]) -> int:
    """Answers commands until standard input ends."""
    from serving.servable.model import Servable
    from serving.servable.versions import find_version
    from tests.support.load import textured_jpegs

    servable = Servable(find_version(Path(arguments[0])))
    images = textured_jpegs(IMAGES)
    warm = set()
    for line in sys.stdin:
        command = json.loads(line)
        batch, until = command["batch"], command["seconds"]
        batches = [[images[(start + row) % IMAGES] for row in range(batch)] for start in range(0, IMAGES, batch)]
        if batch not in warm:
            warm.add(batch)
            for some in batches[:3] * 3:
                servable.predict(some)
        durations: list[float] = []
        started, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - started < until:
            before = time.perf_counter()
            servable.predict(batches[len(durations) % len(batches)])
            durations.append(time.perf_counter() - before)
        answer = {
            "images": batch * len(durations),
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
            "p50": statistics.median(durations),
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
