"""The orientation that a camera wrote into a JPEG, read and applied inside the graph.

Quarter turns and mirrorings move pixels and change none, so an image turned upright keeps every trace of where it
comes from; but models are trained on upright images, and must be shown upright ones.
"""

import tensorflow as tf

from serving.images import EXIF_MARKER, EXIF_ORIENTATION

FIRST_TURNED = 5  # from this orientation on, rows are stored as columns

_EXIF = EXIF_ORIENTATION + rb"\C*$"
_SEARCHED_BYTES = 640  # as far as the pattern can reach

# Orientation -> (rows are stored as columns, then mirror top to bottom, then mirror left to right). Number 0 is unused.
_STEPS = (
    (0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0),
)  # fmt: skip


def of_jpegs(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientations of a batch.

    One regular expression over the first bytes of all rows takes a few microseconds an image; walking the segments
    with operations of the graph would take a thousand times as long.

    Args:
        encoded: string (batch,); rows that are no JPEG have none.

    Returns:
        int32 (batch,), 1..8; 1 where none is written in the usual place, or one that makes no sense.

    Source: Exif 2.32 (CIPA DC-008), sections 4.5.2, 4.5.4 and 4.6.2.
    """
    start = tf.strings.substr(encoded, 0, _SEARCHED_BYTES)
    # What matches as a whole becomes two bytes: the second one of the segment's marker, and the orientation.
    found = tf.strings.regex_replace(start, _EXIF, rb"\1\2\3", replace_global=False)
    marker, value = tf.unstack(tf.cast(tf.io.decode_raw(found, tf.uint8, fixed_length=2), tf.int32), axis=1)
    return tf.where((tf.strings.length(found) == 2) & (marker == EXIF_MARKER) & (value <= 8), tf.maximum(value, 1), 1)


def window_starts(sizes: tf.Tensor, orientations: tf.Tensor, size: int) -> tf.Tensor:
    """Finds where in the stored image the central window of the upright one lies.

    Args:
        sizes: int32 (batch, 2), height and width as stored.
        orientations: int32 (batch,), 1..8.
        size: height and width of the window.

    Returns:
        int32 (batch, 2): first row and first column. Where the margin is odd, the window lies one pixel nearer to the
        top and to the left of the upright image.
    """
    steps = tf.gather(tf.constant(_STEPS), orientations)
    swapped, mirrored = steps[:, :1] == 1, steps[:, 1:]
    return (sizes - size + tf.where(swapped, mirrored[:, ::-1], mirrored)) // 2


def upright(windows: tf.Tensor, orientations: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors stored windows so that they stand upright.

    Args:
        windows: (batch, size, size, channels), as stored.
        orientations: int32 (batch,), 1..8.

    Returns:
        tensor of the same shape and type.
    """
    return tf.cond(tf.reduce_any(orientations > 1), lambda: _turn(windows, orientations), lambda: windows)


def upright_image(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors one stored image, of any shape, so that it stands upright.

    Args:
        image: (height, width, channels), as stored.
        orientation: int32 scalar, 1..8.

    Returns:
        tensor of the same type; height and width change places where rows were stored as columns.
    """
    steps = tf.gather(tf.constant(_STEPS), orientation) == 1
    image = tf.cond(steps[0], lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(steps[1], lambda: image[::-1], lambda: image)
    return tf.cond(steps[2], lambda: image[:, ::-1], lambda: image)


def _turn(windows: tf.Tensor, orientations: tf.Tensor) -> tf.Tensor:
    steps = tf.gather(tf.constant(_STEPS), orientations)[:, :, tf.newaxis, tf.newaxis, tf.newaxis] == 1
    windows = tf.where(steps[:, 0], tf.transpose(windows, (0, 2, 1, 3)), windows)
    windows = tf.where(steps[:, 1], windows[:, ::-1], windows)
    return tf.where(steps[:, 2], windows[:, :, ::-1], windows)
