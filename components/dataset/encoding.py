"""One last step for every image, real or fake: so that how a file was stored no longer tells its class.

Encoding all images as JPEG with the same quality and the same chroma subsampling gives all of them the same format and
the same, latest compression traces. It masks what earlier steps left, best where the quality is lower than theirs; it
removes nothing: a strong earlier compression stays visible, and so do rescaling and missing colours. Storing all images
as PNG evens out the files alone: the pixels, which are what models see, stay as they are.
"""

import io

import numpy as np
from PIL import Image

from components.dataset.images import encode_png
from components.dataset.parameters import Recompression

_HALVED_BOTH_WAYS = 2  # Pillow's word for 4:2:0


def encode_alike(pixels: np.ndarray, recompression: Recompression) -> bytes:
    """Encodes an image as every other one.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        recompression: JPEG quality, 1..100; or "png".

    Returns:
        A baseline JPEG with the standard's Huffman tables and 4:2:0 chroma, or a PNG. Equal pixels give equal bytes.
    """
    if recompression == "png":
        return encode_png(pixels)
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(buffer, "JPEG", quality=recompression, subsampling=_HALVED_BOTH_WAYS, optimize=False, progressive=False)
    return buffer.getvalue()
