"""From encoded bytes to the window of pixels that a model sees, inside the graph.

The rule for size: the window of size x size pixels at the centre of the image, at its native resolution. Nothing is
ever rescaled, because interpolation rewrites the very frequencies that give a generator away; an image that is
smaller than the window is refused. docs/images.md says what becomes of each format.
"""

import tensorflow as tf

from components.features import orientation
from components.features.encoded import read_headers
from components.features.parameters import Colour
from serving import images

# ITU-R 601-2 luma in 16-bit fixed point, as Pillow's convert("L") computes it: published statistics rest on it.
_RED, _GREEN, _BLUE, _HALF = 19595, 38470, 7471, 0x8000


def decode_windows(image_bytes: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes a batch of images and cuts the central window from each.

    Args:
        image_bytes: string tensor of shape (batch,): JPEG, PNG, WebP or BMP, of any size not below `size`.
        size: height and width of the window in pixels.

    Returns:
        uint8 tensor of shape (batch, size, size, 3), RGB, upright.

    Raises:
        tf.errors.InvalidArgumentError: (when run) naming the row, if an image's header says that it cannot be judged
            (see `encoded.read_headers`); without the row, if the data behind the header are corrupt.
    """
    headers = read_headers(image_bytes, size)
    windows = tf.map_fn(
        lambda row: _decode_window(row[0], row[1], row[2], row[3], size),
        (
            headers.image_bytes,
            headers.jpeg,
            headers.webp,
            orientation.window_starts(headers.sizes, headers.orientations, size),
        ),
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8),
    )
    windows = orientation.upright(windows, headers.orientations)
    return tf.ensure_shape(windows, (None, size, size, 3))


def decode_whole(image_bytes: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image, all of it, upright.

    Args:
        image_bytes: string scalar, as in `decode_windows`.
        size: height and width that it must have at least.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: (when run) as `decode_windows`.
    """
    headers = read_headers(image_bytes[tf.newaxis], size)
    return decode_checked(headers.image_bytes[0], headers.jpeg[0], headers.webp[0], headers.orientations[0])


def decode_checked(encoded: tf.Tensor, jpeg: tf.Tensor, webp: tf.Tensor, orientations: tf.Tensor) -> tf.Tensor:
    """Decode one image whose header was checked, all of it, upright.

    Args:
        encoded: string scalar.
        jpeg: bool scalar, whether it is a JPEG.
        webp: bool scalar, whether it is a WebP.
        orientations: int32 scalar, 1..8 as EXIF numbers them.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    return orientation.upright_image(_decode(encoded, jpeg, webp), orientations)


def channels(windows: tf.Tensor, colour: Colour) -> tf.Tensor:
    """Returns the channels that a model sees.

    Args:
        windows: uint8 tensor of shape (batch, size, size, 3), RGB.
        colour: "rgb", all three; "grey", luma.

    Returns:
        float32 tensor of shape (batch, size, size, 3 or 1), whole numbers 0..255.
    """
    return tf.cast(windows, tf.float32) if colour == "rgb" else grey(windows)


def pixels(values: tf.Tensor) -> tf.Tensor:
    """Scales windows from 0..255 to -1..1.

    Args:
        values: uint8 or float32 tensor of any shape.

    Returns:
        float32 tensor of the same shape.
    """
    return tf.cast(values, tf.float32) / 127.5 - 1.0


def grey(windows: tf.Tensor) -> tf.Tensor:
    """Converts RGB windows to luma (ITU-R 601-2, rounded to integers).

    Args:
        windows: uint8 tensor of shape (batch, size, size, 3).

    Returns:
        float32 tensor of shape (batch, size, size, 1), whole numbers 0..255.
    """
    channels = tf.cast(windows, tf.int32)
    luma = _RED * channels[..., 0:1] + _GREEN * channels[..., 1:2] + _BLUE * channels[..., 2:3] + _HALF
    return tf.cast(tf.bitwise.right_shift(luma, 16), tf.float32)


def _decode_window(
    encoded: tf.Tensor, is_jpeg: tf.Tensor, is_webp: tf.Tensor, start: tf.Tensor, size: int
) -> tf.Tensor:
    image = _decode(encoded, is_jpeg, is_webp)
    return image[start[0] : start[0] + size, start[1] : start[1] + size]


def _decode(encoded: tf.Tensor, is_jpeg: tf.Tensor, is_webp: tf.Tensor) -> tf.Tensor:
    # The accurate inverse DCT is what Pillow uses; TensorFlow's default is a faster one, up to 3 levels off, which is
    # noise in the very spectrum that is looked at.
    image = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: _decode_other(encoded, is_webp),
    )
    return tf.ensure_shape(image, (None, None, 3))


def _decode_other(encoded: tf.Tensor, is_webp: tf.Tensor) -> tf.Tensor:
    # Of WebP the decoder gives the channels that are there or fails, so alpha is dropped here.
    return tf.cond(
        is_webp,
        lambda: tf.io.decode_image(encoded, channels=0, expand_animations=False)[..., :3],
        lambda: _checked_depth(encoded, tf.io.decode_image(encoded, channels=3, expand_animations=False)),
    )


def _checked_depth(encoded: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Refuse a PNG of 16 bits a channel whose high bytes, which the decoder gives, hold next to nothing."""
    header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=images.PNG_DEPTH_BYTE + 1)
    is_png = tf.reduce_all(header[:4] == tf.constant(list(b"\x89PNG"), tf.uint8))
    is_faint = is_png & (header[images.PNG_DEPTH_BYTE] == 16) & (tf.reduce_max(image) < images.LOWEST_DEEP_PEAK)
    with tf.control_dependencies([tf.debugging.Assert(~is_faint, [images.UNUSED_BITS])]):
        return tf.identity(image)
