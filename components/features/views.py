"""Views: the windows through which a pooled model judges an image of any size.

A model that averages over places may look anywhere. An image no larger than the window gives one view, mirrored at its
borders up to the window's size; a larger one gives several, at native resolution, evenly spread over the whole image.
Their places depend on the image's size alone. Nothing is rescaled, because interpolation rewrites the frequencies that
carry the fingerprint.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.features import image
from components.features.encoded import read_headers
from components.features.parameters import SMALLEST_SIDE

# Views begin where blocks of a JPEG do, so that all views of an image see its grid in the same place.
_BLOCK = 8
_DECODED_AT_A_TIME = 4  # an image of 100 megapixels takes 300 MB


class Views(NamedTuple):
    """Windows of a batch of images.

    Attributes:
        windows: uint8 (count, size, size, 3), RGB, upright; all of the first image, then all of the second, and so on.
        rows: int32 (count,), the image that each window is from, ascending; each image has at least one.
        starts: int32 (count, 2), first row and column of each window in its upright image.
        sizes: int32 (batch, 2), height and width of the upright images.
    """

    windows: tf.Tensor
    rows: tf.Tensor
    starts: tf.Tensor
    sizes: tf.Tensor


def decode_views(image_bytes: tf.Tensor, size: int, most: int) -> Views:
    """Decode a batch of images and cut the views of each.

    Args:
        image_bytes: string (batch,): JPEG, PNG, WebP or BMP, at least `SMALLEST_SIDE` px on each side.
        size: Height and width of a window in pixels.
        most: Largest number of views of one image, at least 1.

    Returns:
        The views.

    Raises:
        tf.errors.InvalidArgumentError: (when run) as `image.decode_windows`.
    """
    headers = read_headers(image_bytes, SMALLEST_SIDE)

    def views_of(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        whole = image.decode_checked(*row)
        shape = tf.shape(whole)[:2]
        starts = places(shape, size, most)
        # Mirrored only where a side is shorter than the window: gathering rows and columns leaves others as they are.
        cut = tf.map_fn(
            lambda start: tf.gather(
                tf.gather(whole, mirrored(start[0], size, shape[0])), mirrored(start[1], size, shape[1]), axis=1
            ),
            starts,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8),
        )
        return cut, starts, shape

    def views_of_all() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        windows, starts, sizes = tf.map_fn(
            views_of,
            (headers.image_bytes, headers.jpeg, headers.webp, headers.orientations),
            fn_output_signature=(
                tf.RaggedTensorSpec((None, size, size, 3), tf.uint8, ragged_rank=0),
                tf.RaggedTensorSpec((None, 2), tf.int32, ragged_rank=0),
                tf.TensorSpec((2,), tf.int32),
            ),
            parallel_iterations=_DECODED_AT_A_TIME,
        )
        return windows.values, tf.cast(windows.value_rowids(), tf.int32), starts.values, sizes

    def no_views() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        nothing = tf.zeros((0, 2), tf.int32)
        return tf.zeros((0, size, size, 3), tf.uint8), tf.zeros((0,), tf.int32), nothing, nothing

    windows, rows, starts, sizes = tf.cond(tf.size(headers.image_bytes) > 0, views_of_all, no_views)
    return Views(tf.ensure_shape(windows, (None, size, size, 3)), rows, tf.ensure_shape(starts, (None, 2)), sizes)


def native_extents(views: Views) -> tf.Tensor:
    """Return the height and width of each window that are not mirrored: int32 (count, 2), multiples of 8.

    Networks halve the resolution three times; up to 7 px of an image that is smaller than the window are dropped.
    """
    size = views.windows.shape[1]
    return tf.gather(tf.minimum(views.sizes // _BLOCK * _BLOCK, size), views.rows)


def grid(height: int, width: int, size: int, most: int) -> tuple[int, int]:
    """Return the number of views along the height and along the width of an image.

    As many as cover the image, but no more than `most` in all: the longer side loses views first, the width where both
    need equally many.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        size: Height and width of a window in pixels.
        most: Largest number of views, at least 1.
    """
    down, across = max(1, -(-height // size)), max(1, -(-width // size))
    # At most `most` along either side: what is beyond it is cut off at once, whatever the image's size.
    down, across = min(down, most), min(across, most)
    while down * across > most:
        if across >= down:
            across -= 1
        else:
            down -= 1
    return down, across


def places(shape: tf.Tensor, size: int, most: int) -> tf.Tensor:
    """Return where the views of an image begin, inside the graph.

    Args:
        shape: int32 (2,), height and width of the upright image.
        size: Height and width of a window in pixels.
        most: Largest number of views, at least 1.

    Returns:
        int32 (views, 2), first row and column of each, row by row: a single view along a side lies in its centre,
        several are spread evenly from one border to the other, each up to 7 px nearer to the start, on a multiple of
        8. A side that is shorter than the window begins at 0.
    """
    table = tf.constant(_grids(most))
    needed = tf.clip_by_value(-(-shape // size), 1, most)
    count = tf.gather_nd(table, [needed - 1])[0]
    down, across = (_along(shape[axis], size, count[axis]) for axis in (0, 1))
    rows, columns = tf.meshgrid(down, across, indexing="ij")
    return tf.stack([tf.reshape(rows, [-1]), tf.reshape(columns, [-1])], axis=1)


def mirrored(start: tf.Tensor, size: int, side: tf.Tensor) -> tf.Tensor:
    """Return the indices of one side of a window: int32 (size,), reflected at the borders of a shorter side.

    The border itself is not repeated: 0 1 2 3 2 1 0 1 2 ... of a side of four.
    """
    period = tf.maximum(2 * (side - 1), 1)
    index = tf.math.floormod(start + tf.range(size), period)
    return tf.where(index < side, index, period - index)


def _along(side: tf.Tensor, size: int, count: tf.Tensor) -> tf.Tensor:
    room = tf.maximum(side - size, 0)
    numbers = tf.range(count)
    # In whole numbers, rounded down, so that every runtime finds the same places.
    exact = tf.where(count > 1, numbers * room // tf.maximum(count - 1, 1), room // 2)
    return exact // _BLOCK * _BLOCK


def _grids(most: int) -> np.ndarray:
    """Return int32 (most, most, 2): views needed down and across, less one -> views taken down and across."""
    table = [[grid(down, across, 1, most) for across in range(1, most + 1)] for down in range(1, most + 1)]
    return np.array(table, np.int32)
