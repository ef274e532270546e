"""The four perturbations as the published implementation applies them, quirks included, to reproduce its numbers.

Published models and scores were made with these, which differ from what the papers state (see perturbations.py):

    blur   sigma is 4 whatever the kernel, as a border constant is passed for it
    crop   as stated; rows and columns are cut by the same fraction, which need not be centred
    jpeg   quality is 95 whatever was drawn, as the drawn value is passed as the parameter's name; red and blue change
           places around the compression, so that the chroma planes are those of another picture
    noise  what is called a variance is used as the standard deviation; values are truncated, not rounded

Two quirks are not kept: flat images ended the published program, and one random stream ran through all images in the
order of the file system; here each image has its own. Within an image, draws come from NumPy's legacy generator in the
published order: for each perturbation whether, then how strong, then (noise, the last) the values themselves.

The published program calls OpenCV. The same arithmetic is done here with NumPy and SciPy: blur by OpenCV's 8-bit
fixed-point kernels; bicubic resizing in single precision, as OpenCV does where it is built with Intel IPP (the usual
x86 packages). Without IPP, OpenCV uses 11-bit coefficients and differs by one grey level in 3 to 5 % of the values.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777), published code; Frank et al. 2020, whose code it builds on.
"""

from dataclasses import dataclass

import numpy as np

from components.dataset.encoding import encode_jpeg
from components.dataset.parameters import PerturbMode
from components.dataset.perturbations import ORDER, Perturbation, cut, draw_strength, names_of
from components.dataset.seeds import key_of
from serving.decoding import decode

_BLUR_SIGMA = 4.0
_BLUR_BITS = 8  # of the fraction in OpenCV's fixed-point kernels
_JPEG_QUALITY = 95
_CUBIC = -0.75  # OpenCV's coefficient of cubic convolution; Pillow's is -0.5
_TAPS = np.arange(-1, 3)  # of cubic convolution, relative to the pixel left of the place


@dataclass(frozen=True)
class ReferencePerturbation(Perturbation):
    """One perturbation that was drawn for an image.

    Attributes:
        name: one of ORDER.
        value: blur: kernel side in pixels; crop: fraction of each side that is cut off; jpeg: the quality that was
            drawn and is not used; noise: standard deviation, in grey levels.
        position: crop only: shares (0..1) of the cut that lie above and left of what is kept.
    """

    position: tuple[float, float] = (0.0, 0.0)


def reference_stream(*parts: str | int) -> np.random.RandomState:
    """Returns the legacy random generator (MT19937) that belongs to these parts; see seeds.stream."""
    return np.random.RandomState(np.frombuffer(key_of(*parts), "<u4"))


def draw_reference(mode: PerturbMode, random: np.random.RandomState) -> tuple[ReferencePerturbation, ...]:
    """Draws which perturbations an image gets, each with probability 1/2, and how strong they are.

    Args:
        mode: "none", one of ORDER, or "multi" for all of ORDER, drawn independently.
        random: the image's own stream.

    Returns:
        The perturbations in the order they are to be applied, possibly none.
    """
    return tuple(draw_reference_perturbation(name, random) for name in names_of(mode) if random.random_sample() >= 0.5)


def draw_reference_perturbation(name: str, random: np.random.RandomState) -> ReferencePerturbation:
    """Draw the strength of a perturbation (and the place, for crop).

    Args:
        name: One of ORDER.
        random: The image's own stream.

    Raises:
        ValueError: if the name is none of ORDER.
    """
    value = draw_strength(name, random)
    above, left = random.random_sample(2) if name == "crop" else (0.0, 0.0)
    return ReferencePerturbation(name, value, (float(above), float(left)))


def apply_reference(
    pixels: np.ndarray, perturbations: tuple[ReferencePerturbation, ...], random: np.random.RandomState
) -> np.ndarray:
    """Applies perturbations one after the other.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        perturbations: from draw_reference, in the order of ORDER.
        random: the same stream, after draw_reference: for the noise itself.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: if a perturbation's name is none of ORDER.
    """
    for perturbation in perturbations:
        match perturbation.name:
            case "blur":
                pixels = blur(pixels, int(perturbation.value))
            case "crop":
                pixels = crop_and_resize(pixels, perturbation.value, perturbation.position)
            case "jpeg":
                pixels = compress(pixels)
            case "noise":
                pixels = add_noise(pixels, perturbation.value, random)
            case unknown:
                raise ValueError(f"perturbation: must be one of {', '.join(ORDER)}, got {unknown!r}.")
    return pixels


def blur(pixels: np.ndarray, kernel: int) -> np.ndarray:
    """Blurs with a Gaussian of sigma 4 cut off at a kernel of 3, 5, 7 or 9 px; borders are mirrored.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        kernel: side of the kernel in pixels, odd.

    Returns:
        uint8 array of the same shape, equal to cv2.GaussianBlur(pixels, (kernel, kernel), 4) of OpenCV 4.
    """
    from scipy import ndimage

    weights = _fixed_point_gaussian(kernel)
    sums = pixels.astype(np.int64)
    for axis in (0, 1):
        sums = ndimage.correlate1d(sums, weights, axis=axis, mode="mirror")
    bits = 2 * _BLUR_BITS
    return ((sums + (1 << (bits - 1))) >> bits).astype(np.uint8)


