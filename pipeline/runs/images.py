"""A look into the examples of a run, for its report: a few images, and the mean spectrum of each source."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.examples import names
from components.examples.reading import read_batches
from components.features import dct, image

# A report should not read 150,000 images. Records are shuffled, so the first ones are a fair sample.
_MOST_RECORDS = 20_000

# Enough for a smooth mean spectrum.
_SPECTRUM_IMAGES = 200
_BATCH = 64


def source_images(examples: Path, split: str = "train") -> dict[str, list[bytes]]:
    """Returns up to 200 encoded images of every source, in one pass over the split.

    Args:
        examples: folder of the Examples artifact.
        split: to look into.

    Returns:
        Source -> encoded images; sources sorted.
    """
    images: dict[str, list[bytes]] = {}
    for source, encoded in _images(examples, split):
        kept = images.setdefault(source, [])
        if len(kept) < _SPECTRUM_IMAGES:
            kept.append(encoded)
    return dict(sorted(images.items()))


def mean_spectra(images: Mapping[str, list[bytes]], size: int) -> dict[str, np.ndarray]:
    """Returns the mean log-spectrum of every source.

    Args:
        images: source -> encoded images.
        size: height and width of the window in pixels.

    Returns:
        Source -> float64 (size, size), the natural logarithm of the magnitude of DCT coefficients.
    """
    spectra = {}
    for source, encoded in images.items():
        total = np.zeros((size, size))
        for start in range(0, len(encoded), _BATCH):
            windows = image.decode_windows(tf.constant(encoded[start : start + _BATCH]), size)
            total += dct.log_spectrum(image.grey(windows)).numpy()[..., 0].sum(axis=0, dtype=np.float64)
        spectra[source] = total / len(encoded)
    return spectra


def _images(examples: Path, split: str) -> Iterator[tuple[str, bytes]]:
    files = list((examples / f"Split-{split}").iterdir())
    for batch in read_batches(files, (names.SOURCE, names.IMAGE_BYTES), _BATCH, _MOST_RECORDS):
        for source, encoded in zip(batch[names.SOURCE], batch[names.IMAGE_BYTES], strict=True):
            yield source.decode(), encoded
