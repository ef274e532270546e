"""How a JPEG was compressed, read from its header: quality (or the tables, where no quality gives them) and chroma.

Both tell where a file comes from.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from serving.request_log.jpeg_quality import nearest_quality, standard_tables, used_tables

NOT_JPEG = "not JPEG"

_CHROMA_SAMPLINGS: dict[tuple[float, float], str] = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (4, 1): "4:1:1",
    (1, 2): "4:4:0",
}


def describe_compression(image: Image.Image) -> str:
    """Describe how an image was compressed.

    Args:
        image: Image as opened from a file; its pixels are not needed.

    Returns:
        e.g. "quality 75, 4:2:0"; "about quality 93 (tables 0f3a91c2), 4:2:2" where the tables are nobody's standard
        ones; "quality 90, grey"; "not JPEG" for every other format.
    """
    used = used_tables(image)
    if not used:
        return NOT_JPEG
    quality = _name_quality(tuple(table.tobytes() for table in used))
    return f"{quality}, {_sampling(getattr(image, 'layer', ()))}"


@lru_cache(maxsize=256)  # the files of a source mostly have the same tables
def _name_quality(tables: tuple[bytes, ...]) -> str:
    """Name the quality of quantization tables (int64, row by row), that of luma first."""
    used = [np.frombuffer(table, np.int64) for table in tables]
    quality = nearest_quality(used[0])
    exact = all((table == standard).all() for table, standard in zip(used, standard_tables(quality), strict=False))
    if exact and len(used) <= 2:
        return f"quality {quality}"
    digest = hashlib.sha256(repr([table.tolist() for table in used]).encode()).hexdigest()[:8]
    return f"about quality {quality} (tables {digest})"


def _sampling(layers: Sequence[tuple[int, int, int, int]]) -> str:
    """Names the chroma subsampling of components (identifier, horizontal, vertical, table)."""
    if len(layers) == 1:
        return "grey"
    luma, others = layers[0][1:3], layers[1:3]
    ratios = {(luma[0] / other[1], luma[1] / other[2]) for other in others}
    return _CHROMA_SAMPLINGS.get(ratios.pop(), "other sampling") if len(ratios) == 1 else "other sampling"
