"""How a JPEG was compressed, read from its header: quality (or the tables, where no quality gives them) and chroma.

Encoders of the Independent JPEG Group's line (libjpeg, Pillow, OpenCV, ImageMagick) scale the example tables of the
JPEG standard by a quality of 1 to 100; cameras and Photoshop have tables of their own. Both tell where a file comes
from.

Source: ITU-T T.81, annex K, tables K.1 and K.2; scaling as in libjpeg, jcparam.c (jpeg_quality_scaling).
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image

from components.features.confound import NOT_JPEG

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
_CHROMA_SAMPLINGS: dict[tuple[float, float], str] = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (4, 1): "4:1:1",
    (1, 2): "4:4:0",
}


def describe_compression(image: Image.Image) -> str:
    """Says how an image was compressed.

    Args:
        image: as opened from a file; its pixels are not looked at.

    Returns:
        e.g. "quality 75, 4:2:0"; "about quality 93 (tables 0f3a91c2), 4:2:2" where the tables are nobody's standard
        ones; "quality 90, grey"; "not JPEG" for every other format.
    """
    tables: Mapping[int, Sequence[int]] | None = getattr(image, "quantization", None)
    layers: Sequence[tuple[int, int, int, int]] | None = getattr(image, "layer", None)
    if not tables or not layers:
        return NOT_JPEG
    used = [np.asarray(tables[table], np.int64) for table in dict.fromkeys(layer[3] for layer in layers)]
    quality = _nearest_quality(used[0])
    exact = all((table == standard).all() for table, standard in zip(used, _standard_tables(quality), strict=False))
    if exact and len(used) <= 2:
        name = f"quality {quality}"
    else:
        digest = hashlib.sha256(repr([table.tolist() for table in used]).encode()).hexdigest()[:8]
        name = f"about quality {quality} (tables {digest})"
    return f"{name}, {_sampling(layers)}"


def _sampling(layers: Sequence[tuple[int, int, int, int]]) -> str:
    """Names the chroma subsampling of components (identifier, horizontal, vertical, table)."""
    if len(layers) == 1:
        return "grey"
    luma, others = layers[0][1:3], layers[1:3]
    ratios = {(luma[0] / other[1], luma[1] / other[2]) for other in others}
    return _CHROMA_SAMPLINGS.get(ratios.pop(), "other sampling") if len(ratios) == 1 else "other sampling"


@cache
def _standard_tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Luma and chroma tables of a quality, int64 (64,), row by row."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        np.clip((np.array(table, np.int64).ravel() * scale + 50) // 100, 1, _GREATEST_STEP)
        for table in (_LUMA, _CHROMA)
    )
    return luma, chroma


def _nearest_quality(luma: np.ndarray) -> int:
    """The quality whose luma table is nearest by the sum of absolute differences; of equals the lowest."""
    distances = [np.abs(_standard_tables(quality)[0] - luma).sum() for quality in range(1, 101)]
    return 1 + int(np.argmin(distances))
