"""Columns as classes: what is compared are the shares of a fixed, small number of classes of each column.

Fixed classes, because bins that follow the data lie elsewhere each day: TFDV cuts the range of a number into ten equal
parts, and one image of 40 megapixels would put all others into the first of them. Few classes, because each one adds to
what chance alone does to a divergence.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from serving.request_log.columns import BANDS, ImageColumns
from serving.request_log.entries import Answered

SOURCE_COLUMN = "source_probability"
BAND_COLUMN = "log_dct_band"
VERDICT, FAKE_PROBABILITY = "verdict", "fake_probability"

# None where there is no value: the row is not counted in that column.
Classes = dict[str, str | None]

_NOT_JPEG = "not JPEG"
_QUALITIES = (50, 60, 70, 75, 80, 85, 90, 93, 95, 98)
# Probabilities crowd near 0 and 1, and what matters there is by how many orders of magnitude.
_PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
_PIXELS = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144)
_BYTES = tuple(2**power for power in range(10, 26))
# Natural logarithms: of photographs the bands lie between 0 and 8, with deviations of half a unit to one.
_BANDS = tuple(number / 4 for number in range(1, 36))


def classes_of(image: ImageColumns, answer: Answered | None) -> Classes:
    """Returns the class of each column of one image; without an answer, of the image's columns alone."""
    classes = {
        "format": image.format,
        "height": _class(image.height, _PIXELS, _whole),
        "width": _class(image.width, _PIXELS, _whole),
        "jpeg_quality": _quality(image),
        "bytes": _class(image.bytes, _BYTES, _whole),
    }
    bands = image.log_dct_bands or (None,) * BANDS
    for number, band in enumerate(bands, start=1):
        classes[f"{BAND_COLUMN}_{number}"] = _class(band, _BANDS, _plain)
    if answer is None:
        return classes
    classes[FAKE_PROBABILITY] = _class(answer.fake_probability, _PROBABILITIES, _plain)
    classes[VERDICT] = answer.verdict
    for source, probability in answer.source_probabilities.items():
        classes[f"{SOURCE_COLUMN}.{source}"] = _class(probability, _PROBABILITIES, _plain)
    return classes


def is_score(column: str) -> bool:
    """Whether a column is about what was answered, rather than about the image."""
    return column in (VERDICT, FAKE_PROBABILITY) or column.startswith(f"{SOURCE_COLUMN}.")


def _quality(image: ImageColumns) -> str | None:
    if image.format is None:
        return None
    if image.format != "JPEG":
        return _NOT_JPEG
    return _class(image.jpeg_quality, _QUALITIES, _whole)


def _class(value: float | None, edges: Sequence[float], write: Callable[[float], str]) -> str | None:
    """Names the interval that a value lies in; each holds its lower edge. Names sort in no order of their own."""
    if value is None:
        return None
    place = bisect_right(edges, value)
    if place == 0:
        return f"below {write(edges[0])}"
    if place == len(edges):
        return f"{write(edges[-1])} and more"
    return f"{write(edges[place - 1])} to below {write(edges[place])}"


def _whole(edge: float) -> str:
    return f"{edge:,}"


def _plain(edge: float) -> str:
    return f"{edge:g}"
