"""The demonstration's image tree: simulated cameras under real/, small generators under fake/.

Everything in it is synthetic, the "camera" images too (see camera.py); it exists so that the whole system can be tried
and tested without downloading anything.
"""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

from PIL import Image
from threadpoolctl import ThreadpoolController

from components.dataset.pool import chunks, ordered_map
from components.dataset.seeds import stream
from components.sample.camera import CAMERAS, photograph
from components.sample.generators import DEFAULT_GENERATORS, GENERATORS, build_generator, synthesise
from serving import atomic

MARKER = "sample.json"  # written last: its presence says that the tree is complete, its content what it was made of
_FORMAT_VERSION = 1  # raise it whenever the same parameters give other images
_SMALLEST = 32
_CHUNK = 16  # images a task


@dataclass(frozen=True)
class SampleSummary:
    """What write_sample_tree wrote, or found written.

    Attributes:
        counts: images of each source, keyed by directory relative to the tree, e.g. "real/real_camera1".
        size: side of each image in pixels.
        seed: seed of scenes, latents and noise.
        written: False if the tree was there already, made of the same parameters.
    """

    counts: dict[str, int]
    size: int
    seed: int
    written: bool

    def to_dict(self) -> dict[str, object]:
        """Returns the summary as plain values for JSON."""
        return asdict(self)


def write_sample_tree(
    out: Path,
    per_source: int = 200,
    size: int = 128,
    seed: int = 0,
    generators: Sequence[str] = DEFAULT_GENERATORS,
    progress: Callable[[int, int, str], None] | None = None,
    workers: int | None = None,
) -> SampleSummary:
    """Writes an image tree of two simulated cameras and some generators, as 8-bit RGB PNG files.

    An image depends on the seed, its source and its number only: neither on the number of workers nor on which other
    sources are written. The tree appears under its name when it is complete, so a killed run leaves none and can be run
    again.

    Args:
        out: directory to make; it may exist if it is empty.
        per_source: images of each source, at least 1.
        size: side of the images in pixels, a multiple of 8, at least 32.
        seed: seed of scenes, latents and noise. The generators' weights depend on their names only.
        generators: names out of GENERATORS.
        progress: called with (done, total, description) as images are written.
        workers: processes; None uses every core this process may use.

    Raises:
        ValueError: if a parameter breaks its rule, or `out` holds something else already.
    """
    _check(per_source, size, generators)
    sources = [f"real/{name}" for name in CAMERAS] + [f"fake/{name}" for name in generators]
    parameters = {
        "format_version": _FORMAT_VERSION,
        "per_source": per_source,
        "size": size,
        "seed": seed,
        "sources": sources,
    }
    summary = SampleSummary(dict.fromkeys(sources, per_source), size, seed, written=True)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if _was_made_of(out, parameters):
            return SampleSummary(summary.counts, size, seed, written=False)
        raise ValueError(
            f"{out}: exists and was not made by this command with these parameters. "
            "Choose another directory, or delete this one."
        )

    tasks = [(source, numbers) for source in sources for numbers in chunks(range(per_source), _CHUNK)]
    cores = len(os.sched_getaffinity(0)) if workers is None else workers
    done = 0
    with atomic.create_directory(out, sole_writer=True) as tree:
        for source in sources:
            (tree / source).mkdir(parents=True)
        write = partial(_write_images, tree, size, seed)
        for (source, numbers), _ in zip(tasks, ordered_map(write, tasks, cores), strict=True):
            done += len(numbers)
            if progress is not None:
                progress(done, per_source * len(sources), source)
        (tree / MARKER).write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    return summary


def sample_image(source: str, number: int, size: int, seed: int) -> bytes:
    """Renders one image of the sample tree.

    Args:
        source: directory relative to the tree, e.g. "real/real_camera1" or "fake/nearest_demo".
        number: which image of the source, from 0.
        size: side in pixels.
        seed: seed of scene, latent and noise.

    Returns:
        The bytes of a PNG file.
    """
    kind, name = source.split("/")
    random = stream("sample", seed, source, number)
    # Products of matrices are rounded otherwise on two threads than on one, and with them the last bit of a pixel.
    with _libraries().limit(limits=1, user_api="blas"):
        if kind == "real":
            pixels = photograph(CAMERAS[name], random, size)
        else:
            pixels = synthesise(build_generator(name), random, size)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def _libraries() -> ThreadpoolController:
    """Returns the control of the threads of numpy's linear algebra; to find the libraries takes a moment."""
    return ThreadpoolController()


def _write_images(tree: Path, size: int, seed: int, task: tuple[str, Sequence[int]]) -> None:
    """Writes some images of one source (what one worker does at a time)."""
    source, numbers = task
    for number in numbers:
        (tree / source / f"{number:06d}.png").write_bytes(sample_image(source, number, size, seed))


def _check(per_source: int, size: int, generators: Sequence[str]) -> None:
    """Raises ValueError if a parameter of write_sample_tree breaks its rule."""
    if per_source < 1:
        raise ValueError(f"per_source: must be at least 1, got {per_source}. Set it to the number of images a source.")
    if size < _SMALLEST or size % 8:
        raise ValueError(f"size: must be a multiple of 8 and at least {_SMALLEST}, got {size}. Try 128.")
    unknown = [name for name in generators if name not in GENERATORS]
    if unknown:
        raise ValueError(f"generators: unknown: {', '.join(unknown)}. Known: {', '.join(GENERATORS)}.")
    if not generators or len(set(generators)) < len(generators):
        raise ValueError(
            f"generators: must name at least one, and each once, got {list(generators)}. "
            f"Known: {', '.join(GENERATORS)}."
        )


def _was_made_of(out: Path, parameters: dict[str, object]) -> bool:
    """Tells whether a complete tree made of these parameters stands in `out`."""
    try:
        found = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == parameters)
