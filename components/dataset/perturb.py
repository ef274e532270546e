"""The four perturbations against which detectors are measured: blur, crop, jpeg, noise.

Parameters as stated by Yu, Davis & Fritz 2019 and Frank et al. 2020. (Published code departs from the statements: there
the blur always has sigma 4, the JPEG quality is always 95, and the noise's variance is used as its standard deviation.
See reference_perturb.py, which does as that code does.)
What is drawn for an image depends on the seed and the image's path only.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from components.dataset.parameters import PerturbMode

ORDER = ("blur", "crop", "jpeg", "noise")  # in which "multi" applies them
_PROBABILITY = 0.5
BLUR_KERNELS = (3, 5, 7, 9)


@dataclass(frozen=True)
class Perturbation:
    """One perturbation that was drawn for an image.

    Attributes:
        name: one of ORDER.
        value: blur: kernel side in pixels; crop: fraction of each side that is cut off; jpeg: quality; noise: variance,
            in grey levels squared.
    """

    name: str
    value: float


def draw_perturbations(mode: PerturbMode, random: np.random.Generator) -> tuple[Perturbation, ...]:
    """Draws which perturbations an image gets, each with probability 1/2, and how strong they are.

    Args:
        mode: "none", one of ORDER, or "multi" for all of ORDER, drawn independently.
        random: the image's own stream.

    Returns:
        The perturbations in the order they are to be applied, possibly none.
    """
    names = {"none": (), "multi": ORDER}.get(mode, (mode,))
    return tuple(draw_perturbation(name, random) for name in names if random.random() < _PROBABILITY)


def draw_perturbation(name: str, random: np.random.Generator) -> Perturbation:
    """Draw how strong one named perturbation is.

    Args:
        name: One of ORDER.
        random: The image's own stream.
    """
    return Perturbation(name, _draw_value(name, random))


def apply_perturbations(
    pixels: np.ndarray, perturbations: tuple[Perturbation, ...], random: np.random.Generator
) -> np.ndarray:
    """Applies perturbations one after the other.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        perturbations: from draw_perturbations.
        random: the image's own stream, for where to crop and for the noise itself.

    Returns:
        uint8 array of the same shape.
    """
    for perturbation in perturbations:
        match perturbation.name:
            case "blur":
                pixels = blur(pixels, int(perturbation.value))
            case "crop":
                pixels = crop_and_resize(pixels, perturbation.value, random)
            case "jpeg":
                pixels = compress(pixels, int(perturbation.value))
            case "noise":
                pixels = add_noise(pixels, perturbation.value, random)
            case unknown:
                raise ValueError(f"perturbation: must be one of {', '.join(ORDER)}, got {unknown!r}.")
    return pixels


def blur(pixels: np.ndarray, kernel: int) -> np.ndarray:
    """Blurs with a Gaussian cut off at a kernel of 3, 5, 7 or 9 px.

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
    """Cuts off a fraction (0.05..0.2) of height and width, at a random place, and resizes back bicubically."""
    height, width = pixels.shape[:2]
    cut_rows, cut_columns = int(height * fraction), int(width * fraction)
    top, left = (int(cut * share) for cut, share in zip((cut_rows, cut_columns), random.random(2), strict=True))
    kept = pixels[top : height - (cut_rows - top), left : width - (cut_columns - left)]
    return np.asarray(Image.fromarray(kept).resize((width, height), Image.Resampling.BICUBIC))


def compress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Compresses as JPEG (quality 10..74, chroma subsampled 4:2:0) and decodes again."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


def add_noise(pixels: np.ndarray, variance: float, random: np.random.Generator) -> np.ndarray:
    """Adds independent Gaussian noise of this variance (5..20 grey levels squared) to every value."""
    return _to_bytes(pixels + np.sqrt(variance) * random.standard_normal(pixels.shape))


def _draw_value(name: str, random: np.random.Generator) -> float:
    """Draws a perturbation's strength."""
    match name:
        case "blur":
            return float(random.choice(BLUR_KERNELS))
        case "crop":
            return float(random.uniform(0.05, 0.2))
        case "jpeg":
            return float(random.integers(10, 75))  # 75 excluded
        case _:
            return float(random.uniform(5, 20))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Rounds and clips to uint8."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
