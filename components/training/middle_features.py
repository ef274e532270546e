"""Middle features of the frozen primary module, computed once and reused: over all epochs, and over all heads.

Heads are trained one after the other on the features of the same images, so a store keeps the newest of them for the
next head of the same process. They lie in memory up to a budget; past it in a temporary file without a name, which is
mapped: reading is as fast as memory where the system has room for its pages, a dataset larger than memory still
trains, and nothing is left behind, however the process ends.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.models.any_size import of_any_size
from components.models.primary import MIDDLE_LAYER
from components.training.augmentation_parameters import require_window
from components.training.augmented_inputs import AugmentedInputs
from components.training.examples import Split
from components.training.inputs import DecodedInputs, MemoryBudget, ModelInputs, allocate
from components.training.parameters import TrainingParameters

_EXTRACTION_BATCH = 64

MiddleFeatures = Mapping[str, np.ndarray]  # split -> float32 (count, height, width, channels), read-only

_logger = logging.getLogger(__name__)


def extract_middle_features(
    primary: keras.Model,
    splits: Mapping[str, Split],
    transform: TransformFunction,
    inputs: InputParameters,
    training: TrainingParameters,
    folder: Path | None = None,
) -> MiddleFeatures:
    """Runs the primary module once over every split; over the train split `copies_of(training)` times.

    Args:
        primary: the frozen module; runs in inference mode, so that its batch normalisation does not move.
        splits: the images.
        transform: from image bytes to features.
        inputs: representation and size that the primary module reads.
        training: of the heads: augmentation and copies of the train split, seed, and the memory budget, of which what
            is kept in memory is taken split by split.
        folder: for temporary files; None is the system's.

    Returns:
        Read-only features of every split, in its order; all images of the train split once, then once more as other
        copies, and so on. They are computed in the order of paths, in batches of one size: on some processors the last
        bits of a convolution depend on an image's place in its batch.

    Raises:
        ValueError: if a split does not hold as many images as labels.
    """
    extractor = keras.Model(primary.input, primary.get_layer(MIDDLE_LAYER).output)
    budget = MemoryBudget(training.memory_budget_mb)
    features = {}
    for name, split in splits.items():
        decoded: ModelInputs
        if name == "train" and training.augmentation.changes_images:
            copies, shape = training.copies, inputs.window(require_window(inputs, training.augmentation))
            decoded = AugmentedInputs(split, transform, inputs, training.augmentation, training.seed, budget, folder)
        else:
            copies, shape = 1, primary.input_shape[1:]
            decoded = DecodedInputs(split, transform, inputs.representation, folder)
        room = _extract(extractor, decoded, split, shape, copies, budget, folder)
        room.flags.writeable = False
        features[name] = room
        where = "in a temporary file" if isinstance(room, np.memmap) else "in memory"
        _logger.info("middle features of split '%s': %.1f MB %s", name, room.nbytes / 2**20, where)
    return features


def copies_of(training: TrainingParameters) -> int:
    """Returns how many copies of each training image a head sees."""
    return training.copies if training.augmentation.changes_images else 1


def repeated(splits: Mapping[str, Split], training: TrainingParameters) -> dict[str, Split]:
    """Returns splits as long as their middle features: with each image of the train split as often as it was copied.

    The split's images stay what they are: what is repeated is what is known of them.
    """
    copies, train = copies_of(training), splits["train"]
    return {
        **splits,
        "train": dataclasses.replace(
            train,
            labels=np.tile(train.labels, copies),
            sources=np.tile(train.sources, copies),
            paths=np.tile(train.paths, copies),
        ),
    }


def _extract(
    extractor: keras.Model,
    inputs: ModelInputs,
    split: Split,
    shape: tuple[int, int, int],
    copies: int,
    budget: MemoryBudget,
    folder: Path | None,
) -> np.ndarray:
    """Returns float32 (copies * count, height, width, channels)."""
    view = extractor if shape == tuple(extractor.input_shape[1:]) else of_any_size(extractor)
    batch_shape = (_EXTRACTION_BATCH, *shape)
    run = tf.function(lambda batch: view(tf.ensure_shape(batch, batch_shape), training=False))
    found = view.compute_output_shape(batch_shape)
    room = allocate((copies * split.count, *found[1:]), budget, folder)
    order = np.argsort(split.paths, kind="stable")
    places = [order[start : start + _EXTRACTION_BATCH] for start in range(0, split.count, _EXTRACTION_BATCH)]
    for copy in range(copies):
        for place, batch in zip(places, inputs.in_epoch(copy).batches(places), strict=True):
            room[copy * split.count + place] = run(_padded(batch)).numpy()[: len(batch)]
    return room


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
