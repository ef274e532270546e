"""Reading the Examples artifact: labels by name, images as they are encoded.

Images stay encoded on disk and are decoded by the transform graph inside the input pipeline, so that training sees
exactly what serving will see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from components.features import names

_PARSED_AT_ONCE = 256


@dataclass(frozen=True)
class Split:
    """One split of a dataset: where it lies, and what is in it, in the order of the files.

    Attributes:
        name: "train", "eval", "test" or "testonly".
        files: GZIP-compressed TFRecord files.
        labels: int32 (count,), 0 real and 1 fake.
        sources: str (count,).
        paths: str (count,), relative to the image tree.
    """

    name: str
    files: tuple[str, ...]
    labels: np.ndarray
    sources: np.ndarray
    paths: np.ndarray

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """The distinct sources, sorted."""
        return tuple(sorted(set(self.sources.tolist())))


def read_split(name: str, files: Sequence[str]) -> Split:
    """Reads labels, sources and paths of a split in one pass.

    Args:
        name: of the split.
        files: GZIP-compressed TFRecord files of tf.Example.

    Returns:
        The split; its order is that of `image_bytes` on the same files.

    Raises:
        ValueError: if the files hold no example.
    """
    spec = {
        names.LABEL: tf.io.FixedLenFeature([], tf.int64),
        names.SOURCE: tf.io.FixedLenFeature([], tf.string),
        names.PATH: tf.io.FixedLenFeature([], tf.string),
    }
    labels: list[np.ndarray] = []
    sources: list[str] = []
    paths: list[str] = []
    for batch in _records(files).batch(_PARSED_AT_ONCE).map(lambda records: tf.io.parse_example(records, spec)):
        labels.append(batch[names.LABEL].numpy())
        sources.extend(value.decode() for value in batch[names.SOURCE].numpy())
        paths.extend(value.decode() for value in batch[names.PATH].numpy())
    if not labels:
        raise ValueError(f"split '{name}': holds no image. Prepare the dataset with a larger share for it.")
    return Split(
        name, tuple(sorted(files)), np.concatenate(labels).astype(np.int32), np.array(sources), np.array(paths)
    )


def image_bytes(split: Split) -> tf.data.Dataset:
    """Returns the encoded images of a split, in file order: dataset of string scalars."""
    return image_batches(split).unbatch()


def image_batches(split: Split) -> tf.data.Dataset:
    """Returns the same, some hundreds at a time, as a step costs as much as reading an image: string (batch,)."""
    spec = {names.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
    parsed = _records(split.files).batch(_PARSED_AT_ONCE).map(lambda records: tf.io.parse_example(records, spec))
    return parsed.map(lambda features: features[names.IMAGE_BYTES])


def _records(files: Sequence[str]) -> tf.data.Dataset:
    # Sorted and read one after the other: the order is part of the contract between labels and images.
    return tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
