"""What can be known of an encoded image without decoding it: its format, its size, and whether it is worth sending.

These checks cost microseconds, so that the client and the embedded server can refuse a file, and say why, before any
pixel is computed. They never accept on behalf of the servable: its graph decodes, and has the last word.
"""

import struct

from serving import contract

# Formats that the graph's decoder reads, by the bytes that each file starts with.
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)

# Shorter than this, no format has room for a single pixel.
_MINIMUM_BYTES = 12

# JPEG markers that start a frame header, which holds the size: SOF0..SOF15 without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


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
        return f"is no JPEG, PNG, GIF, BMP or WebP image (starts with {image[:8]!r})"
    if len(image) < _MINIMUM_BYTES:
        return f"is truncated: {len(image)} bytes of {image_format}"
    size = size_of(image)
    if size is not None and size[0] * size[1] > contract.MAX_IMAGE_PIXELS:
        width, height = size
        return f"is {width:,} x {height:,} pixels, above the limit of {contract.MAX_IMAGE_PIXELS:,} pixels"
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
        (width, height); None where the header does not say, is cut off, or the format (WebP) hides it.
    """
    try:
        match format_of(image):
            case "PNG":
                return struct.unpack_from(">II", image, 16)
            case "GIF":
                return struct.unpack_from("<HH", image, 6)
            case "BMP":
                width, height = struct.unpack_from("<ii", image, 18)
                return abs(width), abs(height)  # a negative height means rows from top to bottom
            case "JPEG":
                return _jpeg_size(image)
    except struct.error:
        return None
    return None


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
