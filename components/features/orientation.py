"""The orientation that a camera wrote into a JPEG, read and applied inside the graph.

Quarter turns and mirrorings move pixels and change none, so an image turned upright keeps every trace of where it
comes from; but models are trained on upright images, and must be shown upright ones.
"""

import tensorflow as tf

# The standard puts the segment at the start of the file; only there it is looked for.
SEARCHED_BYTES = 4096
FIRST_TURNED = 5  # from this orientation on, rows are stored as columns

_MARK = rb"Exif\x00\x00"
_EXIF = tuple(b"Exif\0\0")
_APP1, _SCAN, _TAG, _SHORT, _ENTRY_BYTES = 0xE1, 0xDA, 0x0112, 3, 12
# Orientation -> (rows are stored as columns, then mirror top to bottom, then mirror left to right). Number 0 is unused.
_STEPS = (
    (0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0),
)  # fmt: skip


def of_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of one JPEG.

    Args:
        encoded: string (), the JPEG.

    Returns:
        int32 (), 1..8; 1 where none is written in the first 4,096 bytes, or one that makes no sense.

    Source: Exif 2.32 (CIPA DC-008), sections 4.5.4 and 4.6.2.
    """
    start = tf.strings.substr(encoded, 0, SEARCHED_BYTES)
    # Most images have none, and the search for the mark is all they cost. \C is any byte, of valid text or not.
    return tf.cond(
        tf.strings.regex_full_match(start, rb"\C*" + _MARK + rb"\C*"), lambda: _parse(start), lambda: tf.constant(1)
    )


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


def _turn(windows: tf.Tensor, orientations: tf.Tensor) -> tf.Tensor:
    steps = tf.gather(tf.constant(_STEPS), orientations)[:, :, tf.newaxis, tf.newaxis, tf.newaxis] == 1
    windows = tf.where(steps[:, 0], tf.transpose(windows, (0, 2, 1, 3)), windows)
    windows = tf.where(steps[:, 1], windows[:, ::-1], windows)
    return tf.where(steps[:, 2], windows[:, :, ::-1], windows)


def _parse(start: tf.Tensor) -> tf.Tensor:
    """Walks the segments to the EXIF one and looks its orientation up."""
    # Zeros behind the end, so that a damaged length or offset reads nothing instead of failing.
    data = tf.cast(tf.io.decode_raw(start, tf.uint8, fixed_length=SEARCHED_BYTES + 2 * _ENTRY_BYTES), tf.int64)

    def at(position: tf.Tensor) -> tf.Tensor:
        return tf.gather(data, tf.clip_by_value(position, 0, SEARCHED_BYTES))

    def number(position: tf.Tensor, count: int, little: tf.Tensor) -> tf.Tensor:
        """Returns the whole number in `count` bytes from each position on."""
        position = tf.clip_by_value(position, 0, SEARCHED_BYTES)
        characters = [tf.gather(data, position + offset) for offset in range(count)]
        return tf.where(
            little,
            tf.add_n([value * 256**power for power, value in enumerate(characters)]),
            tf.add_n([value * 256**power for power, value in enumerate(reversed(characters))]),
        )

    def is_exif(position: tf.Tensor) -> tf.Tensor:
        begins = tf.reduce_all(at(position + 4 + tf.range(6, dtype=tf.int64)) == tf.constant(_EXIF, tf.int64))
        return (at(position + 1) == _APP1) & begins

    def goes_on(position: tf.Tensor) -> tf.Tensor:
        in_segment = (position < SEARCHED_BYTES) & (at(position) == 0xFF) & (at(position + 1) != _SCAN)
        return in_segment & ~is_exif(position)

    def following(position: tf.Tensor) -> tuple[tf.Tensor]:
        # A segment's length counts its own two bytes; before a marker any number of 0xFF may stand as filling.
        step = tf.maximum(number(position + 2, 2, tf.constant(False)), 2) + 2
        return (position + tf.where(at(position + 1) == 0xFF, tf.constant(1, tf.int64), step),)

    (position,) = tf.while_loop(goes_on, following, (tf.constant(2, tf.int64),))
    tiff = position + 10
    little = at(tiff) == ord("I")
    directory = tiff + number(tiff + 4, 4, little)
    count = tf.minimum(number(directory, 2, little), SEARCHED_BYTES // _ENTRY_BYTES)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(count)
    fits = (entries <= SEARCHED_BYTES) & is_exif(position)
    found = fits & (number(entries, 2, little) == _TAG) & (number(entries + 2, 2, little) == _SHORT)
    values = tf.boolean_mask(number(entries + 8, 2, little), found)
    value = tf.concat([values, tf.constant([1], tf.int64)], axis=0)[0]
    return tf.cast(tf.where((value >= 1) & (value <= 8), value, 1), tf.int32)
