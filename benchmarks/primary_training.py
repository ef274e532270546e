"""Training of the primary module from encoded images, against plain Keras `fit` on float arrays in memory.

    python benchmarks/primary_training.py [--short] [--json]

    ours        the product's training loop from encoded images, over four epochs from the first on: within the memory
                budget an image is decoded by the transform graph when it is first asked for, and kept. The remark
                gives the ratio of a dataset past the budget, each image of which is decoded anew in each epoch
    yardstick   the same network, batches and epochs, `compile(Adam, binary_crossentropy)` and `fit`, on arrays that
                lie in memory already; XLA is off, which is slower on a CPU

Nothing of the eval split is counted on either side. The second line of each kind compares the input pipeline alone with
our model alone (on arrays in memory): how little training waits for images. Limits are what the processor multiplies at
best (float32 matrix product) and what TensorFlow decodes when it does nothing else.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Row, benchmark_arguments, by_turns, rate_ratio, show

EPOCHS, EPOCHS_SHORT = 4, 2
EPOCH = {128: (64, 256), 256: (32, 64)}  # size in pixels -> images a step, images an epoch


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns the exit code."""
    from pipeline.startup import import_tensorflow, settle_environment

    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


def rows(short: bool) -> list[Row]:
    """Measures both representations at 128 px, and unless short at 256 px."""
    from benchmarks.machine import multiplied_per_second
    from benchmarks.synthetic import encoded_images

    multiplied = multiplied_per_second(0.5)
    found: list[Row] = []
    for size in (128,) if short else (128, 256):
        images = encoded_images(EPOCH[size][1] // (2 if short else 1), size)
        for representation in ("pixel", "dct"):
            epochs, rounds = (EPOCHS_SHORT, 1) if short else (EPOCHS, 2)
            found += _of_kind(representation, size, images, epochs, rounds, multiplied)
    return found


def _of_kind(
    representation: str, size: int, images: list[bytes], epochs: int, rounds: int, multiplied: float
) -> list[Row]:
    import keras
    import numpy as np
    import tensorflow as tf

    from benchmarks.synthetic import read_dataset, transform_of, write_dataset
    from components.features.parameters import InputParameters
    from components.models.parameters import LayerParameters
    from components.models.primary import build_primary
    from components.training.inputs import DecodedInputs, KeptInputs, LabelledInputs, ModelInputs, StoredInputs
    from components.training.learners import Learner
    from components.training.parameters import TrainingParameters

    step, count = EPOCH[size][0], len(images)
    inputs = InputParameters(representation=representation, size=size)

    def build() -> keras.Model:
        return build_primary(inputs.shape, representation == "pixel", LayerParameters(), seed=1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.tfrecord.gz"
        write_dataset(path, images)
        split = read_dataset(path)
        from_bytes = DecodedInputs(split, transform_of(size), representation, Path(folder))
    order = [np.arange(start, start + step) for start in range(0, count, step)]
    arrays = np.concatenate(list(from_bytes.batches(order)))
    weights = np.ones(count, np.float32)
    learner = Learner(build(), TrainingParameters(batch_size=step))
    plain = build()
    plain.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", jit_compile=False)

    decode_pngs = tf.function(
        lambda batch: tf.map_fn(tf.io.decode_png, batch, fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8))
    )

    def train_on(source: ModelInputs, epochs: int) -> None:
        labelled = LabelledInputs(source, split.labels, weights)
        for epoch in range(epochs):
            learner.run_epoch(labelled, epoch)

    trained = by_turns(
        {
            "ours": lambda: train_on(KeptInputs(from_bytes, split.paths, inputs.shape), epochs),
            "anew": lambda: train_on(from_bytes, epochs),
            "fit": lambda: plain.fit(arrays, split.labels, batch_size=step, epochs=epochs, verbose=0),
        },
        count * epochs,
        rounds,
    )
    alone = by_turns(
        {
            "inputs": lambda: [len(batch) for batch in from_bytes.batches(order)],
            "model": lambda: train_on(StoredInputs(arrays), 1),
            "decoding": lambda: [decode_pngs(tf.constant(images[batch[0] : batch[-1] + 1])) for batch in order],
        },
        count,
        2 * rounds,
    )
    ours, fit, pipeline, model = trained["ours"], trained["fit"], alone["inputs"], alone["model"]
    decoding = alone["decoding"].images_per_cpu_second
    kind = f"{representation}, {size} px"
    remark = f"{rate_ratio(trained['anew'], fit):.2f} with each image decoded anew in each epoch"
    return [
        Row(
            f"training, {kind}, batch {step}", rate_ratio(ours, fit), 1.3, "x images a CPU-second", ours, fit,
            limit={"matrix products": ours.images_per_cpu_second * _operations(plain) / multiplied}, note=remark,
        ),
        Row(
            f"input pipeline alone, {kind}", rate_ratio(pipeline, model), 5, "x the model's rate", pipeline, model,
            limit={"decoding alone": pipeline.images_per_cpu_second / decoding},
        ),
    ]  # fmt: skip


def _operations(model: object) -> float:
    """Returns floating-point operations of a training step an image: forwards, and two gradients of each layer."""
    import keras
    import numpy as np

    total = 0.0
    for number, layer in enumerate(layer for layer in model.layers if hasattr(layer, "kernel")):
        places = np.prod(layer.output.shape[1:3]) if isinstance(layer, keras.layers.Conv2D) else 1
        # The first layer's input is the image, whose gradient nobody asks for.
        total += (2 if number == 0 else 3) * 2.0 * places * np.prod(layer.kernel.shape)
    return total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
