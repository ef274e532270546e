"""The quality of a JPEG, from its quantisation tables.

Encoders of the Independent JPEG Group's line (libjpeg, Pillow, OpenCV, ImageMagick) scale the example tables of the
JPEG standard by a quality of 1 to 100; cameras and Photoshop have tables of their own.

Source: ITU-T T.81, annex K, tables K.1 and K.2; scaling as in libjpeg, jcparam.c (jpeg_quality_scaling).
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_GREATEST_STEP = 255  # of 8-bit tables, which is what these encoders write


def used_tables(image: Image.Image) -> list[np.ndarray]:
    """Return the quantisation tables of a JPEG as opened by Pillow.

    Args:
        image: The opened image; its pixels are not needed.

    Returns:
        Steps, int64 (64,) each, row by row, that of luma first; an empty list for every other format.
    """
    tables: Mapping[int, Sequence[int]] | None = getattr(image, "quantization", None)
    layers: Sequence[tuple[int, int, int, int]] | None = getattr(image, "layer", None)
    if not tables or not layers:
        return []
    return [np.asarray(tables[table], np.int64) for table in dict.fromkeys(layer[3] for layer in layers)]


@cache
def standard_tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the luma and chroma tables of a quality of 1 to 100: int64 (64,) each, row by row."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        np.clip((np.array(table, np.int64).ravel() * scale + 50) // 100, 1, _GREATEST_STEP)
        for table in (_LUMA, _CHROMA)
    )
    return luma, chroma


def nearest_quality(luma: np.ndarray) -> int:
    """Returns the quality whose luma table is nearest by the sum of absolute differences; of equals the lowest.

    Args:
        luma: steps, int64 (64,), row by row.
    """
    return 1 + int(np.argmin(np.abs(_all_luma_tables() - luma).sum(axis=1)))


@cache
def _all_luma_tables() -> np.ndarray:
    return np.stack([standard_tables(quality)[0] for quality in range(1, 101)])
