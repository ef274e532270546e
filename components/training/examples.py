"""Reading the Examples artifact: labels by name, images as they are encoded.

Images stay encoded on disk and are decoded by the transform graph inside the input pipeline, so that training sees
exactly what serving will see.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.examples import names, reading
from components.training.encoded_images import EncodedImages

_PARSED_AT_ONCE = 256
# Train, eval and test.
_KEPT_SPLITS = 3


@dataclass(frozen=True)
class Split:
    """One split of a dataset: where it lies, and what is in it, in the order of the files.

    Attributes:
        name: "train", "eval", "test" or "testonly".
        files: GZIP-compressed TFRecord files.
        labels: int32 (count,), 0 real and 1 fake.
        sources: str (count,).
        paths: str (count,), relative to the image tree.
        images: the encoded images, if they were copied when the rest was read; else None.
    """

    name: str
    files: tuple[str, ...]
    labels: np.ndarray
    sources: np.ndarray
    paths: np.ndarray
    images: EncodedImages | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    def select(self, rows: np.ndarray) -> "Split":
        """Return a split of some of the images, without their encoded bytes.

        Args:
            rows: Indices, int (selected,), in any order and possibly repeated; or a mask, bool (count,).
        """
        return replace(self, labels=self.labels[rows], sources=self.sources[rows], paths=self.paths[rows], images=None)

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """The distinct sources, sorted."""
        return tuple(sorted(set(self.sources.tolist())))


def read_split(name: str, files: Sequence[str], with_images: bool = False, folder: Path | None = None) -> Split:
    """Reads labels, sources and paths of a split in one pass, and copies its encoded images if asked to.

    Args:
        name: of the split.
        files: GZIP-compressed TFRecord files of tf.Example.
        with_images: copy the images as well.
        folder: for the temporary file of encoded images; None is the system's.

    Returns:
        The split; its order is that of `image_bytes` on the same files.

    Raises:
        ValueError: if the files hold no example.
    """
    features = (names.LABEL, names.SOURCE, names.PATH, *((names.IMAGE_BYTES,) if with_images else ()))
    labels: list[np.ndarray] = []
    sources: list[str] = []
    paths: list[str] = []

    def read() -> Iterator[Iterable[bytes]]:
        """Yields the images of each batch, and notes the rest of it."""
        for batch in reading.read_batches(files, features, _PARSED_AT_ONCE):
            labels.append(batch[names.LABEL])
            sources.extend(value.decode() for value in batch[names.SOURCE])
            paths.extend(value.decode() for value in batch[names.PATH])
            yield batch[names.IMAGE_BYTES] if with_images else ()

    images = EncodedImages(read(), folder)
    if not labels:
        raise ValueError(f"split '{name}': holds no image. Prepare the dataset with a larger share for it.")
    return Split(
        name,
        tuple(sorted(files)),
        np.concatenate(labels).astype(np.int32),
        np.array(sources),
        np.array(paths),
        images if with_images else None,
    )


class SplitStore:
    """Keeps the newest splits with their images: the heads of a process follow each other on the same ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._splits: OrderedDict[Hashable, Split] = OrderedDict()

    def get(self, name: str, files: Sequence[str], folder: Path | None = None) -> Split:
        """Returns what `read_split` reads, images included; the same object again, unless a file changed meanwhile."""
        states = [(file, Path(file).stat().st_size, Path(file).stat().st_mtime_ns) for file in sorted(files)]
        key = (name, *states)
        with self._lock:
            if key not in self._splits:
                self._splits[key] = read_split(name, files, with_images=True, folder=folder)
            self._splits.move_to_end(key)
            while len(self._splits) > _KEPT_SPLITS:
                self._splits.popitem(last=False)
            return self._splits[key]


@cache
def process_splits() -> SplitStore:
    """Returns the store that all trainings of this process share."""
    return SplitStore()


def image_bytes(split: Split) -> tf.data.Dataset:
    """Returns the encoded images of a split, in file order: dataset of string scalars."""
    return image_batches(split).unbatch()


def image_batches(split: Split) -> tf.data.Dataset:
    """Returns the same, some hundreds at a time, as a step costs as much as reading an image: string (batch,)."""
    spec = reading.feature_spec((names.IMAGE_BYTES,))
    batches = reading.records(split.files).batch(_PARSED_AT_ONCE)
    return batches.map(lambda records: tf.io.parse_example(records, spec)[names.IMAGE_BYTES])
