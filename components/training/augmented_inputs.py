"""Model inputs that differ from epoch to epoch: augmented windows of the images of a split."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from components.features import image
from components.features.parameters import InputParameters
from components.features.preprocessing import features_without_statistics
from components.features.transform import TransformFunction
from components.training.augmentation import make_augment
from components.training.augmentation_parameters import require_window
from components.training.encoded_images import EncodedImages
from components.training.examples import Split, image_batches
from components.training.inputs import Batch, ModelInputs, SameInputs, Storage
from components.training.parameters import TrainingParameters
from components.training.prefetching import prefetch

_UNCOMPRESSED = 0
_SEEDS = 2**31


class AugmentedInputs:
    """Inputs of one epoch; `in_epoch` gives those of another.

    What happens to an image depends on the seed, the epoch and the image's place in the order of paths, on nothing
    else: a training that is taken up again sees what it would have seen, in whatever order files hold the images.

    Args:
        split: Images.
        transform: Function from image bytes to features, for representations that need statistics.
        inputs: Representation and size of the model.
        parameters: Augmentation and seed of the training.
        storage: Room for decoded images, which are kept if they are all of one size; else for a temporary file of
            encoded ones.

    Raises:
        ValueError: if the window is not the model's size, and the representation cannot do with another.
    """

    def __init__(
        self,
        split: Split,
        transform: TransformFunction,
        inputs: InputParameters,
        parameters: TrainingParameters,
        storage: Storage,
    ) -> None:
        self._size = require_window(inputs, parameters.augmentation)
        self._seed = parameters.seed
        self._rank = np.empty(split.count, np.int64)
        self._rank[np.argsort(split.paths, kind="stable")] = np.arange(split.count)
        self._images = _EpochlessImages(split, inputs.size, storage)
        augment = make_augment(parameters.augmentation, self._size)

        def features(windows: tf.Tensor) -> tf.Tensor:
            if inputs.pooled:
                return features_without_statistics(windows, inputs.representation, inputs.colour)
            encoded = tf.map_fn(
                lambda window: tf.io.encode_png(window, compression=_UNCOMPRESSED),
                windows,
                fn_output_signature=tf.string,
            )
            return transform(encoded)[inputs.representation]

        window = tf.TensorSpec((self._size, self._size, 3), tf.uint8)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 2], tf.int32)])
        def from_encoded(encoded: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return features(
                tf.map_fn(
                    lambda row: augment(image.decode_whole(row[0], inputs.size), row[1]),
                    (encoded, seeds),
                    fn_output_signature=window,
                )
            )

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8), tf.TensorSpec([None, 2], tf.int32)]
        )
        def from_decoded(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return features(tf.map_fn(lambda row: augment(row[0], row[1]), (images, seeds), fn_output_signature=window))

        self._from_encoded, self._from_decoded = from_encoded, from_decoded

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._rank)

    def in_epoch(self, epoch: int) -> ModelInputs:
        """Returns the inputs of an epoch, counted from 0."""
        return _Epoch(
            self._get, np.random.default_rng((self._seed, epoch)).integers(0, _SEEDS, (self.count, 2))[self._rank]
        )

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices, in the first epoch."""
        return self.in_epoch(0).batches(indices)

    def _get(self, batch: np.ndarray, seeds: np.ndarray) -> tf.Tensor:
        seeds = tf.constant(seeds, tf.int32)
        if self._images.decoded is not None:
            return self._from_decoded(tf.constant(self._images.decoded[batch]), seeds)
        return self._from_encoded(tf.constant(self._images.encoded.take(batch), tf.string, (len(batch),)), seeds)


class _Epoch(SameInputs):
    """Augmented inputs whose draws are settled.

    Args:
        get: (indices, seeds) -> inputs.
        seeds: int64 (count, 2), of each image.
    """

    def __init__(self, get: Callable[[np.ndarray, np.ndarray], tf.Tensor], seeds: np.ndarray) -> None:
        self._get, self._seeds = get, seeds

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._seeds)

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices; augments ahead of what is asked for."""
        return prefetch(lambda batch: self._get(batch, self._seeds[batch]), indices)


class _EpochlessImages:
    """The images of a split before anything happens to them: decoded if there is room, else encoded.

    Attributes:
        decoded: uint8 (count, height, width, 3); None where images differ in size, or the budget has no room.
        encoded: the same images as they are stored.
    """

    def __init__(self, split: Split, size: int, storage: Storage) -> None:
        self.encoded = split.images or EncodedImages(image_batches(split).as_numpy_iterator(), storage.directory)
        decode = tf.function(
            lambda encoded: image.decode_whole(encoded, size), input_signature=[tf.TensorSpec([], tf.string)]
        )
        self.decoded: np.ndarray | None = None
        first = decode(self.encoded.take(np.array([0]))[0]).numpy()
        if not storage.grants(first.nbytes * split.count):
            return
        decoded = np.empty((split.count, *first.shape), np.uint8)
        for number in range(split.count):
            one = decode(self.encoded.take(np.array([number]))[0]).numpy()
            if one.shape != first.shape:
                return
            decoded[number] = one
        self.decoded = decoded
