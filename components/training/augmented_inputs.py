"""Model inputs that differ from epoch to epoch: augmented windows of the images of a split."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from components.features import image
from components.features.parameters import InputParameters
from components.features.preprocessing import features_without_statistics
from components.features.transform import TransformFunction
from components.training.augmentation import augment
from components.training.augmentation_parameters import require_window
from components.training.encoded_images import EncodedImages
from components.training.examples import Split, image_batches
from components.training.inputs import Batch, ModelInputs, SameInputs, Storage
from components.training.parameters import TrainingParameters
from components.training.prefetching import prefetch

_UNCOMPRESSED = 0


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
        self._augmentation = parameters.augmentation

        @tf.function(input_signature=[tf.TensorSpec([None, self._size, self._size, 3], tf.uint8)])
        def features(windows: tf.Tensor) -> tf.Tensor:
            if inputs.pooled:
                return features_without_statistics(windows, inputs.representation, inputs.colour)
            encoded = tf.map_fn(
                lambda window: tf.io.encode_png(window, compression=_UNCOMPRESSED),
                windows,
                fn_output_signature=tf.string,
            )
            return transform(encoded)[inputs.representation]

        self._features = features

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._rank)

    def in_epoch(self, epoch: int) -> ModelInputs:
        """Returns the inputs of an epoch, counted from 0."""
        return self._of_epochs([epoch])

    def copies(self, count: int) -> ModelInputs:
        """Returns that many copies of all images: those of the first epoch, then those of the second, and so on."""
        return self._of_epochs(range(count))

    def _of_epochs(self, epochs: Iterable[int]) -> ModelInputs:
        draws = [np.stack([np.full(self.count, epoch), self._rank], axis=1) for epoch in epochs]
        return _Epoch(lambda batch, draw: self._get(batch % self.count, draw), np.concatenate(draws))

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices, in the first epoch."""
        return self.in_epoch(0).batches(indices)

    def _get(self, batch: np.ndarray, draws: np.ndarray) -> tf.Tensor:
        def window(number: int, draw: np.ndarray) -> np.ndarray:
            random = np.random.default_rng((self._seed, *draw.tolist()))
            return augment(self._images.pixels(number), self._augmentation, self._size, random)

        return self._features(np.stack([window(number, draw) for number, draw in zip(batch, draws, strict=True)]))


class _Epoch(SameInputs):
    """Augmented inputs whose draws are settled.

    Args:
        get: Function (indices, draws) -> inputs.
        draws: int64 (count, 2): what each image's random stream starts from, beside the seed.
    """

    def __init__(self, get: Callable[[np.ndarray, np.ndarray], tf.Tensor], draws: np.ndarray) -> None:
        self._get, self._draws = get, draws

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._draws)

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Batch]:
        """Yields the inputs of each batch of indices; augments ahead of what is asked for."""
        return prefetch(lambda batch: self._get(batch, self._draws[batch]), indices)


class _EpochlessImages:
    """The images of a split before anything happens to them: decoded once if there is room, else whenever needed.

    Args:
        split: The images.
        size: Height and width in pixels that each must have at least.
        storage: Decoded images are kept where it has room for them and they are all of one size.
    """

    def __init__(self, split: Split, size: int, storage: Storage) -> None:
        self._encoded = split.images or EncodedImages(image_batches(split).as_numpy_iterator(), storage.directory)
        self._decode = tf.function(
            lambda encoded: image.decode_whole(encoded, size), input_signature=[tf.TensorSpec([], tf.string)]
        )
        self._decoded = self._all_decoded(split.count, storage)

    def pixels(self, number: int) -> np.ndarray:
        """Return an image: uint8 (height, width, 3), RGB."""
        return self._decoded_anew(number) if self._decoded is None else self._decoded[number]

    def _decoded_anew(self, number: int) -> np.ndarray:
        return self._decode(self._encoded.take(np.array([number]))[0]).numpy()

    def _all_decoded(self, count: int, storage: Storage) -> np.ndarray | None:
        """Return uint8 (count, height, width, 3); None if images differ in size, or the budget has no room."""
        first = self._decoded_anew(0)
        if not storage.grants(first.nbytes * count):
            return None
        decoded = np.empty((count, *first.shape), np.uint8)
        for number in range(count):
            one = self._decoded_anew(number)
            if one.shape != first.shape:
                return None
            decoded[number] = one
        return decoded
