"""Middle features of the frozen primary module, computed once and reused in every epoch of a head's training.

They lie in a memory-mapped file: reading is as fast as memory where the system has room for its pages, and a dataset
larger than memory still trains.
"""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.features.transform import TransformFunction
from components.models.primary import MIDDLE_LAYER
from components.trainer.examples import Split, model_inputs

_EXTRACTION_BATCH = 64


def extract_middle_features(
    primary: keras.Model, split: Split, transform: TransformFunction, representation: str, path: Path
) -> np.ndarray:
    """Runs the primary module once over a split.

    Args:
        primary: the frozen module; runs in inference mode, so that its batch normalisation does not move.
        split: the images.
        transform: from image bytes to features.
        representation: the feature that the primary module reads.
        path: file to write, .npy.

    Returns:
        float32 (count, height, width, channels), memory-mapped read-only, in the order of the split.
    """
    extractor = keras.Model(primary.input, primary.get_layer(MIDDLE_LAYER).output)
    run = tf.function(lambda inputs: extractor(inputs, training=False), reduce_retracing=True)
    features = np.lib.format.open_memmap(path, "w+", np.float32, (split.count, *extractor.output_shape[1:]))
    start = 0
    for inputs in model_inputs(split, transform, representation, _EXTRACTION_BATCH):
        batch = run(inputs).numpy()
        features[start : start + len(batch)] = batch
        start += len(batch)
    if start != split.count:
        raise ValueError(f"split '{split.name}': {split.count} labels but {start} images; its files changed meanwhile.")
    features.flush()
    del features
    return np.load(path, mmap_mode="r")


def shuffled_batches(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray, batch_size: int, order: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields the batches of one epoch in a new random order.

    Args:
        features: float32 (count, height, width, channels).
        targets: float32 (count,).
        weights: float32 (count,).
        batch_size: images a batch; the last one may be smaller.
        order: the random generator that draws the order.
    """
    indices = order.permutation(len(features))
    for start in range(0, len(indices), batch_size):
        # Sorted within the batch: reads from the file go forward, and the order inside a batch does not matter.
        chosen = np.sort(indices[start : start + batch_size])
        yield features[chosen], targets[chosen], weights[chosen]


def batches(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields all batches in order."""
    for start in range(0, len(features), batch_size):
        stop = start + batch_size
        yield np.asarray(features[start:stop]), targets[start:stop], weights[start:stop]
