"""Training of heads on middle features that are computed once, against passes through the whole model.

    python benchmarks/head_training.py [--short] [--json]

Ours is the product's own way: `extract_middle_features` once a process, from encoded images (PNG) in a TFRecord file,
then `train_head` for every head, with one traced learner for all of them. The yardstick is the published method's:
primary module and head are one Keras model with two outputs, the primary module frozen, trained by `fit` on inputs that
lie decoded in memory, so that every epoch of every head takes every image through the primary module again. The same
images, batches, optimizer and epochs, and both look at the eval split after every epoch. It is compiled once for all
rounds, which a process a head would not get.

What is counted, by row:

    a head's epochs     ours and the yardstick: training and validation of one head. Neither decoding nor extraction,
                        and tracing on neither side
    four heads, or one  ours twice, each from encoded images to scored heads: extraction, tracing, training, scoring
    a hundred heads     ours: training and scoring of each head, the later half against the earlier one, and the most
                        memory in each half
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Measurement, Row, benchmark_arguments, by_turns, measured, rate_ratio, show
from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

if TYPE_CHECKING:
    import keras

    from components.training.examples import Split
    from components.training.learners import LearnerPool
    from components.training.middle_features import MiddleFeatures
    from components.training.parameters import TrainingParameters

BATCH = 64
EVAL_SHARE = 8  # one image of the eval split for so many of the train split


@dataclass(frozen=True)
class Extent:
    """How much is run.

    Attributes:
        images: of the train split, for the rows at 128 px.
        epochs: of a head against the yardstick.
        rounds: of that comparison.
        epochs_of_four: of each head, where four are compared with one.
        many_images: of the train split for the row of many heads, at 16 px.
        many_heads: how many those are.
    """

    images: int
    epochs: int
    rounds: int
    epochs_of_four: int
    many_images: int
    many_heads: int


FULL = Extent(images=256, epochs=5, rounds=2, epochs_of_four=10, many_images=20_000, many_heads=100)
SHORT = Extent(images=128, epochs=2, rounds=1, epochs_of_four=5, many_images=1_000, many_heads=8)


def rows(short: bool) -> list[Row]:
    """Runs the benchmark."""
    extent = SHORT if short else FULL
    with tempfile.TemporaryDirectory() as folder:
        small = Experiment(Path(folder) / "small", extent.many_images, size=16, sources=extent.many_heads)
        large = Experiment(Path(folder) / "large", extent.images, size=128, sources=8)
        return [
            _epochs_of_a_head(large, extent.epochs, extent.rounds),
            _four_heads(large, extent.epochs_of_four),
            *_many_heads(small, extent.many_heads),
        ]


def main(arguments: list[str]) -> int:
    """Runs the benchmark alone; returns the exit code."""
    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


class Experiment:
    """Images of several sources, a frozen primary module with whatever weights, and both ways of training a head."""

    def __init__(self, folder: Path, images: int, size: int, sources: int) -> None:
        from benchmarks.synthetic import transform_of
        from components.features.parameters import InputParameters
        from components.models.parameters import LayerParameters
        from components.models.primary import build_primary

        folder.mkdir()
        self.images, self.size = images, size
        self.splits = {
            "train": _synthetic_split(folder, "train", images, size, sources),
            "eval": _synthetic_split(folder, "eval", images // EVAL_SHARE, size, sources),
        }
        self.primary = build_primary((size, size, 1), False, LayerParameters(), seed=1)
        self._transform = transform_of(size)
        # A head asks for the representation alone: the size is that of its features.
        self._inputs = InputParameters(representation="dct")

    def features(self) -> "MiddleFeatures":
        """Returns the middle features of both splits, in memory."""
        from components.training.middle_features import extract_middle_features
        from components.training.parameters import TrainingParameters
        from components.training.training import Training

        training = Training(self.splits, self._inputs, TrainingParameters(memory_budget_mb=2**20))
        return extract_middle_features(self.primary, training, self._transform)

    def train(self, number: int, features: "MiddleFeatures", epochs: int, pool: "LearnerPool", batch: int) -> None:
        """Trains and scores the head of source `number`, our way."""
        from components.training.modules import train_head
        from components.training.training import Training

        training = Training(self.splits, self._inputs, _parameters(epochs, batch), learners=pool)
        train_head(training, f"source{number:03d}", features)

    def published(self, epochs: int) -> Callable[[], object]:
        """Returns what trains the head of source 0 for some epochs the published way, decoded inputs in memory."""
        import keras
        import numpy as np

        from components.training.inputs import DecodedInputs

        decoded, targets = {}, {}
        for name, split in self.splits.items():
            inputs = DecodedInputs(split, self._transform, "dct")
            decoded[name] = np.concatenate(list(inputs.batches([np.arange(split.count)])))
            targets[name] = [split.labels, (split.sources == "source000").astype(np.int32)]
        model = _published_model(self.primary)
        # The published loss; the detecting output's share of it is constant, since its module is frozen.
        losses = ["binary_crossentropy", "binary_crossentropy"]
        model.compile(keras.optimizers.Adam(_parameters(epochs, BATCH).learning_rate), losses)
        validation = (decoded["eval"], targets["eval"])
        return partial(
            model.fit, decoded["train"], targets["train"],
            batch_size=BATCH, epochs=epochs, validation_data=validation, verbose=0,
        )  # fmt: skip

    def multiplications_of_a_step(self) -> int:
        """Returns the floating-point operations that a training step of a head does for each image.

        The two convolutions run forwards and once more for the gradient of their weights; the second also for that of
        its input, which the first one has no use for.
        """
        from components.models.primary import MIDDLE_CHANNELS

        places, filters = (self.size // 4) ** 2, 32
        first = 2 * places * 3 * 3 * MIDDLE_CHANNELS * filters
        second = 2 * (places // 4) * 4 * 4 * filters * filters
        return 2 * first + 3 * second


def _epochs_of_a_head(experiment: Experiment, epochs: int, rounds: int) -> Row:
    from benchmarks.machine import multiplied_per_second
    from components.training.learners import LearnerPool

    features, pool = experiment.features(), LearnerPool()
    ways = {
        "ours": partial(experiment.train, 0, features, epochs, pool, BATCH),
        "yardstick": experiment.published(epochs),
    }
    taken = by_turns(ways, epochs * experiment.images, rounds)
    ours, yardstick = taken["ours"], taken["yardstick"]
    multiplied = experiment.multiplications_of_a_step() * ours.images_per_cpu_second
    return Row(
        f"a head's epoch, {experiment.size} px",
        rate_ratio(ours, yardstick),
        2.0,
        "images a CPU-second",
        ours,
        yardstick,
        limit={"float32 matrix product": multiplied / multiplied_per_second()},
        note="on middle features in memory, against Keras fit of the whole model on inputs in memory",
    )


def _four_heads(experiment: Experiment, epochs: int) -> Row:
    from components.training.learners import LearnerPool

    def train_heads(count: int) -> None:
        features, pool = experiment.features(), LearnerPool()
        for number in range(count):
            experiment.train(number, features, epochs, pool, BATCH)

    train_heads(1)  # kernels are chosen once, for neither's account
    with measured(epochs * experiment.images) as one:
        train_heads(1)
    with measured(4 * epochs * experiment.images) as four:
        train_heads(4)
    each = (four.cpu_seconds - one.cpu_seconds) / 3
    once = one.cpu_seconds - each
    return Row(
        f"four heads of {epochs} epochs over one, {experiment.size} px",
        four.cpu_seconds / one.cpu_seconds,
        2.5,
        "CPU seconds",
        four,
        one,
        at_most=True,
        note=f"a head takes {each:.2f} s, {each / epochs:.2f} s an epoch; extraction and tracing {once:.2f} s once",
    )


def _many_heads(experiment: Experiment, heads: int) -> list[Row]:
    from components.training.learners import LearnerPool

    features, pool = experiment.features(), LearnerPool()
    experiment.train(0, features, 1, pool, 4 * BATCH)  # traced, for no half's account
    halves = []
    for numbers in (range(heads // 2), range(heads // 2, heads)):
        with measured(experiment.images * len(numbers)) as half:
            for number in numbers:
                experiment.train(number, features, 1, pool, 4 * BATCH)
        halves.append(half)
    earlier, later = halves
    name = f"{heads} heads on {experiment.images:,} images, {experiment.size} px"
    return [
        _of_halves(f"{name}: time", later.cpu_seconds / earlier.cpu_seconds, "CPU seconds", later, earlier),
        _of_halves(f"{name}: memory", later.peak_bytes / earlier.peak_bytes, "peak memory", later, earlier),
    ]


def _of_halves(name: str, ratio: float, of: str, later: Measurement, earlier: Measurement) -> Row:
    return Row(name, ratio, 1.1, of, later, earlier, at_most=True, note="the later half of the heads over the earlier")


def _parameters(epochs: int, batch: int) -> "TrainingParameters":
    from components.training.parameters import TrainingParameters

    return TrainingParameters(epochs=epochs, early_stopping=epochs, batch_size=batch)


def _published_model(primary: "keras.Model") -> "keras.Model":
    """Returns a frozen primary module and an untrained head on its middle features, as one model of two outputs."""
    import keras

    from components.models.parameters import LayerParameters
    from components.models.primary import MIDDLE_LAYER
    from components.models.secondary import build_secondary

    middle = primary.get_layer(MIDDLE_LAYER).output
    head = build_secondary(middle.shape[1:], False, LayerParameters(), seed=0)
    model = keras.Model(primary.input, [primary.output, head(middle)])
    primary.trainable = False
    return model


def _synthetic_split(folder: Path, name: str, images: int, size: int, sources: int) -> "Split":
    """Writes a split whose images belong to as many sources as asked for, by turns."""
    import numpy as np

    from benchmarks.synthetic import encoded_images, read_dataset, write_dataset

    path = folder / f"{name}.tfrecord.gz"
    write_dataset(path, encoded_images(images, size))
    of_source = np.array([f"source{number % sources:03d}" for number in range(images)])
    return replace(read_dataset(path), name=name, sources=of_source)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