def crop_and_resize(pixels: np.ndarray, fraction: float, position: tuple[float, float]) -> np.ndarray:
    """Cuts off a fraction of height and width and resizes back by cubic convolution.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        fraction: of each side that is cut off, 0.05..0.2.
        position: shares (0..1) of the cut that lie above and left of what is kept.

    Returns:
        uint8 array of the same shape: cv2.resize(kept, (width, height), interpolation=cv2.INTER_CUBIC) of OpenCV 4.11
        with IPP, but for about one value in five million, which lies half-way and is rounded to the other side.
    """
    height, width = pixels.shape[:2]
    return _resize_bicubic(cut(pixels, fraction, position), height, width)


def compress(pixels: np.ndarray) -> np.ndarray:
    """Compresses as JPEG of quality 95, chroma subsampled 4:2:0, red and blue swapped, and decodes again.

    Args:
        pixels: uint8 array of shape (height, width, 3).

    Returns:
        uint8 array of the same shape, red and blue in their places again.
    """
    return np.ascontiguousarray(np.asarray(decode(encode_jpeg(pixels[..., ::-1], _JPEG_QUALITY)))[..., ::-1])


def add_noise(pixels: np.ndarray, deviation: float, random: np.random.RandomState) -> np.ndarray:
    """Adds independent Gaussian noise to every value, clips, and truncates to whole grey levels.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        deviation: standard deviation in grey levels, 5..20.
        random: one draw of standard normal values for the whole image is taken from it.

    Returns:
        uint8 array of the same shape.
    """
    return np.clip(pixels + deviation * random.randn(*pixels.shape), 0, 255).astype(np.uint8)


def _fixed_point_gaussian(kernel: int) -> np.ndarray:
    """Returns OpenCV's 8-bit fixed-point Gaussian: int64 of shape (kernel,), summing to 256.

    Rounding errors are carried from the ends towards the centre, which takes what is left.
    """
    offsets = np.arange(kernel) - (kernel - 1) / 2
    exact = np.exp(-(offsets**2) / (2 * _BLUR_SIGMA**2))
    exact *= (1 << _BLUR_BITS) / exact.sum()
    weights = np.zeros(kernel, np.int64)
    error = 0.0
    for index in range(kernel // 2):
        wanted = exact[index] + error
        weights[index] = weights[-1 - index] = round(wanted)
        error = wanted - weights[index]
    weights[kernel // 2] = (1 << _BLUR_BITS) - weights.sum()
    return weights


def _resize_bicubic(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarges uint8 (h, w, 3) by cubic convolution; the last row and column are repeated beyond the border.

    The order of operations, and which products are not rounded before they are added, is IPP's: along the rows one
    chain of fused multiply-adds, along the columns two pairs that are added at the end.
    """
    columns, weights = _cubic_taps(pixels.shape[1], width)
    taps = [pixels[:, columns[:, tap]].astype(np.float32) for tap in range(4)]
    factors = [weights[np.newaxis, :, tap, np.newaxis] for tap in range(4)]
    sums = taps[0] * factors[0]
    for tap in (1, 2, 3):
        sums = _fused(taps[tap], factors[tap], sums)

    rows, weights = _cubic_taps(pixels.shape[0], height)
    taps = [sums[rows[:, tap]] for tap in range(4)]
    factors = [weights[:, tap, np.newaxis, np.newaxis] for tap in range(4)]
    upper = _fused(taps[0], factors[0], taps[1] * factors[1])
    lower = _fused(taps[2], factors[2], taps[3] * factors[3])
    return np.clip(np.rint(upper + lower), 0, 255).astype(np.uint8)


def _cubic_taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each of `target` places the four pixels that it is made of, and their weights.

    Returns:
        int64 (target, 4), 0..source - 1; float32 (target, 4), rows summing to 1.

    Source: Keys 1981, equation 4, with a = -0.75.
    """
    places = (np.arange(target) + 0.5) * (source / target) - 0.5
    left = np.floor(places).astype(np.int64)
    distances = np.abs((places - left)[:, np.newaxis] - _TAPS)
    inner = ((_CUBIC + 2) * distances - (_CUBIC + 3)) * distances**2 + 1
    outer = _CUBIC * (((distances - 5) * distances + 8) * distances - 4)
    weights = np.where(distances <= 1, inner, outer).astype(np.float32)
    return np.clip(left[:, np.newaxis] + _TAPS, 0, source - 1), weights


def _fused(values: np.ndarray, factors: np.ndarray, addends: np.ndarray) -> np.ndarray:
    """Returns float32 values * factors + addends as fused: the product of two float32 is exact in float64."""
    return (values.astype(np.float64) * factors + addends).astype(np.float32)
