"""Middle features of the frozen primary module, computed once and reused: over all epochs, and over all heads.

Heads are trained one after the other on the features of the same images, so a store keeps the newest of them for the
next head of the same process. They lie in memory up to a budget; past it in a temporary file without a name, which is
mapped: reading is as fast as memory where the system has room for its pages, a dataset larger than memory still
trains, and nothing is left behind, however the process ends.
"""

import dataclasses
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.features.transform import ExportedTransform, TransformFunction
from components.models.any_size import of_any_size
from components.models.primary import MIDDLE_LAYER
from components.training import artifacts
from components.training.augmentation_parameters import require_window
from components.training.augmented_inputs import AugmentedInputs
from components.training.calibration_copies import (
    COPIES,
    calibration_copies_of,
    of_whole_images,
    with_calibration_copies,
)
from components.training.inputs import DecodedInputs, ModelInputs, Storage
from components.training.parameters import TrainingParameters
from components.training.training import Training

_EXTRACTION_BATCH = 64

MiddleFeatures = Mapping[str, np.ndarray]  # split -> float32 (count, height, width, channels), read-only

_LOGGER = logging.getLogger(__name__)


def stored_middle_features(primary: Path, training: Training, transform_graph: str) -> MiddleFeatures:
    """Return the middle features of a training's images, from the store of this process if it holds them.

    Args:
        primary: Directory of the Model artifact of the primary module.
        training: Training of a head on these features.
        transform_graph: URI of the TransformGraph artifact.

    Returns:
        See `extract_middle_features`.
    """
    return process_store().get(
        _key(primary, training, transform_graph),
        lambda: extract_middle_features(artifacts.read_model(primary), training, ExportedTransform(transform_graph)),
    )


def extract_middle_features(primary: keras.Model, training: Training, transform: TransformFunction) -> MiddleFeatures:
    """Run the primary module once over every split; over the train split `copies_of(parameters)` times.

    Args:
        primary: Frozen module; runs in inference mode, so that its batch normalisation does not move.
        training: Training of a head: its splits, the representation and size that the primary module reads, and its
            parameters, of which augmentation, copies, seed and the memory budget apply.
        transform: Function from image bytes to features.

    Returns:
        Read-only features of every split, in its order; all images of the train split once, then once more as other
        copies, and so on; the same of the copies of the eval split that calibration is fitted on. They are computed in
        the order of paths, in batches of one size: on some processors the last bits of a convolution depend on an
        image's place in its batch.

    Raises:
        ValueError: if a split does not hold as many images as labels.
    """
    inputs, parameters = training.inputs, training.parameters
    extractor = keras.Model(primary.input, primary.get_layer(MIDDLE_LAYER).output)
    storage = Storage(parameters.memory_budget_mb, training.scratch)
    whole, augments = primary.input_shape[1:], parameters.augmentation.changes_images
    features = {}
    for name, split in with_calibration_copies(training).splits.items():
        decoded: ModelInputs
        copies, shape, paths = 1, whole, split.paths
        if name == "train" and augments:
            copies, shape = parameters.copies, inputs.window(require_window(inputs, parameters.augmentation))
            decoded = AugmentedInputs(split, transform, inputs, parameters, storage)
        elif name == COPIES:
            copies, eval_split = calibration_copies_of(parameters), training.splits["eval"]
            paths = eval_split.paths
            decoded = AugmentedInputs(eval_split, transform, inputs, of_whole_images(parameters), storage)
        else:
            decoded = DecodedInputs(split, transform, inputs.representation, training.scratch)
        view = extractor if shape == tuple(whole) else of_any_size(extractor)
        batch_shape = (_EXTRACTION_BATCH, *shape)
        room = storage.allocate((copies * len(paths), *view.compute_output_shape(batch_shape)[1:]))
        _extract(view, batch_shape, decoded, paths, room)
        room.flags.writeable = False
        features[name] = room
        where = "in a temporary file" if isinstance(room, np.memmap) else "in memory"
        _LOGGER.info("middle features of split '%s': %.1f MB %s", name, room.nbytes / 2**20, where)
    return features


def copies_of(parameters: TrainingParameters) -> int:
    """Return how many copies of each training image a head sees."""
    return parameters.copies if parameters.augmentation.changes_images else 1


def repeated(training: Training) -> Training:
    """Return a training whose train split, and copies for calibration, are as long as their middle features."""
    training = with_calibration_copies(training)
    train, copies = training.splits["train"], copies_of(training.parameters)
    rows = np.tile(np.arange(train.count), copies)
    return dataclasses.replace(training, splits={**training.splits, "train": train.select(rows)})


def _key(primary: Path, training: Training, transform_graph: str) -> str:
    """Return a digest of everything that decides the features and where they lie."""
    parameters = training.parameters
    key = hashlib.sha256(artifacts.model_digest(primary))
    files = {name: split.files for name, split in training.splits.items()}
    key.update(json.dumps([files, transform_graph, training.inputs.model_dump(mode="json")]).encode())
    copies = (copies_of(parameters), calibration_copies_of(parameters))
    key.update(f"{parameters.memory_budget_mb} {copies}".encode())
    if parameters.augmentation.changes_images:
        key.update(f"{parameters.seed} {parameters.augmentation.model_dump_json()}".encode())
    return key.hexdigest()


def _extract(
    view: keras.Model, batch_shape: tuple[int, ...], inputs: ModelInputs, paths: np.ndarray, room: np.ndarray
) -> None:
    """Fill float32 (copies * count, height, width, channels) with the outputs of a view."""
    run = tf.function(lambda batch: view(tf.ensure_shape(batch, batch_shape), training=False))
    order = np.argsort(paths, kind="stable")
    places = np.split(order, range(_EXTRACTION_BATCH, len(order), _EXTRACTION_BATCH))
    for copy in range(len(room) // len(paths)):
        for place, batch in zip(places, inputs.in_epoch(copy).batches(places), strict=True):
            room[copy * len(paths) + place] = run(_padded(batch)).numpy()[: len(batch)]


def _padded(batch: tf.Tensor) -> tf.Tensor:
    """Fill the last batch up: in batches of one size, an image's features do not depend on its place among others."""
    missing = _EXTRACTION_BATCH - len(batch)
    return tf.pad(batch, [[0, missing], [0, 0], [0, 0], [0, 0]]) if missing else batch


class MiddleFeatureStore:
    """Keeps the newest middle features."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key = ""
        self._features: MiddleFeatures = {}

    def get(self, key: str, extract: Callable[[], MiddleFeatures]) -> MiddleFeatures:
        """Return the features of a key; compute them unless they are the newest.

        Args:
            key: Digest of everything that decides the features: primary module, images, preprocessing.
            extract: Function that computes them.
        """
        with self._lock:
            if key != self._key:
                # Dropped before new ones are computed: two of them may not fit.
                self._key, self._features = "", {}
                self._features = extract()
                self._key = key
            else:
                _LOGGER.info("middle features are those that the last head was trained on")
            return self._features


@cache
def process_store() -> MiddleFeatureStore:
    """Return the store that all heads of this process share."""
    return MiddleFeatureStore()
