"""What is known of an encoded image before it is decoded: format, size, orientation, and whether it is worth sending.

These checks cost microseconds, so that the client and the embedded server can refuse a file, and say why, before any
pixel is computed. They never accept on behalf of the servable: its graph makes the same checks in the same words
(components/features/encoded.py), also that of the window, which only it knows, and has the last word.
"""

import re
import struct

from serving import contract

# Formats by the bytes that each file starts with.
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)

# Shorter than this, no format has room for a single pixel.
_MINIMUM_BYTES = 12

PNG_DEPTH_BYTE = 24  # place of the bits a channel, in the header chunk, which always comes first
# Of 16 bits a channel the high byte counts. Where the largest is below this, the values are of 8 to 14 bits and were
# never scaled to 16: they would be taken for black.
LOWEST_DEEP_PEAK = 64
UNUSED_BITS = (
    "has 16 bits a channel but no value above 16,383, as if its values had fewer bits: scale them to 0..65,535, or "
    "send 8 bits a channel"
)

_ANIMATION = 0x02  # flag of an extended WebP header
_BIT_FIELDS = 3  # a BMP's compression: the channels lie where masks say
_USUAL_MASKS = b"\x00\x00\xff\x00\x00\xff\x00\x00"  # of red and green, which leaves blue the first byte

# JPEG markers that start a frame header, which holds the size: SOF0..SOF15 without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# The orientation's entry in the first directory of a TIFF header, in either order of bytes: tag 0x0112, type SHORT, one
# value. \C is RE2's any byte, of valid text or not. The entries before it have twelve bytes each: tag, type (1..13),
# count and value. Behind the last entry stands the offset of the next directory, the thumbnail's. Where entries have
# their type, it has zero, or a number above 13, as every offset behind a directory is: so the search ends with the
# first directory.
_LITTLE_ENDIAN = (
    rb"II\*\x00\x08\x00\x00\x00\C\C(?:\C\C[\x01-\x0d]\x00\C{8}){0,32}?"
    rb"\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])\x00"
)
_BIG_ENDIAN = (
    rb"MM\x00\*\x00\x00\x00\x08\C\C(?:\C\C\x00[\x01-\x0d]\C{8}){0,32}?"
    rb"\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])"
)
# Start of a JPEG with an EXIF orientation, for the graph (RE2) and for `orientation_of`: one reading for both. The EXIF
# segment follows the start of the image at once, or after a JFIF segment. RE2's patterns are UTF-8, in which the
# segment's marker, 0xFF 0xE1, cannot be written: its second byte is a group, and compared afterwards.
EXIF_ORIENTATION = rb"^\C\C(?:\C{4}JFIF\C{10})?\C(\C)\C\CExif\x00\x00(?:" + _LITTLE_ENDIAN + rb"|" + _BIG_ENDIAN + rb")"
EXIF_MARKER = 0xE1
_EXIF_ORIENTATION = re.compile(EXIF_ORIENTATION.replace(rb"\C", rb"."), re.DOTALL)


def refusal(image: bytes) -> str | None:
    """Says why an encoded image cannot be sent, if that can be known from its header.

    Args:
        image: the encoded image, any bytes at all.

    Returns:
        None if nothing speaks against it; else the reason, e.g. "is empty".
    """
    if not image:
        return "is empty; send the bytes of one encoded image"
    if len(image) > contract.MAX_IMAGE_BYTES:
        return f"holds {len(image):,} bytes, above the limit of {contract.MAX_IMAGE_BYTES:,}"
    image_format = format_of(image)
    if image_format is None:
        return f"is no JPEG, PNG, WebP or BMP image (starts with {image[:8]!r})"
    if len(image) < _MINIMUM_BYTES:
        return f"is truncated: {len(image)} bytes of {image_format}"
    return _unfit_kind(image, image_format) or _too_many_pixels(image)


def _too_many_pixels(image: bytes) -> str | None:
    size = size_of(image)
    if size is not None and size[0] * size[1] > contract.MAX_IMAGE_PIXELS:
        width, height = size
        return f"is {width:,} x {height:,} pixels, above the limit of {contract.MAX_IMAGE_PIXELS:,} pixels"
    return None


