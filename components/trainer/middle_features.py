"""Middle features of the frozen primary module, computed once and reused: over all epochs, and over all heads.

Heads are trained one after the other on the features of the same images, so a store keeps the newest of them for the
next head of the same process. They lie in memory up to a budget; past it in a temporary file without a name, which is
mapped: reading is as fast as memory where the system has room for its pages, a dataset larger than memory still
trains, and nothing is left behind, however the process ends.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.features.transform import TransformFunction
from components.models.primary import MIDDLE_LAYER
from components.trainer.examples import Split
from components.trainer.inputs import DecodedInputs, MemoryBudget, allocate

_EXTRACTION_BATCH = 64

MiddleFeatures = Mapping[str, np.ndarray]  # split -> float32 (count, height, width, channels), read-only

_logger = logging.getLogger(__name__)


def extract_middle_features(
    primary: keras.Model,
    splits: Mapping[str, Split],
    transform: TransformFunction,
    representation: str,
    budget: MemoryBudget,
    folder: Path | None = None,
) -> MiddleFeatures:
    """Runs the primary module once over every split.

    Args:
        primary: the frozen module; runs in inference mode, so that its batch normalisation does not move.
        splits: the images.
        transform: from image bytes to features.
        representation: the feature that the primary module reads.
        budget: what is kept in memory is taken from it, split by split.
        folder: for temporary files; None is the system's.

    Returns:
        Read-only features of every split, in its order. They are computed in the order of paths, in batches of one
        size: on some processors the last bits of a convolution depend on an image's place in its batch.

    Raises:
        ValueError: if a split does not hold as many images as labels.
    """
    extractor = keras.Model(primary.input, primary.get_layer(MIDDLE_LAYER).output)
    shape = (_EXTRACTION_BATCH, *extractor.input_shape[1:])
    run = tf.function(lambda inputs: extractor(tf.ensure_shape(inputs, shape), training=False))
    features = {}
    for name, split in splits.items():
        room = allocate((split.count, *extractor.output_shape[1:]), budget, folder)
        inputs = DecodedInputs(split, transform, representation, folder)
        order = np.argsort(split.paths, kind="stable")
        places = [order[start : start + _EXTRACTION_BATCH] for start in range(0, split.count, _EXTRACTION_BATCH)]
        for place, batch in zip(places, inputs.batches(places), strict=True):
            room[place] = run(_padded(batch)).numpy()[: len(batch)]
        room.flags.writeable = False
        features[name] = room
        where = "in a temporary file" if isinstance(room, np.memmap) else "in memory"
        _logger.info("middle features of split '%s': %.1f MB %s", name, room.nbytes / 2**20, where)
    return features


def _padded(batch: tf.Tensor) -> tf.Tensor:
    """Fills the last batch up: in batches of one size, an image's features do not depend on its place among others."""
    missing = _EXTRACTION_BATCH - len(batch)
    return tf.pad(batch, [[0, missing], [0, 0], [0, 0], [0, 0]]) if missing else batch


class MiddleFeatureStore:
    """Keeps the newest middle features."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key = ""
        self._features: MiddleFeatures = {}

    def get(self, key: str, extract: Callable[[], MiddleFeatures]) -> MiddleFeatures:
        """Returns the features of a key; computes them where they are not the newest.

        Args:
            key: of everything that decides the features: primary module, images, preprocessing.
            extract: computes them.
        """
        with self._lock:
            if key != self._key:
                # Let go before new ones are computed: two of them may not fit.
                self._key, self._features = "", {}
                self._features = extract()
                self._key = key
            else:
                _logger.info("middle features are those that the last head was trained on")
            return self._features


@cache
def process_store() -> MiddleFeatureStore:
    """Returns the store that all heads of this process share."""
    return MiddleFeatureStore()
