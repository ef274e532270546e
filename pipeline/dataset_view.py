"""A look into the examples of a run, for its report: a few images, and the mean spectrum of each source."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.features import dct, image, names

# A report should not read 150,000 images. Records are shuffled, so the first ones are a fair sample.
_MOST_RECORDS = 20_000

# Enough for a smooth mean spectrum.
_SPECTRUM_IMAGES = 200
_SAMPLE_IMAGES = 4
_BATCH = 64


def sample_images(examples: Path, split: str = "train") -> dict[str, list[bytes]]:
    """Returns the first few encoded images of every source."""
    samples: dict[str, list[bytes]] = {}
    for source, encoded in _images(examples, split):
        kept = samples.setdefault(source, [])
        if len(kept) < _SAMPLE_IMAGES:
            kept.append(encoded)
    return dict(sorted(samples.items()))


def source_spectra(examples: Path, size: int, split: str = "train") -> Mapping[str, np.ndarray]:
    """Returns the mean log-spectrum of every source over up to 200 of its images.

    Args:
        examples: folder of the Examples artifact.
        size: height and width of the window in pixels.
        split: to look into.

    Returns:
        Source -> float64 (size, size), the natural logarithm of the magnitude of DCT coefficients.
    """
    chosen: dict[str, list[bytes]] = {}
    for source, encoded in _images(examples, split):
        kept = chosen.setdefault(source, [])
        if len(kept) < _SPECTRUM_IMAGES:
            kept.append(encoded)
    spectra = {}
    for source, encoded_images in sorted(chosen.items()):
        total = np.zeros((size, size))
        for start in range(0, len(encoded_images), _BATCH):
            windows = image.decode_windows(tf.constant(encoded_images[start : start + _BATCH]), size)
            total += dct.log_spectrum(image.grey(windows)).numpy()[..., 0].sum(axis=0, dtype=np.float64)
        spectra[source] = total / len(encoded_images)
    return spectra


def _images(examples: Path, split: str) -> Iterator[tuple[str, bytes]]:
    files = sorted(str(path) for path in (examples / f"Split-{split}").iterdir())
    spec = {
        names.SOURCE: tf.io.FixedLenFeature([], tf.string),
        names.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string),
    }
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").take(_MOST_RECORDS).batch(_BATCH)
    for batch in records.map(lambda serialized: tf.io.parse_example(serialized, spec)):
        for source, encoded in zip(batch[names.SOURCE].numpy(), batch[names.IMAGE_BYTES].numpy(), strict=True):
            yield source.decode(), encoded
