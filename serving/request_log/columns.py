"""What is measured of an image for monitoring: format, size, compression, and how its frequencies are filled.

None of it lets the picture be seen again. The frequencies are those of the window at the centre, at native resolution,
as the models see it: a re-save, a rescale or another camera shows there before it shows in the probabilities.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from serving import images
from serving.dct import dct2
from serving.decoding import open_image, upright
from serving.request_log.jpeg_quality import nearest_quality, used_tables

BANDS = 8
WINDOW = 128  # pixels: the usual input of the models


@dataclass(frozen=True)
class ImageColumns:
    """The measurements of one image; None where there is nothing to measure, or where it is not known.

    Attributes:
        format: JPEG, PNG, WEBP or BMP, by content.
        height, width: in pixels, upright: after the turn that EXIF asks for.
        jpeg_quality: 1..100, the nearest standard quality; None for other formats.
        bytes: of the encoded image.
        log_dct_bands: mean of log(1 + |c|) over the DCT coefficients c of each of `BANDS` radial bands, low frequencies
            first; of luma in 0..255, orthonormal DCT.
    """

    format: str | None
    height: int | None
    width: int | None
    jpeg_quality: int | None
    bytes: int | None
    log_dct_bands: tuple[float, ...] | None


def measure(encoded: bytes) -> ImageColumns:
    """Measures one encoded image.

    Args:
        encoded: its bytes.

    Raises:
        ValueError: if it cannot be decoded.
    """
    image = open_image(encoded)
    tables = used_tables(image)
    seen = upright(image, images.orientation_of(encoded))
    return ImageColumns(
        format=images.format_of(encoded),
        height=seen.height,
        width=seen.width,
        jpeg_quality=nearest_quality(tables[0]) if tables else None,
        bytes=len(encoded),
        log_dct_bands=log_dct_bands(central_luma(seen)),
    )


def central_luma(image: Image.Image) -> np.ndarray:
    """Return the luma of the window at the centre of an RGB image, float64 (side, side), 0..255.

    Its side is `WINDOW`, or for smaller images the shorter of height and width.
    """
    side = min(WINDOW, *image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).convert("L"), np.float64)


def log_dct_bands(luma: np.ndarray) -> tuple[float, ...]:
    """Returns the mean of log(1 + |c|) in each radial band of the DCT, rounded to four digits.

    A coefficient (u, v) of n x n has radius sqrt(u^2 + v^2) / n. Bands divide 0..1 evenly; the corner beyond 1 belongs
    to the last one, and the constant term, which is brightness, to none. A band without a coefficient, in images of a
    few pixels, is 0.

    Args:
        luma: float64 (n, n).
    """
    bands, counts = _bands(len(luma))
    magnitudes = np.log1p(np.abs(dct2(luma))).ravel()
    sums = np.bincount(bands, magnitudes, BANDS + 1)[:BANDS]
    return tuple(round(float(value), 4) for value in sums / counts)


@cache
def _bands(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the band of each coefficient of a side, and how many each band has (or 1)."""
    frequencies = np.arange(side)
    radius = np.hypot(*np.meshgrid(frequencies, frequencies)) / side
    bands = np.minimum((radius * BANDS).astype(np.int64), BANDS - 1)
    bands[0, 0] = BANDS  # a place of its own, which is left out
    counts = np.maximum(np.bincount(bands.ravel(), minlength=BANDS + 1)[:BANDS], 1)
    return bands.ravel(), counts
