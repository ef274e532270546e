"""DCT statistics: the Transform node's analysis against a loop over images.

    python benchmarks/dct_statistics.py [--short] [--json]

Both read the same PNG files and give, for every coefficient of the log-spectrum, its mean and variance. Ours is what
the pipeline runs: TFX's Transform executor with its Beam pipeline in process, from TFRecord to the exported graph. The
yardstick is the published method: Pillow decodes, SciPy transforms, and Welford's recurrence keeps the statistics,
image by image. What a run costs however few images there are (graphs to build, to trace and to save) is measured with
few images and taken off; the note names it.
"""

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measure import Measurement, Row, benchmark_arguments, measured, rate_ratio, show

if TYPE_CHECKING:
    import numpy as np

_FEW = 32


def main(arguments: list[str]) -> int:
    """Prints the rows; returns the exit code."""
    from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


def rows(short: bool) -> list[Row]:
    """Measures; `short` takes one size and fewer images."""
    found = []
    for size, count in ((128, 2048),) if short else ((128, 8192), (256, 2048)):
        found += _rows_of(size, count)
    return found


def _rows_of(size: int, count: int) -> list[Row]:
    from benchmarks.machine import decoded_per_second
    from benchmarks.synthetic import encoded_images

    different = encoded_images(min(count, 256), size)
    images = [different[number % len(different)] for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        node = _Node(Path(folder), size)
        few, quarter, all_of_them = (node.write(images[:number]) for number in (_FEW, count // 4, count))
        node.run(few)  # what is imported and compiled once is on no account
        with measured(_FEW) as fixed:
            node.run(few)
        with measured(count // 4) as fewer:
            node.run(quarter)
        with measured(count) as ours:
            node.run(all_of_them)
    looped = images[: count // 8]
    published_loop(looped[:_FEW], size)
    with measured(len(looped)) as yardstick:
        published_loop(looped, size)
    rate = _without(ours, fixed)
    return [
        Row(
            f"DCT statistics, {size} px", rate_ratio(rate, yardstick), 1.5, "images/CPU-s", rate, yardstick,
            limit={"decoding alone": rate.images_per_cpu_second / decoded_per_second(different)},
            note=f"{fixed.cpu_seconds:.1f} CPU-s for the first {_FEW} images, taken off",
        ),
        Row(
            f"cores at work meanwhile, {size} px", rate.cpu_seconds / rate.wall_seconds, 1.7, "CPU time over wall time",
            note=f"{len(os.sched_getaffinity(0))} cores, if nobody else wants them",
        ),
        Row(
            f"its memory, {count:,} images against {count // 4:,}, {size} px", ours.peak_bytes / fewer.peak_bytes, 1.1,
            "of the peak", ours, fewer, at_most=True,
        ),
    ]  # fmt: skip


def _without(all_of_it: Measurement, fixed: Measurement) -> Measurement:
    """Takes the fixed part off."""
    return Measurement(
        all_of_it.images - fixed.images,
        all_of_it.wall_seconds - fixed.wall_seconds,
        all_of_it.cpu_seconds - fixed.cpu_seconds,
        all_of_it.peak_bytes,
    )


class _Node:
    """The Transform node of a pipeline, as often as asked, each time from nothing.

    Args:
        folder: for what it reads and writes.
        size: of the images, in pixels.
    """

    def __init__(self, folder: Path, size: int) -> None:
        from pipeline.config.schema import validate_config
        from pipeline.graph.pipeline import create_pipeline

        values = {"name": "b", "data": {"dataset": str(folder)}, "output_root": str(folder), "input": {"size": size}}
        nodes = create_pipeline(validate_config(values, "benchmark")).components
        self._node = next(node for node in nodes if node.id == "Transform")
        self._folder, self._runs = folder, 0

    def write(self, images: list[bytes]) -> Path:
        """Writes images as ImportExampleGen leaves them; returns the folder."""
        folder = self._folder / f"examples-{len(images)}"
        _write_examples(folder / "Split-train", images)
        return folder

    def run(self, written: Path) -> None:
        """Analyses images that were written."""
        from google.protobuf.json_format import MessageToJson
        from google.protobuf.message import Message
        from tfx.components.transform.executor import Executor
        from tfx.dsl.components.base import base_beam_executor
        from tfx.types import artifact_utils, standard_artifacts

        self._runs += 1
        place = self._folder / str(self._runs)
        examples, schema, graph = (
            kind()
            for kind in (standard_artifacts.Examples, standard_artifacts.Schema, standard_artifacts.TransformGraph)
        )
        examples.uri, schema.uri, graph.uri = str(written), str(place / "schema"), str(place / "graph")
        examples.split_names = artifact_utils.encode_split_names(["train"])
        _write_schema(place / "schema")
        properties = {
            name: MessageToJson(value) if isinstance(value, Message) else value
            for name, value in self._node.exec_properties.items()
        }
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=self._node.executor_spec.beam_pipeline_args, tmp_dir=str(place / "tmp"), unique_id="1"
        )
        Executor(context).Do({"examples": [examples], "schema": [schema]}, {"transform_graph": [graph]}, properties)


def _write_examples(folder: Path, images: list[bytes]) -> None:
    """Writes one compressed file, as ImportExampleGen does; Beam cannot split it."""
    import tensorflow as tf

    from components.examples import names
    from components.examples.records import encode_example

    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for image in images:
            writer.write(encode_example({names.IMAGE_BYTES: image, names.LABEL: 0}))


def _write_schema(folder: Path) -> None:
    """Writes the schema that SchemaGen infers for these examples."""
    import tensorflow as tf
    from google.protobuf.text_format import MessageToString
    from tensorflow_transform.tf_metadata import schema_utils

    from components.examples import names

    folder.mkdir(parents=True)
    spec = {
        names.IMAGE_BYTES: tf.io.FixedLenFeature([1], tf.string),
        names.LABEL: tf.io.FixedLenFeature([1], tf.int64),
    }
    (folder / "schema.pbtxt").write_text(MessageToString(schema_utils.schema_from_feature_spec(spec)))


def published_loop(images: list[bytes], size: int) -> tuple["np.ndarray", "np.ndarray"]:
    """The yardstick: one image after the other; Welford's recurrence for mean and variance of each coefficient."""
    import numpy as np
    from PIL import Image
    from scipy.fft import dctn

    mean, squares = np.zeros((size, size)), np.zeros((size, size))
    for number, encoded in enumerate(images, 1):
        grey = np.asarray(Image.open(io.BytesIO(encoded)).convert("L"), np.float64)
        spectrum = np.log(np.abs(dctn(grey, type=2, norm="ortho")) + 1e-12)
        difference = spectrum - mean
        mean += difference / number
        squares += difference * (spectrum - mean)
    return mean, squares / len(images)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
