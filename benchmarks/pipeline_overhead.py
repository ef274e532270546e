"""What the pipeline adds to its steps: imports, what stands between nodes, and a run with nothing to do.

    python benchmarks/pipeline_overhead.py [--short] [--json]

Imports are measured in new processes, since a process imports once. The yardstick imports the same modules, in the same
order, as Python does it: without modules put off, and with garbage collection. Both find compiled bytecode, or both do
not. The run is the demonstration's pipeline on fewer images; its overhead is its wall time less that of its nodes. The
run that changes nothing follows it at once, in the same process, and takes every node from the cache.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measure import Measurement, Row, benchmark_arguments, measured, show

_SETTLED = "from pipeline.startup import import_tensorflow, settle_environment\nsettle_environment()\n"
_LEAN = f"""{_SETTLED}
from pipeline.startup import importing
import_tensorflow(verbose=False)
with importing():
    import pipeline.runs.local
"""
_PLAIN = f"{_SETTLED}import tensorflow, tensorflow_transform, pipeline.runs.local\n"
_OVERHEAD = 0.15  # of a run's wall time
_UNCHANGED = 0.25


class _Clock:
    """Listens to a run and adds up what its nodes took."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first_node: float | None = None
        self.nodes = 0.0

    def node_started(self, _node: str) -> None:
        if self.first_node is None:
            self.first_node = time.perf_counter() - self.started

    def node_ended(self, _node: str, _state: str, seconds: float) -> None:
        self.nodes += seconds


def rows(short: bool) -> list[Row]:
    """Measures imports, a first run, and one that changes nothing.

    Args:
        short: one round of imports and fewer images.

    Raises:
        RuntimeError: if the run fails.
    """
    imports = {name: Measurement(0) for name in ("lean", "plain")}
    for _ in range(1 if short else 3):
        for name, code in (("lean", _LEAN), ("plain", _PLAIN)):
            with measured(1) as one:
                _import(code)
            total = imports[name]
            total.images += 1
            total.wall_seconds += one.wall_seconds
            total.cpu_seconds += one.cpu_seconds
    with tempfile.TemporaryDirectory() as folder:
        first, unchanged = _runs(Path(folder), short)
    lean, plain = imports["lean"], imports["plain"]
    (first_run, clock), (second_run, second_clock) = first, unchanged
    between = first_run.wall_seconds - clock.nodes
    return [
        Row(
            "imports before the first node", plain.cpu_seconds / lean.cpu_seconds, None, "of CPU time", lean, plain,
            note=f"{_each(lean):.1f} instead of {_each(plain):.1f} CPU-s a process",
        ),
        Row(
            "run less its nodes", between / first_run.wall_seconds, _OVERHEAD, "of the run", first_run, at_most=True,
            note=f"{between:.1f} s, {clock.first_node or 0.0:.1f} of them before the first node; imports not counted",
        ),
        Row(
            "run that changes nothing", second_run.wall_seconds / first_run.wall_seconds, _UNCHANGED, "of the first",
            second_run, first_run, at_most=True, note=f"{second_clock.nodes:.1f} s of it in nodes",
        ),
    ]  # fmt: skip


def _each(imports: Measurement) -> float:
    return imports.cpu_seconds / imports.images


def _import(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)  # noqa: S603 (our own words)


def _runs(folder: Path, short: bool) -> list[tuple[Measurement, _Clock]]:
    """Runs the demonstration's pipeline twice."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare
    from components.sample.tree import write_sample_tree
    from pipeline.config.schema import load_config
    from pipeline.runs.local import run_pipeline

    write_sample_tree(folder / "images", size=64 if short else 128, per_source=20 if short else 120)
    prepare(folder / "images", folder / "dataset", PreparationParameters(size=64 if short else 128))
    fewer = ["sources=[nearest_demo]", "input.size=64"] if short else []
    epochs = ["primary.epochs=2", "secondary.epochs=2"]
    where = [f"data.dataset={folder / 'dataset'}", f"output_root={folder / 'run'}"]
    # Whatever so few images teach is blessed: the run must reach its end.
    lenient = [f"evaluation.{task}.min_roc_auc=0.0" for task in ("detection", "attribution")]
    config = load_config(
        ROOT / "configs" / "demo.yaml",
        [*where, *fewer, *lenient, *epochs],
    )
    runs = []
    for _ in range(2):
        clock = _Clock()
        with measured(1) as run:
            outcome = run_pipeline(config, "local", clock)
        if outcome.error is not None:
            raise RuntimeError(f"the run failed: {outcome.report.message}") from outcome.error
        runs.append((run, clock))
    return runs


def main(arguments: Sequence[str]) -> int:
    """Prints the rows; returns 0."""
    options = benchmark_arguments(__doc__).parse_args(arguments)
    from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
