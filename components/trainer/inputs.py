"""Model inputs that are asked for by number: from memory, from a temporary file, or decoded anew each time.

What lies on disk is a temporary file without a name: it is gone with the process, however that ends.
"""

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.trainer.examples import Split, image_bytes, model_inputs

_FILL_BATCH = 64


class ModelInputs(Protocol):
    """Inputs of a model, one for each image of a split."""

    @property
    def count(self) -> int:
        """Number of images."""

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the inputs of each batch of indices, int64 (batch,), as float32 (batch, ...), in the order given."""


class MemoryBudget:
    """How many bytes may still be kept in memory.

    Args:
        megabytes: size of the budget.
    """

    def __init__(self, megabytes: int) -> None:
        self.free = megabytes * 2**20

    def grants(self, size: int) -> bool:
        """Takes `size` bytes from the budget if they are there."""
        if size > self.free:
            return False
        self.free -= size
        return True


class StoredInputs:
    """Inputs that were computed once.

    Args:
        array: float32 (count, ...), in memory or memory-mapped.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.array)

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the inputs of each batch of indices."""
        return (self.array[batch] for batch in indices)


class DecodedInputs:
    """Inputs that are decoded whenever they are asked for, from encoded images in a temporary file.

    TFRecord files cannot be read by number, so the encoded images (about a tenth of their decoded size) are copied out
    of them once.

    Args:
        split: the images.
        transform: from image bytes to features.
        representation: the feature that the model reads.
        folder: where the temporary file may take room; None is the system's folder for temporary files.

    Raises:
        ValueError: if the split does not hold as many images as labels.
    """

    def __init__(
        self, split: Split, transform: TransformFunction, representation: str, folder: Path | None = None
    ) -> None:
        ends = [0]
        with tempfile.TemporaryFile(dir=folder) as file:
            for image in image_bytes(split).as_numpy_iterator():
                file.write(image)
                ends.append(ends[-1] + len(image))
            if len(ends) - 1 != split.count:
                raise ValueError(_changed(split, len(ends) - 1))
            file.flush()
            self._encoded = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._ends = np.array(ends)
        self._decode = tf.function(
            lambda encoded: transform(encoded)[representation], input_signature=[tf.TensorSpec([None], tf.string)]
        )

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._ends) - 1

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the inputs of each batch of indices; decodes ahead of what is asked for."""
        encoded = tf.data.Dataset.from_generator(
            lambda: (self._images(batch) for batch in indices), output_signature=tf.TensorSpec([None], tf.string)
        )
        decoded = encoded.map(self._decode, num_parallel_calls=2, deterministic=True).prefetch(2)
        return decoded.as_numpy_iterator()

    def _images(self, batch: np.ndarray) -> np.ndarray:
        starts, ends = self._ends[batch], self._ends[batch + 1]
        return np.array([self._encoded[start:end] for start, end in zip(starts, ends, strict=True)], object)


class SelectedInputs:
    """Some of the images of a split.

    Args:
        inputs: of the whole split.
        chosen: int64 (count,), which of its images.
    """

    def __init__(self, inputs: ModelInputs, chosen: np.ndarray) -> None:
        self._inputs = inputs
        self._chosen = chosen

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._chosen)

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the inputs of each batch of indices."""
        return self._inputs.batches(self._chosen[batch] for batch in indices)


def image_inputs(
    split: Split,
    transform: TransformFunction,
    inputs: InputParameters,
    budget: MemoryBudget,
    folder: Path | None = None,
) -> ModelInputs:
    """Returns the inputs of a split: decoded once where the budget allows it, else decoded whenever asked for.

    Args:
        split: the images.
        transform: from image bytes to features.
        inputs: representation and size.
        budget: what is kept in memory is taken from it.
        folder: for a temporary file of encoded images.
    """
    shape = (split.count, *inputs.shape)
    if not budget.grants(_bytes_of(shape)):
        return DecodedInputs(split, transform, inputs.representation, folder)
    decoded = np.empty(shape, np.float32)
    fill(decoded, model_inputs(split, transform, inputs.representation, _FILL_BATCH).as_numpy_iterator(), split)
    return StoredInputs(decoded)


def allocate(shape: tuple[int, ...], budget: MemoryBudget, folder: Path | None = None) -> np.ndarray:
    """Returns room for float32 values: in memory where the budget allows it, else in a temporary file without a name.

    Args:
        shape: of the array.
        budget: what is kept in memory is taken from it.
        folder: for the temporary file.
    """
    if budget.grants(_bytes_of(shape)):
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        # The mapping keeps the file open; nothing else does, and no name leads to it.
        return np.memmap(file, np.float32, "w+", shape=shape)


def fill(room: np.ndarray, batches: Iterable[np.ndarray], split: Split) -> None:
    """Writes batches into an array, one after the other.

    Raises:
        ValueError: if they are not as many rows as the array has.
    """
    start = 0
    for batch in batches:
        room[start : start + len(batch)] = batch[: len(room) - start]
        start += len(batch)
    if start != len(room):
        raise ValueError(_changed(split, start))


def _changed(split: Split, images: int) -> str:
    return f"split '{split.name}': {split.count} labels but {images} images; its files changed meanwhile."


def _bytes_of(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(np.float32).itemsize
