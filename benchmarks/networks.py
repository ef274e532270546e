"""Training steps of each network of the primary module: windows per CPU-second, in each precision.

    python benchmarks/networks.py [--short] [--json]

A step is forward and backward pass of the training view on 32 windows of 192 px that lie in memory; decoding,
augmentation and the optimiser are not counted. The yardstick of "blocks" is "wide" in float32, that of bfloat16 is
float32 in the same network: all run by turns in one process.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Row, benchmark_arguments, by_turns, rate_ratio, show

WINDOW = 192
BATCH = 32


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns the exit code."""
    from pipeline.startup import import_tensorflow, settle_environment

    options = benchmark_arguments(__doc__).parse_args(arguments)
    settle_environment()
    import_tensorflow(verbose=False)
    return show(rows(options.short), options.json)


def rows(short: bool) -> list[Row]:
    """Measures steps in both networks and both precisions."""
    steps, rounds = (2, 2) if short else (4, 4)
    ways = {
        f"{network} {precision}": _steps(network, precision, steps)
        for network, precision in (("wide", "float32"), ("blocks", "float32"), ("blocks", "bfloat16"))
    }
    taken = by_turns(ways, steps * BATCH, rounds)
    pairs = (("blocks float32", "wide float32"), ("blocks bfloat16", "blocks float32"))
    return [
        Row(
            f"training step, {ours}",
            rate_ratio(taken[ours], taken[yardstick]),
            None,
            "windows/CPU-s",
            taken[ours],
            taken[yardstick],
            note=f"yardstick: {yardstick}",
        )
        for ours, yardstick in pairs
    ]


def _steps(network: str, precision: str, count: int) -> Callable[[], None]:
    """Returns a function that takes some steps of a network, without an optimiser."""
    import keras
    import numpy as np
    import tensorflow as tf

    from components.models.parameters import LayerParameters
    from components.models.primary import build_primary
    from components.models.training_view import training_view
    from components.training.losses import cross_entropy

    channels = 6 if network == "wide" else 3  # residuals or pixels
    model = build_primary((WINDOW, WINDOW, channels), True, LayerParameters(network=network), seed=1)
    decision = model.layers[-1]
    view = training_view(keras.Model(model.input, decision.input), precision)
    windows = tf.constant(np.random.default_rng(0).uniform(-1, 1, (BATCH, WINDOW, WINDOW, channels)), tf.float32)
    targets = tf.constant(np.arange(BATCH) % 2)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            features = tf.cast(view(windows, training=True), tf.float32)
            logits = tf.matmul(features, tf.convert_to_tensor(decision.kernel)) + decision.bias
            loss = tf.reduce_mean(cross_entropy(targets, logits))
        return tape.gradient(loss, variables)

    def run() -> None:
        for _ in range(count):
            step()[-1].numpy()

    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
