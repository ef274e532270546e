"""Perturbations of images by name: blur, crop, jpeg, noise and resize, with the strengths that each may have.

Preparation draws a perturbation and its strength for each image; the report's perturbed copies have the strength in
their name (see perturbed_copies.py). Strengths are drawn as stated by Yu, Davis & Fritz 2019 and Frank et al. 2020.
Published code departs from the statements: there the blur always has sigma 4, the JPEG quality is always 95, and the
noise's variance is used as its standard deviation; reference_perturbations.py does as that code does.
What is drawn for an image depends on the seed and the image's path only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from components.dataset.encoding import encode_jpeg
from components.dataset.parameters import PerturbMode
from serving.decoding import decode

ORDER = ("blur", "crop", "jpeg", "noise")  # what is drawn, in the order in which "multi" applies it
BLUR_KERNELS = (3, 5, 7, 9)
_PROBABILITY = 0.5


@dataclass(frozen=True)
class Operation:
    """One way to perturb an image.

    Attributes:
        apply: Function of pixels (uint8 (height, width, 3)), strength and the image's random stream; returns pixels.
        limits: Lowest and highest strength.
        drawn: Range that strengths are drawn from evenly; None for one of BLUR_KERNELS, or where none is drawn.
    """

    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    limits: tuple[float, float]
    drawn: tuple[float, float] | None = None


@dataclass(frozen=True)
class Perturbation:
    """An operation and its strength.

    Attributes:
        name: One of OPERATIONS.
        value: blur: kernel side in pixels; crop: fraction of each side that is cut off; jpeg: quality; noise: variance,
            in grey levels squared; resize: factor.
    """

    name: str
    value: float


def names_of(mode: PerturbMode) -> tuple[str, ...]:
    """Return the names of the operations that a mode draws: none, one of ORDER, or all of ORDER for "multi"."""
    return {"none": (), "multi": ORDER}.get(mode, (mode,))


def draw_perturbations(mode: PerturbMode, random: np.random.Generator) -> tuple[Perturbation, ...]:
    """Draw the perturbations of an image, each with probability 1/2, and their strengths.

    Args:
        mode: "none", one of ORDER, or "multi" for all of ORDER, drawn independently.
        random: The image's own stream.

    Returns:
        The perturbations in the order they are to be applied, possibly none.
    """
    return tuple(
        Perturbation(name, draw_strength(name, random)) for name in names_of(mode) if random.random() < _PROBABILITY
    )


def draw_strength(name: str, random: np.random.Generator | np.random.RandomState) -> float:
    """Draw the strength of a perturbation.

    Args:
        name: One of ORDER.
        random: The image's own stream.

    Raises:
        ValueError: if no strengths are drawn for this name.
    """
    if name not in ORDER:
        raise ValueError(f"perturbation: must be one of {', '.join(ORDER)}, got {name!r}.")
    drawn = OPERATIONS[name].drawn
    if drawn is None:
        return float(random.choice(BLUR_KERNELS))
    if name == "jpeg":
        integers = random.integers if isinstance(random, np.random.Generator) else random.randint
        return float(integers(int(drawn[0]), int(drawn[1])))  # the upper end excluded
    return float(random.uniform(*drawn))


def perturb(pixels: np.ndarray, name: str, random: np.random.Generator) -> np.ndarray:
    """Apply one perturbation, with a strength that is drawn as at preparation.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        name: One of ORDER.
        random: The image's own stream, for the strength, where to crop and the noise itself.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: as `draw_strength`.
    """
    return apply_perturbations(pixels, (Perturbation(name, draw_strength(name, random)),), random)


def apply_perturbations(
    pixels: np.ndarray, perturbations: tuple[Perturbation, ...], random: np.random.Generator
) -> np.ndarray:
    """Apply perturbations one after the other.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        perturbations: Operations and their strengths, in the order they are applied.
        random: The image's own stream, for where to crop and for the noise itself.

    Returns:
        uint8 array, of the same shape unless it is resized.

    Raises:
        ValueError: if a name is none of OPERATIONS.
    """
    for perturbation in perturbations:
        if perturbation.name not in OPERATIONS:
            raise ValueError(f"perturbation: must be one of {', '.join(OPERATIONS)}, got {perturbation.name!r}.")
        pixels = OPERATIONS[perturbation.name].apply(pixels, perturbation.value, random)
    return pixels


def blur(pixels: np.ndarray, kernel: int) -> np.ndarray:
    """Blur with a Gaussian cut off at a kernel of 3, 5, 7 or 9 px.

    Sigma follows from the kernel as in OpenCV: 0.3 * ((kernel - 1) / 2 - 1) + 0.8. Borders are mirrored.
    """
    from scipy import ndimage

    radius = (kernel - 1) // 2
    sigma = 0.3 * (radius - 1) + 0.8
    smooth = ndimage.gaussian_filter(
        pixels.astype(np.float32), (sigma, sigma, 0), mode="mirror", radius=(radius, radius, 0)
    )
    return _to_bytes(smooth)


def crop_and_resize(pixels: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Cut off a fraction of height and width, at a random place, and resize back bicubically."""
    height, width = pixels.shape[:2]
    return _resize(cut(pixels, fraction, random.random(2)), height, width)


def cut(pixels: np.ndarray, fraction: float, position: np.ndarray | tuple[float, float]) -> np.ndarray:
    """Cut off a fraction of height and width.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        fraction: Share of each side that is cut off, 0..1.
        position: Shares (0..1) of the cut that lie above and left of what is kept.
    """
    height, width = pixels.shape[:2]
    cut_rows, cut_columns = int(height * fraction), int(width * fraction)
    top, left = int(cut_rows * position[0]), int(cut_columns * position[1])
    return pixels[top : height - (cut_rows - top), left : width - (cut_columns - left)]


def compress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Compress as JPEG, chroma subsampled 4:2:0, and decode again."""
    return np.asarray(decode(encode_jpeg(pixels, quality)))


def add_noise(pixels: np.ndarray, variance: float, random: np.random.Generator) -> np.ndarray:
    """Add independent Gaussian noise of this variance, in grey levels squared, to every value."""
    return _to_bytes(pixels + np.sqrt(variance) * random.standard_normal(pixels.shape))


def resize(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Rescale height and width bicubically by a factor."""
    height, width = pixels.shape[:2]
    return _resize(pixels, round(height * factor), round(width * factor))


OPERATIONS: dict[str, Operation] = {
    "blur": Operation(lambda pixels, kernel, _: blur(pixels, int(kernel)), (3, 9)),
    "crop": Operation(crop_and_resize, (0.01, 0.5), (0.05, 0.2)),
    "jpeg": Operation(lambda pixels, quality, _: compress(pixels, int(quality)), (1, 100), (10, 75)),
    "noise": Operation(add_noise, (0.1, 400), (5, 20)),
    "resize": Operation(lambda pixels, factor, _: resize(pixels, factor), (0.1, 2.0)),
}


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
