"""What the headers of encoded images say, read inside the graph, and the refusal that names the row.

A production server runs the graph and nothing else, so the graph itself must be safe: it looks at bytes and pixels
before anything is decoded, and refuses the batch with the first row at fault and the reason. The words are those of
`serving.images`, which checks the same by plain Python on either end of the wire.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.features import orientation
from serving import contract

_HEADER_BYTES = 62  # as far as the channel masks of a BMP
# The number that each of these spans of the header makes: (first byte, bytes, "<" or ">" as in struct).
_NUMBERS = {
    "start": (0, 4, ">"),
    "png_start": (4, 4, ">"),
    "webp": (8, 4, ">"),
    "chunk": (12, 4, ">"),
    "png_width": (16, 4, ">"),
    "png_height": (20, 4, ">"),
    "bmp_width": (18, 4, "<"),
    "bmp_height": (22, 4, "<"),
    "bmp_depth": (28, 2, "<"),
    "bmp_compression": (30, 4, "<"),
    "webp_flags": (20, 1, "<"),
    "lossless_size": (21, 4, "<"),
    "extended_width": (24, 3, "<"),
    "extended_height": (27, 3, "<"),
    "lossy_width": (26, 2, "<"),
    "lossy_height": (28, 2, "<"),
}
_MINIMUM_BYTES = 12  # shorter than this, no format has room for a single pixel
_ANIMATION = 0x02  # flag of an extended WebP header
_FOURTEEN_BITS = 0x3FFF
_UNCOMPRESSED, _BIT_FIELDS = 0, 3  # kinds of BMP

# Codes of a row's state; 0 is in order. The reasons stand in _reason in the same order.
_EMPTY, _TOO_MANY_BYTES, _UNKNOWN, _TRUNCATED, _GIF, _ANIMATED, _BMP_KIND, _TOO_MANY_PIXELS, _TOO_SMALL = range(1, 10)


@dataclass(frozen=True)
class Headers:
    """What decoding needs to know of each row.

    Attributes:
        image_bytes: string (batch,), the images, which exist only if all of them passed.
        jpeg, webp: bool (batch,), the format; neither means PNG or BMP.
        sizes: int32 (batch, 2), height and width as stored, before any turning.
        orientations: int32 (batch,), 1..8 as EXIF numbers them; 1 is upright.
    """

    image_bytes: tf.Tensor
    jpeg: tf.Tensor
    webp: tf.Tensor
    sizes: tf.Tensor
    orientations: tf.Tensor


def read_headers(image_bytes: tf.Tensor, size: int) -> Headers:
    """Reads the headers of a batch, and refuses it if a row cannot be judged.

    Args:
        image_bytes: string (batch,), encoded images.
        size: height and width of the window in pixels.

    Returns:
        The headers. The check is a control dependency of what they hold, so that no pruning of the graph loses it.

    Raises:
        tf.errors.InvalidArgumentError: (when run) `image_bytes[<row>]: <reason>`, of the first row that is empty, of
            another format, above the limits of bytes or pixels, smaller than the window, or of a kind that the decoder
            misreads. A JPEG whose header is corrupt is refused as well, but without its row.
    """
    lengths = tf.strings.length(image_bytes)
    start = tf.cast(tf.io.decode_raw(image_bytes, tf.uint8, fixed_length=4), tf.int32)
    is_jpeg = tf.reduce_all(tf.equal(start[:, :3], [0xFF, 0xD8, 0xFF]), axis=1) & (lengths >= _MINIMUM_BYTES)
    jpegs = tf.map_fn(
        lambda row: tf.cond(row[1], lambda: tf.io.extract_jpeg_shape(row[0])[:2], lambda: tf.constant([0, 0])),
        (image_bytes, is_jpeg),
        fn_output_signature=tf.TensorSpec((2,), tf.int32),
    )
    orientations = tf.where(is_jpeg, orientation.of_jpegs(image_bytes), 1)
    # A batch of JPEGs alone, the usual one, is spared the rest.
    sizes, webp, states = tf.cond(
        tf.reduce_all(is_jpeg),
        lambda: (tf.cast(jpegs, tf.int64), tf.zeros_like(is_jpeg), tf.zeros_like(lengths)),
        lambda: _other_headers(image_bytes, lengths, is_jpeg, tf.cast(jpegs, tf.int64)),
    )
    states = _first_of(states, tf.reduce_prod(sizes, axis=1) > contract.MAX_IMAGE_PIXELS, _TOO_MANY_PIXELS)
    # A dimension alone may be beyond what the product can hold.
    states = _first_of(states, tf.reduce_any(sizes > contract.MAX_IMAGE_PIXELS, axis=1), _TOO_MANY_PIXELS)
    states = _first_of(states, tf.reduce_any(sizes < size, axis=1), _TOO_SMALL)
    states = tf.where(lengths > contract.MAX_IMAGE_BYTES, _TOO_MANY_BYTES, states)
    checked = tf.cond(
        tf.reduce_any(states > 0),
        lambda: _refuse(states, lengths, sizes, orientations, size),
        lambda: tf.constant(True),
    )
    with tf.control_dependencies([checked]):
        return Headers(
            tf.identity(image_bytes),
            tf.identity(is_jpeg),
            tf.identity(webp),
            tf.cast(sizes, tf.int32),
            tf.identity(orientations),
        )


def _other_headers(
    image_bytes: tf.Tensor, lengths: tf.Tensor, is_jpeg: tf.Tensor, jpeg_sizes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns sizes, which rows are WebP, and states, of a batch that holds other formats than JPEG as well."""
    header = tf.io.decode_raw(image_bytes, tf.uint8, fixed_length=_HEADER_BYTES)
    # Every number of the header is linear in its bytes, and exact in float64: one product reads them all.
    read = tf.cast(tf.linalg.matmul(tf.cast(header, tf.float64), tf.constant(_weights())), tf.int64)
    number = dict(zip(_NUMBERS, tf.unstack(read, axis=1), strict=True))
    png = (number["start"] == _word(b"\x89PNG")) & (number["png_start"] == _word(b"\r\n\x1a\n"))
    bmp = number["start"] // 65_536 == _word(b"BM")
    gif = (number["start"] == _word(b"GIF8")) & _is_one_of(number["png_start"] // 65_536, (b"7a", b"9a"))
    webp = (number["start"] == _word(b"RIFF")) & (number["webp"] == _word(b"WEBP"))
    webp_sizes, animated = _webp_header(number)
    sizes = jpeg_sizes
    for of_format, (height, width) in (
        (png, (number["png_height"], number["png_width"])),
        (bmp, (tf.abs(_signed(number["bmp_height"])), tf.abs(_signed(number["bmp_width"])))),
        (webp, webp_sizes),
    ):
        sizes = tf.where(of_format[:, tf.newaxis], tf.stack([height, width], axis=1), sizes)
    known = is_jpeg | png | bmp | gif | webp | (number["start"] // 256 == _word(b"\xff\xd8\xff"))
    states = tf.zeros_like(lengths)
    for wrong, code in (
        (lengths == 0, _EMPTY),
        (~known, _UNKNOWN),
        (lengths < _MINIMUM_BYTES, _TRUNCATED),
        (gif, _GIF),
        (webp & animated, _ANIMATED),
        (bmp & ~_readable_bmp(number, header), _BMP_KIND),
    ):
        states = _first_of(states, wrong, code)
    return sizes, webp, states


def _webp_header(number: dict[str, tf.Tensor]) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns height and width, and whether there are several pictures. Source: RFC 9649, section 2.7, 3.4 and 2.5."""
    extended, lossless = number["chunk"] == _word(b"VP8X"), number["chunk"] == _word(b"VP8L")
    sizes = {
        "height": (number["extended_height"] + 1, (number["lossless_size"] // 2**14) % 2**14 + 1),
        "width": (number["extended_width"] + 1, number["lossless_size"] % 2**14 + 1),
    }
    height, width = (
        tf.where(extended, of_extended, tf.where(lossless, of_lossless, number[f"lossy_{name}"] % (_FOURTEEN_BITS + 1)))
        for name, (of_extended, of_lossless) in sizes.items()
    )
    return (height, width), extended & (number["webp_flags"] // _ANIMATION % 2 == 1)


def _readable_bmp(number: dict[str, tf.Tensor], header: tf.Tensor) -> tf.Tensor:
    """Says which rows have the layout that TensorFlow assumes of every BMP: 24 or 32 bits, blue first, not packed.

    It takes the indices of a palette for grey values, and looks neither at compression nor at channel masks.
    """
    depth, compression = number["bmp_depth"], number["bmp_compression"]
    # Of red and green; with these two in place, blue has nowhere else to be.
    masks = tf.constant([0, 0, 0xFF, 0, 0, 0xFF, 0, 0], tf.uint8)
    usual_masks = tf.reduce_all(header[:, 54:62] == masks, axis=1)
    return ((depth == 24) & (compression == _UNCOMPRESSED)) | (
        (depth == 32) & ((compression == _UNCOMPRESSED) | ((compression == _BIT_FIELDS) & usual_masks))
    )


def _refuse(states: tf.Tensor, lengths: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, size: int) -> tf.Tensor:
    """Fails, naming the first row that is not in order."""
    row = tf.argmax(tf.cast(states > 0, tf.int32), output_type=tf.int32)
    turned = orientations[row] >= orientation.FIRST_TURNED
    height, width = tf.unstack(tf.cond(turned, lambda: sizes[row, ::-1], lambda: sizes[row]))
    words = {
        _EMPTY: ["is empty; send the bytes of one encoded image"],
        _TOO_MANY_BYTES: [
            "holds ", _grouped(lengths[row]), f" bytes, above the limit of {contract.MAX_IMAGE_BYTES:,}"
        ],
        _UNKNOWN: ["is no JPEG, PNG, WebP or BMP image"],
        _TRUNCATED: ["is truncated: ", _grouped(lengths[row]), " bytes"],
        _GIF: ["is a GIF, whose 256 colours hide what generators leave behind; send the original"],
        _ANIMATED: ["is an animated WebP; send the one picture that counts"],
        _BMP_KIND: ["is a BMP with a palette or packed pixels; send 24 bits a pixel, or PNG"],
        _TOO_MANY_PIXELS: [
            "is ", _grouped(width), " x ", _grouped(height),
            f" pixels, above the limit of {contract.MAX_IMAGE_PIXELS:,} pixels",
        ],
        _TOO_SMALL: [
            "is ", _grouped(width), " x ", _grouped(height),
            f" pixels, smaller than the window of {size} x {size} pixels of the model; images are never enlarged",
        ],
    }  # fmt: skip
    reason = tf.gather([tf.strings.join(words[code]) for code in sorted(words)], states[row] - 1)
    message = tf.strings.join([f"{contract.INPUT_IMAGE_BYTES}[", tf.strings.as_string(row), "]: ", reason])
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(states == 0), [message])]):
        return tf.constant(False)


def _first_of(states: tf.Tensor, wrong: tf.Tensor, code: int) -> tf.Tensor:
    """Gives the code to rows that are wrong and have none yet."""
    return tf.where(wrong & (states == 0), code, states)


def _grouped(number: tf.Tensor) -> tf.Tensor:
    """Writes a whole number as Python's format(number, ",") does."""
    text = tf.strings.as_string(number)
    for _ in range(3):  # up to twelve digits
        text = tf.strings.regex_replace(text, r"^(\d+)(\d{3}(?:,\d{3})*)$", r"\1,\2")
    return text


def _signed(number: tf.Tensor) -> tf.Tensor:
    return tf.where(number >= 2**31, number - 2**32, number)


def _is_one_of(number: tf.Tensor, words: tuple[bytes, ...]) -> tf.Tensor:
    return tf.reduce_any(number[:, tf.newaxis] == tf.constant([_word(word) for word in words], tf.int64), axis=1)


def _word(characters: bytes) -> int:
    return int.from_bytes(characters, "big")


def _weights() -> np.ndarray:
    """Returns float64 (header bytes, numbers): what each byte counts in each number."""
    weights = np.zeros((_HEADER_BYTES, len(_NUMBERS)))
    for column, (first, count, order) in enumerate(_NUMBERS.values()):
        for position in range(count):
            weights[first + position, column] = 256.0 ** (position if order == "<" else count - 1 - position)
    return weights
