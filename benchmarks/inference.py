"""Answers of the servable, against a script that does the same with Keras and Python.

    python benchmarks/inference.py [--short] [--json]

Both judge the same JPEG files of 128 px with the same weights (a primary module and one head, pixel input), 32 at a
time. The yardstick is what the published scorer does: Pillow decodes, Keras predicts, and for heatmaps a loop in Python
adds up each image's map channel by channel, enlarges and colours it. Neither side writes files. Rows on a hundred heads
compare with one head, and with a loop over a hundred Keras heads inside a graph.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measure import Row, benchmark_arguments, by_turns, rate_ratio, show

SIZE, BATCH, MANY = 128, 32, 100
# Multiplications and additions of one image, counted from the layers' shapes: six convolutions; two of a head.
_PRIMARY_OPERATIONS, _HEAD_OPERATIONS = 41e6, 18e6


def main(arguments: list[str]) -> int:
    """Prints the rows; returns the exit code."""
    from pipeline.startup import import_tensorflow, settle_environment

    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


def rows(short: bool) -> list[Row]:
    """Measures; `short` takes fewer images and rounds."""
    import keras

    from benchmarks.machine import decoded_per_second, multiplied_per_second
    from components.models.parameters import LayerParameters
    from components.models.primary import build_primary
    from components.models.secondary import build_secondary

    images = _jpegs(64 if short else 256)
    keras.utils.set_random_seed(0)
    layers = LayerParameters()
    primary = build_primary((SIZE, SIZE, 3), True, layers)
    heads = {f"gan_{n}": build_secondary((SIZE // 4, SIZE // 4, 16), True, layers, n) for n in range(MANY)}
    one = {"gan_0": heads["gan_0"]}
    with tempfile.TemporaryDirectory() as folder:
        (single, _), (hundred, load_seconds) = (
            _servable(Path(folder) / name, primary, some) for name, some in (("1", one), ("2", heads))
        )
        script = _Script(primary, heads["gan_0"])
        looped = _looped(primary, heads)
        rounds = 2 if short else 5
        plain = by_turns(
            {"ours": _over(images, single["serving_default"]), "script": lambda: script.scores(images)},
            len(images), rounds,
        )  # fmt: skip
        explained = by_turns(
            {
                "ours": _over(images, single["explain"]),
                "script": lambda: script.heatmaps(images),
                "network": script.network_alone(images),
            },
            len(images), rounds,
        )  # fmt: skip
        some = images[:BATCH] if short else images[: 2 * BATCH]
        many = by_turns(
            {
                "one": _over(some, single["serving_default"]),
                "hundred": _over(some, hundred["serving_default"]),
                "looped": _over(some, looped),
            },
            len(some),
            1 if short else 3,
        )
    decoding = plain["ours"].images_per_cpu_second / decoded_per_second(images)
    multiplied = multiplied_per_second()

    def share(measurement, operations: float) -> float:
        return measurement.images_per_cpu_second * operations / multiplied

    one_head, all_heads = _PRIMARY_OPERATIONS + _HEAD_OPERATIONS, _PRIMARY_OPERATIONS + MANY * _HEAD_OPERATIONS
    return [
        Row(
            "servable, one head", rate_ratio(plain["ours"], plain["script"]), 1.5, "images/CPU-s",
            plain["ours"], plain["script"],
            limit={"matrix products": share(plain["ours"], one_head), "decoding alone": decoding},
        ),
        Row(
            "servable with heatmaps", rate_ratio(explained["ours"], explained["script"]), 5, "images/CPU-s",
            explained["ours"], explained["script"],
            limit={"matrix products": share(explained["ours"], one_head)},
            note=f"the network alone: {rate_ratio(explained['network'], explained['script']):.1f}",
        ),
        Row(
            f"{MANY} heads against one", rate_ratio(many["one"], many["hundred"]), 12, "CPU-s an image",
            many["hundred"], many["one"], at_most=True,
            limit={"matrix products": share(many["hundred"], all_heads)},
            note=f"arithmetic alone is {all_heads / one_head:.0f} times as much; loads in {load_seconds:.1f} s",
        ),
        Row(
            f"{MANY} heads, against a loop over Keras heads", rate_ratio(many["hundred"], many["looped"]), None,
            "images/CPU-s", many["hundred"], many["looped"],
        ),
    ]  # fmt: skip


def _jpegs(count: int) -> list[bytes]:
    """Returns JPEG files of smooth colours with a grain."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (SIZE // 8, SIZE // 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
        buffer = io.BytesIO()
        noisy = np.clip(smooth + draw.normal(0.0, 3.0, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def _servable(folder: Path, primary, heads) -> tuple[dict[str, Callable], float]:
    """Exports and loads a servable; returns its signatures and the seconds that loading took."""
    import tensorflow as tf

    from components.features.parameters import InputParameters
    from components.servable.export import export_servable
    from components.servable.module import AttributionModule
    from components.servable.operating_points import OperatingPoints
    from components.servable.published import PublishedTransform

    inputs = InputParameters(representation="pixel", size=SIZE)
    points = OperatingPoints(0.5, dict.fromkeys(heads, 0.5))
    module = AttributionModule(PublishedTransform(SIZE, None), inputs, primary, heads, points)
    export_servable(folder, module, for_evaluation=True)
    started = time.perf_counter()
    loaded = tf.saved_model.load(str(folder))
    seconds = time.perf_counter() - started
    return {name: _answering(loaded, name) for name in ("serving_default", "explain")}, seconds


def _answering(loaded, signature: str) -> Callable:
    # Through the loaded object, which keeps the signature's variables alive.
    return lambda images: loaded.signatures[signature](image_bytes=images)


def _looped(primary, heads) -> Callable:
    """Returns the plain way: every head a Keras model of its own, one after the other in the graph."""
    import tensorflow as tf

    from components.features import image
    from components.models.primary import with_features

    features = with_features(primary)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def answer(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle, *_, decision = features(image.pixels(image.decode_windows(image_bytes, SIZE)), training=False)
        return decision, tf.concat([head(middle, training=False) for head in heads.values()], axis=1)

    return answer


def _over(images: list[bytes], ask: Callable) -> Callable[[], None]:
    """Returns a function that asks for all images, a batch at a time."""
    import tensorflow as tf

    batches = [tf.constant(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]

    def run() -> None:
        for batch in batches:
            answers = ask(batch)
            for value in answers.values() if isinstance(answers, dict) else answers:
                value.numpy()

    return run


class _Script:
    """The yardstick: Pillow, Keras' predict, and loops over images.

    Args:
        primary: the primary module.
        head: one head.
    """

    def __init__(self, primary, head) -> None:
        import keras

        from components.models import primary as primary_module
        from components.models import secondary

        middle, last, _, detection = primary_module.with_features(primary).outputs
        explained_head = keras.Model(head.input, [head.outputs[0], head.get_layer(secondary.LAST_LAYER).output])
        attribution, last_of_head = explained_head(middle)
        self._model = keras.Model(primary.input, [detection, attribution])
        self._explaining = keras.Model(primary.input, [detection, last, attribution, last_of_head])
        self._kernels = [
            model.get_layer(layer).kernel.numpy()[:, 0]
            for model, layer in ((primary, primary_module.DECISION_LAYER), (head, secondary.DECISION_LAYER))
        ]

    def scores(self, files: list[bytes]):
        """Decodes all images, then predicts in batches."""
        return self._model.predict(self._pixels(files), batch_size=BATCH, verbose=0)

    def heatmaps(self, files: list[bytes]) -> list:
        """Predicts with features, then draws a map for each image and module."""
        pixels = self._pixels(files)
        _, detection, _, attribution = self._explaining.predict(pixels, batch_size=BATCH, verbose=0)
        return [
            self._drawn(features[number], kernel, pixels[number])
            for number in range(len(files))
            for features, kernel in zip((detection, attribution), self._kernels, strict=True)
        ]

    def network_alone(self, files: list[bytes]) -> Callable[[], None]:
        """Returns a function that passes decoded images through the network, and does nothing else."""
        import tensorflow as tf

        pixels = tf.constant(self._pixels(files))
        forward = tf.function(lambda batch: self._explaining(batch, training=False))

        def run() -> None:
            for start in range(0, len(files), BATCH):
                forward(pixels[start : start + BATCH])[0].numpy()

        return run

    def _pixels(self, files: list[bytes]):
        import numpy as np
        from PIL import Image

        return (
            np.stack([np.asarray(Image.open(io.BytesIO(one)).convert("RGB"), np.float32) for one in files]) / 127.5 - 1
        )

    def _drawn(self, features, kernel, pixels):
        """Adds up one map channel by channel, enlarges and colours it, and lays it over the image."""
        import numpy as np
        from PIL import Image

        total = np.zeros(features.shape[:2], np.float32)
        for channel, weight in enumerate(kernel):
            total += weight * features[..., channel]
        enlarged = np.asarray(Image.fromarray(total).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        level = np.clip(enlarged, 0, 1)[..., np.newaxis]
        # Blue, green, yellow, red: the colours of a heatmap, as piecewise linear functions of the level.
        coloured = np.clip(1.5 - np.abs(4 * level - np.array([3.0, 2.0, 1.0])), 0, 1)
        return (127.5 * coloured + 0.5 * 127.5 * (pixels + 1)).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
