"""What the frozen-feature cache gives: images a CPU-second per epoch of head training, with it and without it.

    python benchmarks/head_training.py [--images N] [--size PX] [--epochs N] [--json]

All ways go through the product's own training loop, on the same synthetic images, which lie encoded (PNG) in a
TFRecord file as in a prepared dataset:

    with      the primary module's middle features are computed once and reused, over all epochs and all heads;
              computing them is counted
    without   every epoch of every head takes its images through the frozen primary module again, decoded inputs being
              kept in memory; `without, decoding` decodes them again too, as a dataset past the memory budget must

CPU time is that of all threads of the process, so that other work on the machine disturbs little. The first epoch of
every head, in which TensorFlow builds its functions, is run but not counted, in any of the ways.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HEAD_COUNTS = (1, 4)
BATCH = 64


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512, help="images in the train split (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of each head (default: %(default)s)")
    parser.add_argument("--representation", choices=("dct", "pixel"), default="dct", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.images < 2 * len(HEAD_COUNTS) * BATCH or options.size % 8 or options.epochs < 1:
        parser.error(f"--images must be at least {4 * BATCH}, --size a multiple of 8, --epochs at least 1")
    result = measure(options.images, options.size, options.epochs, options.representation)
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    print(
        f"{options.images} images of {options.size} px, {options.representation}, {options.epochs} epochs a head: "
        "images a CPU-second per epoch"
    )
    print(f"{'heads':>5} {'with cache':>12} {'without':>12} {'ratio':>7} {'without, decoding':>19} {'ratio':>7}")
    for row in result["rows"]:
        rates, ratios = row["images_per_cpu_second"], row["ratio"]
        print(
            f"{row['heads']:>5} {rates['with']:>12.0f} {rates['without']:>12.0f} {ratios['without']:>7.2f} "
            f"{rates['without, decoding']:>19.0f} {ratios['without, decoding']:>7.2f}"
        )
    return 0


def measure(images: int, size: int, epochs: int, representation: str) -> dict:  # noqa: PLR0915 (one experiment)
    """Trains heads in each way.

    Returns:
        {"images", "size", "epochs", "representation", "rows": [{"heads", "images_per_cpu_second": {way: rate},
        "cpu_seconds": {way: seconds}, "ratio": {way: rate with the cache over rate of that way}}]}
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from components.features import dct, image
    from components.features.parameters import InputParameters
    from components.models.parameters import LayerParameters
    from components.models.primary import build_primary
    from components.models.secondary import build_secondary
    from components.trainer.examples import Split
    from components.trainer.inputs import DecodedInputs, MemoryBudget, ModelInputs, StoredInputs, image_inputs
    from components.trainer.loop import LabelledInputs, train
    from components.trainer.middle_features import extract_middle_features
    from components.trainer.parameters import TrainingParameters

    inputs = InputParameters(representation=representation, size=size)
    primary = build_primary(inputs.shape, representation == "pixel", LayerParameters(), seed=1)
    primary_with_middle = keras.Model(primary.input, [primary.get_layer("dRelu_04").output, primary.output])
    forward = tf.function(lambda batch: primary_with_middle(batch, training=False), reduce_retracing=True)

    def transform(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        windows = image.decode_windows(encoded, size)
        spectrum = dct.log_spectrum(image.grey(windows))
        return {"pixel": image.pixels(windows), "dct": (spectrum - 4.0) / 1.5}

    class ThroughPrimary:
        """Middle features that are computed whenever they are asked for."""

        def __init__(self, source: ModelInputs) -> None:
            self._source = source
            self.count = source.count

        def batches(self, indices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            return (forward(batch)[0].numpy() for batch in self._source.batches(indices))

    with tempfile.TemporaryDirectory() as folder:
        split = _synthetic_split(Path(folder) / "examples.tfrecord.gz", images, size, Split)
        decoded = image_inputs(split, transform, inputs, MemoryBudget(2**20))

        def with_cache() -> ModelInputs:
            budget = MemoryBudget(2**20)
            found = extract_middle_features(primary, {"train": split}, transform, representation, budget)
            return StoredInputs(found["train"])

        ways: dict[str, Callable[[], ModelInputs]] = {
            "with": with_cache,
            "without": lambda: ThroughPrimary(decoded),
            "without, decoding": lambda: ThroughPrimary(DecodedInputs(split, transform, representation)),
        }

        def train_heads(way: str, heads: int, epochs: int) -> float:
            """Returns the CPU seconds."""
            started = time.process_time()
            features = ways[way]()
            seconds = time.process_time() - started
            for number in range(heads):
                targets = (np.arange(images) % 8 == number).astype(np.int32)
                labelled = LabelledInputs(features, targets, np.ones(images, np.float32))
                # A batch of eval images: the benchmark is of training.
                few = LabelledInputs(StoredInputs(next(iter(features.batches([np.arange(BATCH)])))), targets[:BATCH],
                                     np.ones(BATCH, np.float32))  # fmt: skip
                shape = (size // 4, size // 4, 16)
                head = build_secondary(shape, representation == "pixel", LayerParameters(), seed=number)
                clock.ends.clear()
                train(head, labelled, few, TrainingParameters(epochs=epochs + 1, early_stopping=epochs + 1))
                seconds += clock.ends[-1] - clock.ends[0]
            return seconds

        logger = logging.getLogger("components.trainer.loop")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(clock := _EpochClock())
        for way in ways:  # kernels are chosen once, for no way's account
            train_heads(way, 1, 1)
        rows = []
        for heads in HEAD_COUNTS:
            seconds = {way: train_heads(way, heads, epochs) for way in ways}
            rates = {way: heads * epochs * images / value for way, value in seconds.items()}
            rows.append(
                {
                    "heads": heads,
                    "images_per_cpu_second": rates,
                    "cpu_seconds": seconds,
                    "ratio": {way: rates["with"] / rates[way] for way in ways if way != "with"},
                }
            )
    return {"images": images, "size": size, "epochs": epochs, "representation": representation, "rows": rows}


class _EpochClock(logging.Handler):
    """Notes the process's CPU time at the end of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "training_progress"):
            self.ends.append(time.process_time())


def _synthetic_split(path: Path, images: int, size: int, split: type) -> object:
    """Writes images of smoothed noise, as TFRecord of tf.Example; half of them labelled fake."""
    import numpy as np
    import tensorflow as tf

    from components.features import names

    draw = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for _ in range(images):
            coarse = draw.integers(0, 256, (size // 8, size // 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
            picture = (coarse // 2 + draw.integers(0, 32, coarse.shape, np.uint8)).astype(np.uint8)
            encoded = tf.io.encode_png(picture).numpy()
            feature = {names.IMAGE_BYTES: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    labels = np.arange(images, dtype=np.int32) % 2
    numbers = np.array([f"{number:06d}" for number in range(images)])
    return split("train", (str(path),), labels, numbers, numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
