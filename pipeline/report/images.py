"""Pictures of the report as data URIs: sample images and DCT spectra."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from PIL import Image

from serving.decoding import decode
from serving.images import format_of

SAMPLE_SIDE = 128  # pixels: the longer side of a sample as shown
SAMPLE_BYTES = 48 * 1024  # samples that are small enough are shown untouched
PASSED_THROUGH = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}

SPECTRUM_COLOURS = "inferno"
DIFFERENCE_COLOURS = "RdBu_r"
SCALE_STEPS = 64


@dataclass(frozen=True)
class SpectrumPictures:
    """The spectra of all sources, in colours on one scale.

    Attributes:
        spectra: source to data URI.
        differences: source to data URI of its spectrum minus the mean real one, for fake sources and, as a measure of
            what means nothing, for real ones if there are several; empty without real sources.
        limits: log |DCT| at the two ends of the scale of `spectra`.
        difference_limit: the scale of `differences` runs from minus this to this.
        scale: data URI of the colour scale of `spectra`, low to high.
        difference_scale: the same of `differences`.
    """

    spectra: Mapping[str, str]
    differences: Mapping[str, str]
    limits: tuple[float, float]
    difference_limit: float
    scale: str
    difference_scale: str


def sample_picture(encoded: bytes) -> str | None:
    """Return a sample image as a data URI, at most `SAMPLE_SIDE` pixels on its longer side.

    Small images stay as they are, bit by bit, since recompression would cover what is to be seen. Others are reduced.

    Args:
        encoded: Encoded image, of a format that servables read.

    Returns:
        The URI, or None where the bytes are no image that servables read.
    """
    try:
        image = decode(encoded)
    except ValueError:
        return None
    media_type = PASSED_THROUGH.get(format_of(encoded) or "")
    if media_type and max(image.size) <= SAMPLE_SIDE and len(encoded) <= SAMPLE_BYTES:
        return _data_uri(encoded, media_type)
    image.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return _data_uri(buffer.getvalue(), "image/jpeg")


def mean_real_spectrum(spectra: Mapping[str, np.ndarray], labels: Mapping[str, int]) -> np.ndarray | None:
    """Returns the mean of the real sources' spectra, each counted once, [size, size]; None without real sources.

    Raises:
        ValueError: if the spectra are not all square and of one size.
    """
    shapes = {source: np.shape(spectrum) for source, spectrum in spectra.items()}
    first = next(iter(shapes.values()), (1, 1))
    for source, shape in shapes.items():
        if len(shape) != 2 or shape[0] != shape[1] or shape != first:
            raise ValueError(f"spectra: must be square and of one size, got {first} and, for {source!r}, {shape}.")
    reals = [np.asarray(spectrum, np.float64) for source, spectrum in spectra.items() if labels.get(source) == 0]
    return np.mean(reals, axis=0) if reals else None


def radial_profile(spectrum: np.ndarray) -> np.ndarray:
    """Returns the mean of a spectrum over rings of equal spatial frequency.

    Args:
        spectrum: floats [size, size], coefficient (u, v) at row u, column v.

    Returns:
        float64 [round(sqrt(2) (size - 1))]: entry r - 1 is the mean over the coefficients whose distance from (0, 0)
        rounds to r. The constant term, which only tells the brightness, is left out.
    """
    spectrum = np.asarray(spectrum, np.float64)
    rows, columns = np.indices(spectrum.shape)
    radius = np.rint(np.hypot(rows, columns)).astype(np.int64).ravel()
    return (np.bincount(radius, weights=spectrum.ravel()) / np.bincount(radius))[1:]


def spectrum_pictures(spectra: Mapping[str, np.ndarray], labels: Mapping[str, int], side: int) -> SpectrumPictures:
    """Colours the mean spectra of all sources.

    One scale for all: from the 1st to the 99.5th percentile of all spectra together, the constant terms left out; and
    for the differences up to the 99.5th percentile of their magnitudes.

    Args:
        spectra: source to floats [size, size], at least one source; not finite is shown as the lowest value.
        labels: source to 0 or 1.
        side: larger spectra are reduced to at most this many pixels a side, each the mean of a block.

    Raises:
        ValueError: as `mean_real_spectrum`.
    """
    real = mean_real_spectrum(spectra, labels)
    values = {source: np.asarray(spectrum, np.float64) for source, spectrum in spectra.items()}
    several = sum(labels.get(source) == 0 for source in values) > 1
    differences = {}
    if real is not None:
        differences = {s: v - real for s, v in values.items() if several or labels.get(s) != 0}
    low, high = _percentiles(list(values.values()), (1, 99.5))
    limit = _percentiles([np.abs(value) for value in differences.values()], (99.5, 99.5))[1] or 1.0
    ramp = np.linspace(0, 1, SCALE_STEPS)[np.newaxis]
    return SpectrumPictures(
        {s: _colour(_reduce(v, side), low, high, SPECTRUM_COLOURS) for s, v in values.items()},
        {s: _colour(_reduce(v, side), -limit, limit, DIFFERENCE_COLOURS) for s, v in differences.items()},
        (low, high),
        limit,
        _colour(ramp, 0, 1, SPECTRUM_COLOURS),
        _colour(ramp, 0, 1, DIFFERENCE_COLOURS),
    )


def _percentiles(arrays: Sequence[np.ndarray], ends: tuple[float, float]) -> tuple[float, float]:
    finite = np.concatenate([array.ravel()[1:] for array in arrays] or [np.empty(0)])
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, ends)
    return float(low), float(high)


def _reduce(values: np.ndarray, side: int) -> np.ndarray:
    block = -(-values.shape[0] // side)
    if block == 1:
        return values
    short = -values.shape[0] % block
    padded = np.pad(values, (0, short), mode="edge")
    count = padded.shape[0] // block
    return padded.reshape(count, block, count, block).mean(axis=(1, 3))


def _colour(values: np.ndarray, low: float, high: float, colours: str) -> str:
    """Returns a PNG of 256 palette colours as a data URI."""
    span = high - low if high > low else 1.0
    level = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / span, 0, 1)
    image = Image.fromarray(np.rint(level * 255).astype(np.uint8)).convert("P")
    palette = np.rint(mpl.colormaps[colours](np.arange(256))[:, :3] * 255).astype(np.uint8)
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _data_uri(buffer.getvalue(), "image/png")


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
