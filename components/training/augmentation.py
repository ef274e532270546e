"""Images as they might also have come: other places of the picture, mirrored, saved anew.

A few dozen images a source are too few to learn a fingerprint from their central windows alone. Each epoch therefore
sees another window of each image, at its native resolution, and some of them after what the web does to images. Nothing
is rescaled unless `resize` asks for it, since interpolation rewrites the frequencies that are looked at.

Everything is drawn from the seed of an image alone, so that an epoch sees the same windows however a training came to
it.
"""

from collections.abc import Callable

import tensorflow as tf

from components.training.augmentation_parameters import AugmentationParameters

_BLOCK = 8  # JPEG works in blocks of this many pixels; a window may start anywhere in one
_FULL_TURN = 4  # quarters
_BLUR_RADIUS = 4  # pixels: three standard deviations of the strongest blur that may be asked for
_BEST_QUALITY = 100

# (uint8 (height, width, 3), int32 (2,) seed) -> uint8 (size, size, 3)
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def make_augment(parameters: AugmentationParameters, size: int) -> Augment:
    """Returns the function that augments one image.

    Args:
        parameters: what may happen, how often and how strongly.
        size: height and width of the window in pixels.

    Returns:
        A function of an image, uint8 (height, width, 3) of at least `size` px on each side, and a seed, int32 (2,),
        which alone decides what is drawn. It gives a window, uint8 (size, size, 3).
    """

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 8))
        image = _with_probability(parameters.resize, seeds[0], image, lambda one: random_resize(
            one, seeds[0], parameters.resize_range, size + _BLOCK
        ))  # fmt: skip
        # With a margin of one block, so that a JPEG's blocks may lie anywhere in the window that is cut out last.
        window = random_window(image, seeds[1], size + _BLOCK) if parameters.crop == "random" else central_window(
            image, size
        )  # fmt: skip
        window = _with_probability(parameters.blur, seeds[2], window, lambda one: random_blur(
            one, seeds[2], parameters.blur_range
        ))  # fmt: skip
        window = _with_probability(parameters.noise, seeds[3], window, lambda one: random_noise(
            one, seeds[3], parameters.noise_range
        ))  # fmt: skip
        window = _with_probability(parameters.jpeg, seeds[4], window, lambda one: random_jpeg(
            one, seeds[4], parameters.jpeg_range
        ))  # fmt: skip
        window = random_window(window, seeds[5], size)
        if parameters.flip:
            window = tf.image.stateless_random_flip_left_right(window, seeds[6])
        if parameters.turn:
            window = tf.image.rot90(window, tf.random.stateless_uniform((), seeds[7], 0, _FULL_TURN, tf.int32))
        return tf.ensure_shape(window, (size, size, 3))

    return augment


def central_window(image: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts the central window: uint8 (size, size, 3), at the place where the served graph cuts it."""
    start = (tf.shape(image)[:2] - size) // 2
    return tf.ensure_shape(image[start[0] : start[0] + size, start[1] : start[1] + size], (size, size, 3))


def random_window(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts a window at a random place; an image with a smaller side gives all of that side.

    Args:
        image: uint8 (height, width, 3).
        seed: int32 (2,).
        size: height and width of the window in pixels.

    Returns:
        uint8 (min(height, size), min(width, size), 3).
    """
    room = tf.maximum(tf.shape(image)[:2] - size, 0)
    place = tf.random.stateless_uniform((2,), seed)
    start = tf.cast(tf.floor(place * tf.cast(room + 1, tf.float32)), tf.int32)
    return image[start[0] : start[0] + size, start[1] : start[1] + size]


def random_resize(image: tf.Tensor, seed: tf.Tensor, factors: tuple[float, float], minimum: int) -> tf.Tensor:
    """Rescales bicubically, with anti-aliasing, by a random factor; never below `minimum` px on a side that had more.

    Returns:
        uint8 (about factor * height, about factor * width, 3).
    """
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    factor = tf.random.stateless_uniform((), seed, *factors)
    smallest = tf.minimum(tf.reduce_min(shape), float(minimum))
    factor = tf.maximum(factor, smallest / tf.reduce_min(shape))
    target = tf.cast(tf.round(shape * factor), tf.int32)
    return _to_bytes(tf.image.resize(image, target, "bicubic", antialias=True))


def random_blur(image: tf.Tensor, seed: tf.Tensor, deviations: tuple[float, float]) -> tf.Tensor:
    """Blurs with a Gaussian of random standard deviation in pixels; borders are mirrored."""
    deviation = tf.random.stateless_uniform((), seed, *deviations)
    places = tf.range(-_BLUR_RADIUS, _BLUR_RADIUS + 1, dtype=tf.float32)
    weights = tf.exp(-0.5 * (places / deviation) ** 2)
    weights = weights / tf.reduce_sum(weights)
    padding = [[_BLUR_RADIUS] * 2, [_BLUR_RADIUS] * 2, [0, 0]]
    values = tf.pad(tf.cast(image, tf.float32), padding, "REFLECT")[tf.newaxis]
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        kernel = tf.tile(tf.reshape(weights, shape), (1, 1, 3, 1))
        values = tf.nn.depthwise_conv2d(values, kernel, (1, 1, 1, 1), "VALID")
    return _to_bytes(values[0])


def random_noise(image: tf.Tensor, seed: tf.Tensor, deviations: tuple[float, float]) -> tf.Tensor:
    """Adds independent Gaussian noise of random standard deviation, in grey levels."""
    deviation = tf.random.stateless_uniform((), seed, *deviations)
    noise = tf.random.stateless_normal(tf.shape(image), seed)
    return _to_bytes(tf.cast(image, tf.float32) + deviation * noise)


def random_jpeg(image: tf.Tensor, seed: tf.Tensor, qualities: tuple[int, int]) -> tf.Tensor:
    """Saves as a JPEG of random quality, colours halved in both directions, and decodes it again."""
    quality = tf.random.stateless_uniform((), seed, qualities[0], min(qualities[1], _BEST_QUALITY) + 1, tf.int32)
    encoded = tf.raw_ops.EncodeJpegVariableQuality(images=image, quality=quality)
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _with_probability(
    probability: float, seed: tf.Tensor, image: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Changes an image or leaves it; with probability 0 the change is not even in the graph."""
    if probability == 0:
        return image
    # Folded, so that whether and how much are drawn apart.
    drawn = tf.random.stateless_uniform((), tf.random.experimental.stateless_fold_in(seed, 1))
    changed = tf.cond(drawn < probability, lambda: change(image), lambda: image)
    return tf.ensure_shape(changed, (None, None, 3))


def _to_bytes(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)