def _unfit_kind(image: bytes, image_format: str) -> str | None:
    """Says why a kind of a known format is not decoded."""
    if image_format == "GIF":
        return "is a GIF, whose 256 colours hide what generators leave behind; send the original"
    if image_format == "WEBP" and image[12:16] == b"VP8X" and image[20:21] and image[20] & _ANIMATION:
        return "is an animated WebP; send the one picture that counts"
    if image_format == "BMP" and not _readable_bmp(image):
        return "is a BMP with a palette or packed pixels; send 24 bits a pixel, or PNG"
    return None


def format_of(image: bytes) -> str | None:
    """Returns "JPEG", "PNG", "GIF", "BMP" or "WEBP" by the first bytes, or None if they are of none of these."""
    for start, name in _SIGNATURES:
        if image.startswith(start):
            return name
    return "WEBP" if image[:4] == b"RIFF" and image[8:12] == b"WEBP" else None


def size_of(image: bytes) -> tuple[int, int] | None:
    """Reads width and height in pixels from the header.

    Args:
        image: the encoded image.

    Returns:
        (width, height) as stored, before any turning; None where the header does not say, or is cut off.
    """
    size: tuple[int, int] | None
    try:
        match format_of(image):
            case "PNG":
                size = struct.unpack_from(">II", image, 16)
            case "GIF":
                size = struct.unpack_from("<HH", image, 6)
            case "BMP":
                width, height = struct.unpack_from("<ii", image, 18)
                size = abs(width), abs(height)  # a negative height means rows from top to bottom
            case "JPEG":
                size = _jpeg_size(image)
            case "WEBP":
                size = _webp_size(image)
            case _:
                size = None
    except struct.error:
        return None
    return size


def is_deep_png(image: bytes) -> bool:
    """Return whether an encoded image is a PNG of 16 bits a channel."""
    return format_of(image) == "PNG" and image[PNG_DEPTH_BYTE : PNG_DEPTH_BYTE + 1] == b"\x10"


def orientation_of(image: bytes) -> int:
    """Read the EXIF orientation of a JPEG where the served graph reads it.

    Args:
        image: The encoded image.

    Returns:
        1..8; 1 (upright) for other formats, and where no orientation is written in the usual place.
    """
    match = _EXIF_ORIENTATION.match(image) if format_of(image) == "JPEG" else None
    if match is None or match[1][0] != EXIF_MARKER:
        return 1
    return int((match[2] or match[3])[0])


def _webp_size(image: bytes) -> tuple[int, int] | None:
    """Source: RFC 9649, sections 2.5 to 2.7 and 3.4."""
    match image[12:16]:
        case b"VP8X":
            (dimensions,) = struct.unpack_from("<6s", image, 24)
            return (int.from_bytes(dimensions[:3], "little") + 1, int.from_bytes(dimensions[3:], "little") + 1)
        case b"VP8L":
            (packed,) = struct.unpack_from("<I", image, 21)
            return packed % 2**14 + 1, (packed >> 14) % 2**14 + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", image, 26)
            return width % 2**14, height % 2**14
    return None


def _readable_bmp(image: bytes) -> bool:
    """24 bits a pixel, or 32 with the usual masks: the decoder takes every BMP for one of these."""
    if len(image) < 34:
        return True  # cut off, which the decoder says
    depth, compression = struct.unpack_from("<HI", image, 28)
    usual_masks = image[54:62] == _USUAL_MASKS
    return (depth == 24 and compression == 0) or (
        depth == 32 and (compression == 0 or (compression == _BIT_FIELDS and usual_masks))
    )


def _jpeg_size(image: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 4 <= len(image):
        if image[position] != 0xFF:
            return None
        marker = image[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", image, position + 5)
            return width, height
        # A segment's length counts its own two bytes, so anything below 2 is damage, and would loop here for ever.
        (length,) = struct.unpack_from(">H", image, position + 2)
        if length < 2:
            return None
        position += 2 + length
    return None
