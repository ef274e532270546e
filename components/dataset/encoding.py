"""Encoding of a dataset's images: as PNG, as JPEG, or all of them alike."""

import io

import numpy as np
from PIL import Image

from components.dataset.parameters import Recompression


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode a uint8 array of shape (height, width, 3) as PNG; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encode an image as a baseline JPEG with the standard's Huffman tables and 4:2:0 chroma.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        quality: JPEG quality, 1..100.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=False, progressive=False)
    return buffer.getvalue()


def encode_alike(pixels: np.ndarray, recompression: Recompression) -> bytes:
    """Encode an image as every other one, real or fake, so that how a file was stored no longer tells its class.

    Encoding all images as JPEG with the same quality and the same chroma subsampling gives all of them the same format
    and the same, latest compression traces. It masks what earlier steps left, best where the quality is lower than
    theirs; it removes nothing: a strong earlier compression stays visible, and so do rescaling and missing colours.
    Storing all images as PNG evens out the files alone: the pixels, which are what models see, stay as they are.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        recompression: JPEG quality, 1..100; or "png".

    Returns:
        A JPEG or a PNG. Equal pixels give equal bytes.
    """
    return encode_png(pixels) if recompression == "png" else encode_jpeg(pixels, recompression)
