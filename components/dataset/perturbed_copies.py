"""Perturbed copies of an image, each named after the perturbation and its strength.

Every copy of an image is made the same way, real or fake. A detector that separates originals and fails on copies that
were all stored alike has learnt how files were stored, not what made them.
"""

import re

import numpy as np

from components.dataset.encoding import encode_jpeg, encode_png
from components.dataset.perturbations import BLUR_KERNELS, OPERATIONS, Perturbation, apply_perturbations, resize
from components.dataset.seeds import stream

CLEAN = "clean"
RESAVE = "resave"

# As social networks do it: made smaller, stored as a JPEG of middling quality with halved colours.
_RESAVE_FACTOR, _RESAVE_QUALITY = 0.75, 80
_NAME = re.compile(rf"(?P<kind>{'|'.join(OPERATIONS)})_(?P<value>\d+(\.\d+)?)")
_EXAMPLES = "jpeg_75 (quality), blur_5 (kernel in px), crop_0.1 (fraction), noise_10 (variance), resize_0.5 (factor)"


def check_name(name: str) -> str:
    """Return the name of a perturbation.

    Raises:
        ValueError: if there is no such perturbation, or its strength is out of range.
    """
    _parse(name)
    return name


def perturbed(pixels: np.ndarray, name: str, path: str, seed: int = 0) -> bytes:
    """Make one perturbed copy of an image.

    Args:
        pixels: uint8 (height, width, 3).
        name: "jpeg_<quality>", "blur_<kernel>", "crop_<fraction>", "noise_<variance>", "resize_<factor>", or "resave".
        path: Path of the image; what is drawn at random depends on it, on the name and on the seed alone.
        seed: Seed of what is drawn.

    Returns:
        The encoded copy: a JPEG for "jpeg" and "resave", else a PNG. "resize" and "resave" change its size.

    Raises:
        ValueError: as `check_name`.
    """
    kind, value = _parse(name)
    if kind == RESAVE:
        return encode_jpeg(resize(pixels, _RESAVE_FACTOR), _RESAVE_QUALITY)
    if kind == "jpeg":
        return encode_jpeg(pixels, int(value))
    return encode_png(apply_perturbations(pixels, (Perturbation(kind, value),), stream(seed, name, path)))


def smallest_side(height: int, width: int, name: str) -> int:
    """Return the smaller side, in pixels, of the copy that `perturbed` makes of an image of this size."""
    kind, value = _parse(name)
    factor = {"resize": value, RESAVE: _RESAVE_FACTOR}.get(kind, 1.0)
    return min(round(height * factor), round(width * factor)) if factor != 1 else min(height, width)


def jpeg_quality(name: str) -> int | None:
    """Return the quality of a perturbation that stores images as JPEG and does nothing else; None for any other."""
    if name == CLEAN:
        return None
    kind, value = _parse(name)
    return int(value) if kind == "jpeg" else None


def _parse(name: str) -> tuple[str, float]:
    if name == RESAVE:
        return RESAVE, 0.0
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"perturbation '{name}': is unknown. Write {RESAVE}, or one of {_EXAMPLES}.")
    kind, value = match["kind"], float(match["value"])
    low, high = OPERATIONS[kind].limits
    if not low <= value <= high:
        raise ValueError(f"perturbation '{name}': must lie in {low:g}..{high:g}, got {value:g}.")
    if kind == "blur" and value not in BLUR_KERNELS:
        raise ValueError(f"perturbation '{name}': the kernel must be one of {BLUR_KERNELS}, got {value:g}.")
    return kind, value
