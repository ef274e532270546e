"""What an image costs as datasets grow: `genattr prepare` and `genattr run` on more and more images of 32 px.

    python benchmarks/growth.py [--short] [--json]

The yardstick is ours on a quarter of the images: what an image costs on the average must not be more on the larger
dataset. CPU time of every node is fitted by a + b n over all sizes. One epoch a module, whatever is learned: images are
drawn at random, labels too, and no model must reach any score. Drawing them is on no account.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measure import Measurement, Row, benchmark_arguments, cpu_seconds, measured, show

SIZE = 32
SOURCES = {"real/camera": 1, "fake/gan": 1}  # shares of the images
_TOLD = 5  # phases that are named
_STAYS = 1.1  # what is repeated differs by so much


def rows(short: bool) -> list[Row]:
    """Prepares and runs at every size.

    Args:
        short: two small sizes and no head, the larger size first: it alone pays for what a process does once.
            Otherwise the smallest size is run twice, and its first run not counted.

    Raises:
        RuntimeError: if a run fails.
    """
    counts = (1000, 250) if short else (1000, 1000, 4000, 16000)
    found: dict[int, dict[str, Measurement]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, count in enumerate(counts):
            found[count] = _phases(Path(folder) / str(number), count, heads=not short)
    large, small = sorted(found, reverse=True)[:2]
    phases = {phase: {count: times[phase] for count, times in found.items()} for phase in found[large]}
    wholes = [(f"genattr {whole}", phases.pop(whole)) for whole in ("prepare", "run")]
    result = [
        Row(
            f"{name}, {large:,} images against {small:,}",
            times[small].images_per_cpu_second / times[large].images_per_cpu_second, _STAYS, "of the CPU time an image",
            times[large], times[small], at_most=True, note=f"CPU time of n images: {_fitted(times)}",
        )
        for name, times in wholes
    ]  # fmt: skip
    costly = sorted(phases, key=lambda phase: fit(phases[phase])[1], reverse=True)[:_TOLD]
    run = wholes[1][1]
    result.append(
        Row(
            f"memory of genattr run, {large:,} images against {small:,}",
            run[large].peak_bytes / run[small].peak_bytes, None, "of the peak",
            note="nodes that grow most: " + "; ".join(f"{phase} {_fitted(phases[phase])}" for phase in costly),
        )
    )  # fmt: skip
    return result


class _NodeTimes:
    """Listens to a run and keeps the CPU time of every node; nodes run one after the other."""

    def __init__(self, images: int) -> None:
        self.phases: dict[str, Measurement] = {}
        self._images, self._started = images, 0.0

    def node_started(self, _node: str) -> None:
        self._started = cpu_seconds()

    def node_ended(self, node: str, _state: str, seconds: float) -> None:
        self.phases[node] = Measurement(self._images, seconds, cpu_seconds() - self._started)


def _phases(folder: Path, count: int, heads: bool) -> dict[str, Measurement]:
    """Returns what each node took, beside "prepare" and "run" as wholes."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    _write_tree(folder / "images", count)
    with measured(count) as prepared:
        prepare(folder / "images", folder / "dataset", PreparationParameters(size=SIZE))
    values = {
        "name": "growth",
        "data": {"dataset": str(folder / "dataset")},
        "output_root": str(folder / "run"),
        "input": {"representation": "dct", "size": SIZE},
        "primary": {"epochs": 1},
        "secondary": {"epochs": 1},
        "sources": [name.partition("/")[2] for name in SOURCES if name.startswith("fake/")] if heads else [],
        "evaluation": {task: {"min_roc_auc": 0.0} for task in ("detection", "attribution")},
        "open_set": {"leave_one_out": False},
    }
    times = _NodeTimes(count)
    with measured(count) as run:
        outcome = run_pipeline(validate_config(values, "growth"), "local", times)
    if outcome.error is not None:
        raise RuntimeError(f"the run failed: {outcome.report.message}") from outcome.error
    return {"prepare": prepared, "run": run, **times.phases}


def _write_tree(root: Path, count: int) -> None:
    from benchmarks.synthetic import encoded_images

    images = iter(encoded_images(count, SIZE))
    for name, share in SOURCES.items():
        (root / name).mkdir(parents=True)
        for number in range(count * share // sum(SOURCES.values())):
            (root / name / f"{number:06d}.png").write_bytes(next(images))


def fit(times: Mapping[int, Measurement]) -> tuple[float, float]:
    """Returns a and b of CPU seconds = a + b n, by least squares over n images -> what they took."""
    import numpy as np

    slope, fixed = np.polyfit(list(times), [one.cpu_seconds for one in times.values()], 1)
    return float(fixed), float(slope)


def _fitted(times: Mapping[int, Measurement]) -> str:
    fixed, slope = fit(times)
    return f"{fixed:.1f} s + {slope * 1000:.2f} ms n"


def main(arguments: Sequence[str]) -> int:
    """Prints the rows; returns 0."""
    from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
