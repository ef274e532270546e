"""The devices that train together: one, those of this machine, or those of several processes.

All hold the same weights. Each takes its own share of every batch; gradients and the statistics of batch normalisation
are summed over all of them, so that a step does what one device would do with the whole batch, up to rounding.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.training.prefetching import prefetch


class Replicas:
    """The devices of one training.

    Args:
        strategy: of tf.distribute; None is one device in one process, without its machinery.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self.strategy = strategy
        self.count = strategy.num_replicas_in_sync if strategy else 1
        self._numbers = _local_numbers(strategy) if strategy else [0]

    @property
    def local(self) -> int:
        """Number of devices of this process."""
        return len(self._numbers)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files; exactly one of a training does."""
        return 0 in self._numbers

    def shares(self, batch: np.ndarray) -> list[np.ndarray]:
        """Returns the rows of a batch that each device of this process takes; all devices' shares are disjoint."""
        return [batch[number :: self.count] for number in self._numbers]

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which models and optimizers must be made, for every device to have their variables."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def wait_for_all(self) -> None:
        """Returns when the processes of this training have all called it."""
        self.sum_of_processes(np.zeros(1, np.float32))

    def bundle(self, values: Sequence[Any]) -> Any:
        """Bundles one value for each device of this process into one argument of `run`; not inside tf.function."""
        tensors = iter([tf.convert_to_tensor(value) for value in values])
        if self.strategy is None:
            return next(tensors)
        return self.strategy.experimental_distribute_values_from_function(lambda _: next(tensors))

    def placed(self, arrays: Iterable[Any]) -> Iterator[Any]:
        """Yields inputs for `bundle`; on a single GPU copied to it while it computes, else as they come.

        tf.distribute copies to several devices itself.
        """
        return prefetch(_on_gpu, arrays, depth=1) if self._is_one_gpu else iter(arrays)

    def compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a step as it runs fastest: compiled by XLA on a single GPU, as it is elsewhere.

        On a CPU XLA's convolutions are slower than oneDNN's, and a compiled function cannot speak to other devices.
        """
        return tf.function(step, jit_compile=True) if self._is_one_gpu else step

    @property
    def _is_one_gpu(self) -> bool:
        return self.strategy is None and bool(tf.config.list_logical_devices("GPU"))

    def run(self, step: Callable[..., Any], bundles: Sequence[Any]) -> Any:
        """Calls a step on each device of this process.

        Args:
            step: called with the values of its device.
            bundles: its arguments, from `bundle`.

        Returns:
            What the steps returned: the value itself, or tf.distribute's bundle of one a device.
        """
        return step(*bundles) if self.strategy is None else self.strategy.run(step, tuple(bundles))

    def sum(self, value: Any) -> Any:
        """Adds up a value over all devices of all processes; every process gets the sum."""
        return value if self.strategy is None else self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)

    def local_values(self, value: Any) -> tuple[Any, ...]:
        """Returns what `run` returned for each device of this process."""
        return (value,) if self.strategy is None else self.strategy.experimental_local_results(value)

    def sum_of_processes(self, array: np.ndarray) -> np.ndarray:
        """Adds up arrays over all processes; every process gets the sum."""
        if self.strategy is None or self.local == self.count:
            return array
        # One device of a process brings its array, its others bring nothing.
        return self.sum(self.bundle([array, *[np.zeros_like(array)] * (self.local - 1)])).numpy()


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """Makes a strategy by its name in the parameters.

    Args:
        name: "single", "mirrored" or "multi_worker"; the last one must come before TensorFlow computes anything, in a
            process whose TF_CONFIG describes the cluster.

    Returns:
        None for "single".
    """
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.MultiWorkerMirroredStrategy() if name == "multi_worker" else None


def synchronise_batch_normalisation(model: keras.Model, synchronised: bool) -> None:
    """Makes batch normalisation take its statistics from the shares of all devices, or from its own alone."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronised


def _on_gpu(array: Any) -> tf.Tensor:
    with tf.device("GPU:0"):
        return tf.identity(array)


def _local_numbers(strategy: tf.distribute.Strategy) -> list[int]:
    numbers: list[int] = []

    def remember(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        numbers.append(int(context.replica_id_in_sync_group))
        return tf.constant(0)

    strategy.experimental_distribute_values_from_function(remember)
    return numbers
