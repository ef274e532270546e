"""The same weights from the same seed, bit by bit, on the same machine.

What makes it so: initial weights and orders are functions of the seed (`sampling`); images are counted in the order of
their paths, whatever order a dataset was written in (TFX's ImportExampleGen shuffles at random, so that two runs of a
pipeline see two orders); middle features are computed in that order, in batches of one size; and TensorFlow's
operations are deterministic. The last is measured to cost nothing on CPU, whose kernels sum in a fixed order for a
given number of cores; on a GPU it excludes the faster of some kernels.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

# TensorFlow has no public name for what turns it off again, and other steps of the process did not ask for it.
from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled


@contextlib.contextmanager
def deterministic_operations(wanted: bool) -> Iterator[None]:
    """Makes TensorFlow's operations deterministic while the context is open.

    Args:
        wanted: False leaves everything as it is.
    """
    if not wanted or is_op_determinism_enabled():
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        disable_op_determinism()


def operations_are_deterministic() -> bool:
    """Returns whether TensorFlow's operations are deterministic now."""
    return bool(is_op_determinism_enabled())
