"""Model inputs that are asked for by number: from memory, from a temporary file, or decoded anew each time.

What lies on disk is a temporary file without a name: it is gone with the process, however that ends.
"""

import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeAlias

import numpy as np
import tensorflow as tf

from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.training.encoded_images import EncodedImages
from components.training.examples import Split, image_batches
from components.training.prefetching import prefetch

Batch: TypeAlias = np.ndarray | tf.Tensor

_GROUP = 8  # images that are decoded together


class ModelInputs(Protocol):
    """Inputs of a model, one for each image of a split."""

    @property
    def count(self) -> int:
        """Number of images."""

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices, int64 (batch,), in the order given.

        They are float32 (batch, ...): NumPy arrays, or tensors where TensorFlow made them.
        """

    def in_epoch(self, epoch: int) -> "ModelInputs":
        """Returns the inputs of an epoch, counted from 0; most are the same in all of them."""


@dataclass(frozen=True)
class LabelledInputs:
    """Inputs of a model with what it should answer.

    Attributes:
        inputs: Inputs of the model.
        targets: int32 (count,): 0 or 1; for a softmax the index of the class.
        weights: float32 (count,), weight of each image in the loss.
        sources: str (count,), source of each image; None if unknown.
    """

    inputs: ModelInputs
    targets: np.ndarray
    weights: np.ndarray
    sources: np.ndarray | None = None


class SameInputs:
    """Inputs that are the same in every epoch."""

    def in_epoch(self, epoch: int) -> Self:  # noqa: ARG002 (as in ModelInputs)
        """Returns these inputs."""
        return self


class Storage:
    """Room for what is computed from images: memory up to a budget, past it temporary files.

    Args:
        megabytes: Size of the memory budget.
        directory: Directory for temporary files; None is the system's.
    """

    def __init__(self, megabytes: int, directory: Path | None = None) -> None:
        self.free = megabytes * 2**20
        self.directory = directory

    def grants(self, size: int) -> bool:
        """Take `size` bytes from the budget if it has them."""
        if size > self.free:
            return False
        self.free -= size
        return True

    def allocate(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return room for float32 values: in memory if the budget has it, else in a temporary file without a name."""
        if self.grants(_bytes_of(shape)):
            return np.empty(shape, np.float32)
        with tempfile.TemporaryFile(dir=self.directory) as file:
            # The mapping keeps the file open; nothing else does, and no name leads to it.
            return np.memmap(file, np.float32, "w+", shape=shape)


class StoredInputs(SameInputs):
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

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices."""
        return (self.array[batch] for batch in indices)


class DecodedInputs(SameInputs):
    """Inputs that are decoded whenever they are asked for, from encoded images, about a tenth of their decoded size.

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
        self._images = split.images or EncodedImages(image_batches(split).as_numpy_iterator(), folder)
        if self._images.count != split.count:
            raise ValueError(_changed(split, self._images.count))
        self._decode = tf.function(
            lambda encoded: transform(encoded)[representation], input_signature=[tf.TensorSpec([None], tf.string)]
        )

    @property
    def count(self) -> int:
        """Number of images."""
        return self._images.count

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices; decodes ahead of what is asked for."""
        return prefetch(self.decode, indices)

    def decode(self, batch: np.ndarray) -> tf.Tensor:
        """Returns the inputs of one batch of indices: float32 (batch, ...); may be called on several threads."""
        return self._decode(tf.constant(self._images.take(batch), tf.string, (len(batch),)))


class KeptInputs(SameInputs):
    """Inputs that are decoded when they are first asked for, and kept: the first batch waits for few others.

    On some processors the last bits of a matrix product depend on what else is in its batch. Images are therefore
    decoded in groups of a few that follow each other in the order of paths: whoever is asked for first, each is always
    decoded with the same others.

    Args:
        decoded: where they come from.
        paths: str (count,), of the images.
        shape: of one input.
    """

    def __init__(self, decoded: DecodedInputs, paths: np.ndarray, shape: tuple[int, ...]) -> None:
        self._decoded = decoded
        self._kept = np.empty((decoded.count, *shape), np.float32)
        self._order = np.argsort(paths, kind="stable")
        self._group_of = np.empty(decoded.count, np.int64)
        self._group_of[self._order] = np.arange(decoded.count) // _GROUP
        self._lock = threading.Lock()
        self._is_kept = np.zeros(-(-decoded.count // _GROUP), bool)

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._kept)

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices; decodes ahead what is not kept yet."""
        return prefetch(self._get, indices)

    def _get(self, batch: np.ndarray) -> np.ndarray:
        groups = np.unique(self._group_of[batch])
        with self._lock:  # nothing is decoded twice; one group keeps all cores busy
            for group in groups[~self._is_kept[groups]]:
                members = self._order[group * _GROUP : (group + 1) * _GROUP]
                self._kept[members] = self._decoded.decode(members)
                self._is_kept[group] = True
        return self._kept[batch]


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

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices."""
        return self._inputs.batches(self._chosen[batch] for batch in indices)

    def in_epoch(self, epoch: int) -> "SelectedInputs":
        """Returns the same images' inputs of an epoch."""
        return SelectedInputs(self._inputs.in_epoch(epoch), self._chosen)


def image_inputs(
    split: Split,
    transform: TransformFunction,
    inputs: InputParameters,
    storage: Storage,
) -> ModelInputs:
    """Return the inputs of a split: decoded once if memory has room for them, else in every epoch.

    Args:
        split: Images.
        transform: Function from image bytes to features.
        inputs: Representation and size.
        storage: Room for decoded inputs, and for a temporary file of encoded images.
    """
    decoded = DecodedInputs(split, transform, inputs.representation, storage.directory)
    in_memory = storage.grants(_bytes_of((split.count, *inputs.shape)))
    return KeptInputs(decoded, split.paths, inputs.shape) if in_memory else decoded


def _changed(split: Split, images: int) -> str:
    return f"split '{split.name}': {split.count} labels but {images} images; its files changed meanwhile."


def _bytes_of(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(np.float32).itemsize
