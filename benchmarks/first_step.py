"""From a prepared dataset to the first batch of training, against writing and loading float arrays.

    python benchmarks/first_step.py [--short] [--json]

    ours        reads the labels, copies the encoded images out of the TFRecord file into a temporary one, and decodes
                the images of one batch by the transform graph
    yardstick   the published method: decodes every image with Pillow, writes it as a float array of its own (.npy;
                float32 pixels, or the float64 log-spectrum of scipy), and loads all of them into memory

Both end with the inputs of a shuffled batch of 64. The step itself is the same for both and not counted. The disk is
what each way writes: the temporary copy, and the arrays. The yardstick finds the encoded images in memory; it is not
charged for reading them.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Row, benchmark_arguments, by_turns, measured, show, size_on_disk

SIZE = 128
BATCH = 64


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns the exit code."""
    from pipeline.startup import import_tensorflow, settle_environment

    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


def rows(short: bool) -> list[Row]:
    """Measures time and disk of both representations."""
    import numpy as np

    from benchmarks.synthetic import encoded_images, write_dataset

    count, rounds = (512, 1) if short else (4096, 2)
    images = encoded_images(min(count, 512), SIZE)
    images = [images[number % len(images)] for number in range(count)]
    batch = np.random.default_rng(0).permutation(count)[:BATCH]
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "examples.tfrecord.gz", images)
        for representation in ("pixel", "dct"):
            arrays = folder / representation
            arrays.mkdir()
            ours = _ours(folder / "examples.tfrecord.gz", representation, batch)
            ways = {"ours": ours, "yardstick": _yardstick(images, representation, arrays, batch)}
            one = by_turns(ways, count, rounds)
            # Reading and unpacking what is in the file, which no way can do without.
            with measured(count) as unpacking:
                _unpack(folder / "examples.tfrecord.gz")
            one["yardstick"].disk_bytes = size_on_disk(arrays)
            one["ours"].disk_bytes = sum(len(image) for image in images)
            found.append(
                Row(
                    f"first step, {representation}, {SIZE} px, {count} images",
                    one["yardstick"].wall_seconds / one["ours"].wall_seconds,
                    10,
                    "x less wall time",
                    one["ours"],
                    one["yardstick"],
                    limit={"unpacking the file once": unpacking.wall_seconds * rounds / one["ours"].wall_seconds},
                )
            )
        found.append(_disk(found[0]))
    return found


def _disk(pixel: Row) -> Row:
    written, arrays = pixel.ours.disk_bytes, pixel.yardstick.disk_bytes
    return Row("disk before the first step", arrays / written, 6, "x less than pixel arrays alone",
               note=f"{written / 1e6:.0f} MB of PNG against {arrays / 1e6:.0f} MB")  # fmt: skip


def _ours(path: Path, representation: str, batch: object) -> Callable[[], object]:
    from benchmarks.synthetic import read_dataset, transform_of
    from components.features.parameters import InputParameters
    from components.training.inputs import Storage, image_inputs

    transform = transform_of(SIZE)
    parameters = InputParameters(representation=representation, size=SIZE)

    def run() -> object:
        return next(image_inputs(read_dataset(path), transform, parameters, Storage(2**20)).batches([batch]))

    return run


def _yardstick(images: list[bytes], representation: str, folder: Path, batch: object) -> Callable[[], object]:
    import numpy as np
    import scipy.fftpack
    from PIL import Image

    def write(number: int, encoded: bytes) -> None:
        image = Image.open(io.BytesIO(encoded))
        if representation == "pixel":
            values = np.asarray(image.convert("RGB")).astype(np.float32) / 127.5 - 1.0
        else:
            rows_done = scipy.fftpack.dct(np.asarray(image.convert("L")), axis=0, norm="ortho")
            spectrum = scipy.fftpack.dct(rows_done, axis=1, norm="ortho")
            values = (np.log(np.abs(spectrum) + 1e-12) - 2.0) / 1.5
        np.save(folder / f"{number}.npy", values)

    def run() -> object:
        for number, encoded in enumerate(images):
            write(number, encoded)
        np.save(folder / "labels.npy", np.arange(len(images)) % 2)
        loaded = np.stack([np.load(folder / f"{number}.npy") for number in range(len(images))], dtype=np.float32,
                          casting="same_kind")  # fmt: skip
        return loaded[batch]

    return run


def _unpack(path: Path) -> None:
    from components.examples.reading import records

    for _ in records([path]).batch(256):
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
