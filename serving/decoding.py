"""Decoding of encoded images with Pillow: the pixels that the served graph sees, outside the graph.

Limits and orientation are those of the graph (components/features/image.py): what it refuses by the header is refused
here in the same words, a JPEG is turned upright by its EXIF orientation, and PNG, WebP and BMP are left as stored.
"""

import io

import numpy as np
from PIL import Image

from serving import contract, images

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # what the served graph reads

# What turns an image upright, by its EXIF orientation. Source: Exif 2.32 (CIPA DC-008), section 4.6.5.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(encoded: bytes) -> Image.Image:
    """Decode an image as the served graph does.

    Args:
        encoded: JPEG, PNG, WebP or BMP bytes.

    Returns:
        An upright RGB image of 8 bits a channel; alpha is dropped.

    Raises:
        ValueError: if the graph refuses the image, or it is damaged.
    """
    image = upright(open_image(encoded), images.orientation_of(encoded))
    if images.is_deep_png(encoded) and np.asarray(image).max() < images.LOWEST_DEEP_PEAK:
        raise ValueError(f"cannot be decoded: {images.UNUSED_BITS}")
    return image


def open_image(encoded: bytes) -> Image.Image:
    """Decode an image as it is stored, with the tables and the mode of its file.

    Args:
        encoded: JPEG, PNG, WebP or BMP bytes.

    Raises:
        ValueError: as `decode`.
    """
    reason = images.refusal(encoded)
    if reason is not None:
        raise ValueError(f"cannot be decoded: {reason}")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
        if image.width * image.height > contract.MAX_IMAGE_PIXELS:  # of a header that `refusal` cannot follow
            raise ValueError(f"is above the limit of {contract.MAX_IMAGE_PIXELS:,} pixels")
        image.load()
    # On foreign bytes Pillow raises OSError, SyntaxError, struct.error, MemoryError and others.
    except Exception as error:
        raise ValueError(f"cannot be decoded: {error or type(error).__name__}") from error
    return image


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image in RGB, turned and mirrored so that it stands upright.

    Args:
        image: The image as stored, in any mode.
        orientation: EXIF orientation, 1 (upright) to 8.
    """
    if image.mode.startswith("I;16"):  # the high byte, as the graph; Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
