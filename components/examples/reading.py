"""Reading the tf.Examples of a dataset back from TFRecord files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.examples import names

_INTEGERS = (names.LABEL, names.HEIGHT, names.WIDTH, names.GIVEN_HEIGHT, names.GIVEN_WIDTH, names.RECOMPRESSION)
NOT_RECORDED = -1
# Values of features that datasets of earlier releases, or of others, may lack.
_DEFAULTS: dict[str, int | str] = {
    names.GIVEN_HEIGHT: NOT_RECORDED,
    names.GIVEN_WIDTH: NOT_RECORDED,
    names.COLOUR_MODE: "",
    names.COMPRESSION: "",
    names.RECOMPRESSION: 0,
    names.PERTURBATION: "",
}


def read_batches(
    files: Sequence[str | Path], features: Sequence[str], batch: int, most: int | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Yield some features of recorded examples, batch by batch.

    Args:
        files: GZIP-compressed TFRecord files; they are read in the order of their names.
        features: Names of the features to keep (see components.examples.names).
        batch: Examples per batch; the last one may be smaller.
        most: Number of examples after which reading ends; None reads all.

    Yields:
        Feature name -> values, one per example: int64 (batch,), or an object array (batch,) of bytes. Optional features
        that an example lacks are -1 (given size), 0 (recompression) or empty.

    Raises:
        tf.errors.OpError: if a file cannot be read to its end, or an example lacks a feature that is not optional.
    """
    spec = feature_spec(features)
    # Parsed batch by batch: a dataset that parses costs a third of a second before its first element.
    for serialized in records(files).take(-1 if most is None else most).batch(batch).prefetch(1):
        parsed = tf.io.parse_example(serialized, spec)
        yield {name: values.numpy() for name, values in parsed.items()}


def records(files: Sequence[str | Path]) -> tf.data.Dataset:
    """Return the serialized tf.Examples of GZIP-compressed TFRecord files, as a dataset of string scalars.

    The files are sorted and read one after the other: labels and images that are read apart have the same order.
    """
    return tf.data.TFRecordDataset(sorted(str(file) for file in files), compression_type="GZIP")


def feature_spec(features: Sequence[str]) -> dict[str, tf.io.FixedLenFeature]:
    """Return what tf.io.parse_example needs to know of some features.

    Args:
        features: Names of the features (see components.examples.names).
    """
    return {
        name: tf.io.FixedLenFeature([], tf.int64 if name in _INTEGERS else tf.string, _DEFAULTS.get(name))
        for name in features
    }
