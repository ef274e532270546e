"""Encoded images that are asked for by number.

TFRecord files cannot be read by number, so the images are copied out of them once, into a temporary file without a
name that is mapped: reading is as fast as memory where the system has room for its pages, and nothing is left behind,
however the process ends.
"""

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np


class EncodedImages:
    """A copy of encoded images.

    Args:
        batches: lists of images, in their order; taken once.
        folder: where the temporary file may take room; None is the system's folder for temporary files.
    """

    def __init__(self, batches: Iterable[Iterable[bytes]], folder: Path | None = None) -> None:
        ends = [0]
        with tempfile.TemporaryFile(dir=folder) as file:
            for batch in batches:
                images = list(batch)
                file.writelines(images)
                ends.extend((ends[-1] + np.cumsum([len(image) for image in images])).tolist())
            file.flush()
            # Nothing can be mapped of an empty file. The mapping keeps the file open; no name leads to it.
            self._bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if ends[-1] else b""
        self._ends = np.array(ends)

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._ends) - 1

    @property
    def size(self) -> int:
        """Bytes of all images together."""
        return int(self._ends[-1])

    def take(self, indices: np.ndarray) -> list[bytes]:
        """Returns the images of these numbers, int64 (count,), in the order given; may be called on several threads."""
        starts, ends = self._ends[indices], self._ends[indices + 1]
        return [self._bytes[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
