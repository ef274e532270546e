"""What may happen to an image between its camera or generator and us, one name each.

Every copy of an image is made the same way, real or fake. A detector that separates originals and fails on copies that
were all stored alike has learnt how files were stored, not what made them.
"""

import io
import re
from collections.abc import Callable

import numpy as np
from PIL import Image

from components.dataset.images import encode_png
from components.dataset.perturb import BLUR_KERNELS, add_noise, blur, crop_and_resize
from components.dataset.seeds import stream

CLEAN = "clean"
RESAVE = "resave"

# As social networks do it: made smaller, stored as a JPEG of middling quality with halved colours.
_RESAVE_FACTOR, _RESAVE_QUALITY = 0.75, 80
_NAME = re.compile(r"(?P<kind>jpeg|blur|crop|noise|resize)_(?P<value>\d+(\.\d+)?)")
_LIMITS = {"jpeg": (1, 100), "blur": (3, 9), "crop": (0.01, 0.5), "noise": (0.1, 400), "resize": (0.1, 2.0)}
_EXAMPLES = "jpeg_75 (quality), blur_5 (kernel in px), crop_0.1 (fraction), noise_10 (variance), resize_0.5 (factor)"


def check_name(name: str) -> str:
    """Returns the name of a perturbation.

    Raises:
        ValueError: if there is no such perturbation, or its strength is out of range.
    """
    _parsed(name)
    return name


def perturbed(pixels: np.ndarray, name: str, path: str, seed: int = 0) -> bytes:
    """Makes one perturbed copy of an image.

    Args:
        pixels: uint8 (height, width, 3).
        name: "jpeg_<quality>", "blur_<kernel>", "crop_<fraction>", "noise_<variance>", "resize_<factor>", or "resave".
        path: of the image; what is drawn at random depends on it, on the name and on the seed alone.
        seed: of what is drawn.

    Returns:
        The encoded copy: a JPEG for "jpeg" and "resave", else a PNG. "resize" and "resave" change its size.

    Raises:
        ValueError: as `check_name`.
    """
    kind, value = _parsed(name)
    random = stream(seed, name, path)
    return _APPLY[kind](pixels, value, random)


def smallest_side(height: int, width: int, name: str) -> int:
    """Returns the smaller side, in pixels, of the copy that `perturbed` makes of an image of this size."""
    kind, value = _parsed(name)
    factor = {"resize": value, RESAVE: _RESAVE_FACTOR}.get(kind, 1.0)
    return min(round(height * factor), round(width * factor)) if factor != 1 else min(height, width)


def jpeg_quality(name: str) -> int | None:
    """Returns the quality of a perturbation that stores images as JPEG and does nothing else; None for any other."""
    if name == CLEAN:
        return None
    kind, value = _parsed(name)
    return int(value) if kind == "jpeg" else None


def _parsed(name: str) -> tuple[str, float]:
    if name == RESAVE:
        return RESAVE, 0.0
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"perturbation '{name}': is unknown. Write {RESAVE}, or one of {_EXAMPLES}.")
    kind, value = found["kind"], float(found["value"])
    low, high = _LIMITS[kind]
    if not low <= value <= high:
        raise ValueError(f"perturbation '{name}': must lie in {low:g}..{high:g}, got {value:g}.")
    if kind == "blur" and value not in BLUR_KERNELS:
        raise ValueError(f"perturbation '{name}': the kernel must be one of {BLUR_KERNELS}, got {value:g}.")
    return kind, value


def _resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(side * factor) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def _jpeg(pixels: np.ndarray, quality: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(quality), subsampling="4:2:0")
    return buffer.getvalue()


_APPLY: dict[str, Callable[[np.ndarray, float, np.random.Generator], bytes]] = {
    "jpeg": lambda pixels, quality, _: _jpeg(pixels, quality),
    "blur": lambda pixels, kernel, _: encode_png(blur(pixels, int(kernel))),
    "crop": lambda pixels, fraction, random: encode_png(crop_and_resize(pixels, fraction, random)),
    "noise": lambda pixels, variance, random: encode_png(add_noise(pixels, variance, random)),
    "resize": lambda pixels, factor, _: encode_png(_resized(pixels, factor)),
    RESAVE: lambda pixels, *_: _jpeg(_resized(pixels, _RESAVE_FACTOR), _RESAVE_QUALITY),
}
