"""Asking a servable about the images of a split, in this process: how steps measure what was put together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.examples import names
from components.examples.reading import read_batches
from serving import contract

BATCH = 32


class AskedBatch(NamedTuple):
    """Some images: what was recorded of them, and what the servable answered.

    Attributes:
        recorded: feature that was asked for -> values, one an image.
        answered: output of the contract -> values, one row an image.
    """

    recorded: dict[str, np.ndarray]
    answered: dict[str, np.ndarray]


def ask(
    servable: Path,
    files: Sequence[str],
    features: Sequence[str],
    most: int | None = None,
) -> Iterator[AskedBatch]:
    """Asks a servable about recorded images, batch by batch.

    Args:
        servable: directory that holds saved_model.pb.
        files: GZIP-compressed TFRecord files of tf.Example; they are read in the order of their names.
        features: Names of the features to keep (see components.examples.names).
        most: images to ask about; None for all.

    Yields:
        batches of at most 32 images.
    """
    answer = tf.saved_model.load(str(servable)).signatures[contract.SIGNATURE_DEFAULT]
    for batch in read_batches(files, (*features, names.IMAGE_BYTES), BATCH, most):
        answered = answer(image_bytes=tf.constant(batch[names.IMAGE_BYTES]))
        yield AskedBatch(
            {name: batch[name] for name in features},
            {name: values.numpy() for name, values in answered.items()},
        )
