"""Images a second of each step, and whether the step computes or waits for its images.

    benchmarks/gpu.sh [--short] [--json] [--size PX] [--batch N] [--representation pixel|dct]

    decode + transform    the input pipeline alone, from encoded images to model inputs
    primary, PRECISION    the product's training step on inputs in memory, in each precision
    head                  the same on middle features in memory
    serving               images as bytes through transform, primary module and one head, in batches

A step is input-bound where its images arrive more slowly than it could take them, and compute-bound otherwise. Heads
read middle features that were computed before, so they are compared with copies from memory alone. Runs on the GPU if
TensorFlow finds one, else on the CPU, which has no fast 16-bit arithmetic: there its rates in these precisions say
nothing about a GPU.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import benchmark_arguments

PRECISIONS = ("float32", "bfloat16", "float16")


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns the exit code."""
    from pipeline.startup import import_tensorflow, settle_environment

    parser = benchmark_arguments(__doc__)
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images a step (default: %(default)s)")
    parser.add_argument("--representation", choices=("pixel", "dct"), default="pixel", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.size % 8 or options.size < 32 or options.batch < 1:
        parser.error("--size must be a multiple of 8 and at least 32, --batch at least 1")
    settle_environment()
    import_tensorflow(verbose=False)
    result = measure(options.representation, options.size, options.batch, 1 if options.short else 10)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else text(result)) + "\n")
    return 0


def measure(representation: str, size: int, batch: int, epochs: int) -> dict:
    """Measures every step.

    Args:
        representation: "pixel" or "dct".
        size: height and width in pixels.
        batch: images a step.
        epochs: how often each step takes all images; an epoch is four batches.

    Returns:
        {"device", "representation", "size", "batch", "images_per_second": {step: rate}, "bound": {step: "input-bound"
        or "compute-bound"}}.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from benchmarks.synthetic import encoded_images, read_dataset, transform_of, write_dataset
    from components.features.parameters import InputParameters
    from components.models.parameters import LayerParameters
    from components.models.primary import MIDDLE_LAYER, build_primary
    from components.models.secondary import build_secondary
    from components.training.inputs import DecodedInputs, LabelledInputs, StoredInputs
    from components.training.learners import Learner
    from components.training.parameters import TrainingParameters

    gpus = tf.config.list_physical_devices("GPU")
    inputs = InputParameters(representation=representation, size=size)
    pooled, layers = representation == "pixel", LayerParameters()
    images = encoded_images(4 * batch, size)
    transform = transform_of(size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.tfrecord.gz"
        write_dataset(path, images)
        split = read_dataset(path)
        decoded = DecodedInputs(split, transform, representation, Path(folder))
    order = np.array_split(np.arange(len(images)), 4)
    primary = build_primary(inputs.shape, pooled, layers, seed=1)
    middle = keras.Model(primary.input, [primary.get_layer(MIDDLE_LAYER).output, primary.output])
    head = build_secondary(middle.output_shape[0][1:], pooled, layers, seed=1)
    arrays = np.concatenate([np.asarray(one) for one in decoded.batches(order)])
    features = np.concatenate([np.asarray(middle(arrays[one])[0]) for one in order])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(encoded):
        found, fake = middle(transform(encoded)[representation], training=False)
        return fake, head(found, training=False)

    def training(model: keras.Model, data: np.ndarray, precision: str) -> Callable[[], object]:
        learner = Learner(model, TrainingParameters(batch_size=batch, precision=precision))
        labelled = LabelledInputs(StoredInputs(data), split.labels, np.ones(len(data), np.float32))
        return lambda: learner.run_epoch(labelled, epoch=0)

    def rate(run: Callable[[], object]) -> float:
        run()
        started = time.perf_counter()
        for _ in range(epochs):
            run()
        return epochs * len(images) / (time.perf_counter() - started)

    rates = {"decode + transform": rate(lambda: [np.asarray(one)[:1] for one in decoded.batches(order)])}
    for precision in PRECISIONS:
        rates[f"primary, {precision}"] = rate(training(primary, arrays, precision))
    rates["head"] = rate(training(head, features, "float32"))
    rates["serving"] = rate(lambda: [serve(tf.constant([images[row] for row in one]))[0].numpy() for one in order])
    # What a head waits for: features that are gathered from memory and handed to TensorFlow.
    copied = rate(lambda: [tf.identity(features[one]) for one in order])
    model_alone = rate(lambda: [middle(arrays[one], training=False)[1].numpy() for one in order])
    arriving = {**dict.fromkeys(rates, rates["decode + transform"]), "head": copied}
    computing = {**rates, "serving": model_alone}
    bound = {
        step: "input-bound" if arriving[step] < computing[step] else "compute-bound"
        for step in rates
        if step != "decode + transform"
    }
    device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU, no GPU"
    return {"device": device, "representation": representation, "size": size, "batch": batch,
            "images_per_second": rates, "bound": bound}  # fmt: skip


def text(result: dict) -> str:
    """Returns a result as a Markdown table."""
    lines = [
        f"Device: {result['device']}. {result['representation']}, {result['size']} px, batches of {result['batch']}.",
        "",
        "| step | images/s | |",
        "|---|---|---|",
    ]
    for step, rate in result["images_per_second"].items():
        lines.append(f"| {step} | {rate:,.0f} | {result['bound'].get(step, '')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
