"""Augmentation: images as they might also have arrived.

A few dozen or thousand images a source are too few to learn a fingerprint from their central windows alone. Each epoch
therefore sees another window of each image, at its native resolution, and some of them after what the web does to
images: rescaled, blurred, noisy, saved again. Nothing is rescaled unless `resize` says so, since interpolation rewrites
the frequencies that carry the fingerprint.

Everything is drawn from the random stream of one image, so that an epoch sees the same windows however a training came
to it. Codecs and filters are those of Pillow and SciPy, which most images have passed through, and which release
Python's lock: windows of a batch are made side by side.
"""

import io
from typing import Any

import numpy as np
from PIL import Image

from components.training.augmentation_parameters import AugmentationParameters
from serving.decoding import decode

_BLOCK = 8  # JPEG works in blocks of this many pixels; a window may start anywhere in one
_QUARTERS = 4
_BLUR_RADIUS = 4  # pixels: three standard deviations of the strongest blur that parameters allow
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
_HALVED, _FULL = "4:2:0", "4:4:4"


def augment(
    pixels: np.ndarray, parameters: AugmentationParameters, size: int, random: np.random.Generator
) -> np.ndarray:
    """Make one augmented window of an image.

    Args:
        pixels: uint8 (height, width, 3), at least `size` on each side.
        parameters: What may happen, how often and how strongly.
        size: Height and width of the window in pixels.
        random: Stream of this image in this epoch; it alone decides what is drawn.

    Returns:
        uint8 (size, size, 3).
    """
    # Both windows begin on the grid, or none: a whole image that is saved again has its old grid and its new one there.
    step = _BLOCK if _happens(parameters.grid, random) else 1
    untouched = _happens(parameters.untouched, random)
    if not untouched and random.random() < parameters.resize:
        pixels = random_resize(pixels, random, parameters.resize_range, size + _BLOCK)
    # A margin of one block, so that the blocks of a JPEG may lie anywhere in the window that is cut out last.
    window = (
        random_window(pixels, random, size + _BLOCK, step)
        if parameters.crop == "random"
        else central_window(pixels, size)
    )
    if not untouched:
        window = _perturbed(window, parameters, size, random)
    window = random_window(window, random, size, step)
    if parameters.flip and random.random() < 0.5:
        window = window[:, ::-1]
    if parameters.turn:
        window = np.rot90(window, int(random.integers(_QUARTERS)))
    return np.ascontiguousarray(window)


def central_window(pixels: np.ndarray, size: int) -> np.ndarray:
    """Cut the central window, uint8 (size, size, 3), at the place where the served graph cuts it."""
    top, left = ((side - size) // 2 for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def random_window(pixels: np.ndarray, random: np.random.Generator, size: int, step: int = 1) -> np.ndarray:
    """Cut a window at a random place; an image with a smaller side keeps all of that side.

    Args:
        pixels: uint8 (height, width, 3).
        random: Stream that decides the place.
        size: Height and width of the window in pixels.
        step: Distance in pixels of the places where it may begin, counted from the image's corner.

    Returns:
        uint8 (min(height, size), min(width, size), 3).
    """
    top, left = (step * int(random.integers(max(side - size, 0) // step + 1)) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def random_resize(
    pixels: np.ndarray, random: np.random.Generator, factors: tuple[float, float], minimum: int
) -> np.ndarray:
    """Rescale by a random factor and filter (bilinear, bicubic, Lanczos; all anti-aliased).

    The result never falls below `minimum` px on a side that had more.

    Returns:
        uint8 (about factor * height, about factor * width, 3).
    """
    height, width = pixels.shape[:2]
    factor = max(random.uniform(*factors), min(height, width, minimum) / min(height, width))
    chosen = _FILTERS[random.integers(len(_FILTERS))]
    return np.asarray(Image.fromarray(pixels).resize((round(width * factor), round(height * factor)), chosen))


def random_blur(pixels: np.ndarray, random: np.random.Generator, deviations: tuple[float, float]) -> np.ndarray:
    """Blur with a Gaussian of random standard deviation in pixels; borders are mirrored."""
    from scipy import ndimage

    deviation = random.uniform(*deviations)
    smooth = ndimage.gaussian_filter(
        pixels.astype(np.float32), (deviation, deviation, 0), mode="mirror", radius=(_BLUR_RADIUS, _BLUR_RADIUS, 0)
    )
    return _to_bytes(smooth)


def random_noise(pixels: np.ndarray, random: np.random.Generator, deviations: tuple[float, float]) -> np.ndarray:
    """Add independent Gaussian noise of random standard deviation, in grey levels."""
    deviation = np.float32(random.uniform(*deviations))
    return _to_bytes(pixels + deviation * random.standard_normal(pixels.shape, np.float32))


def random_jpeg(
    pixels: np.ndarray, random: np.random.Generator, qualities: tuple[int, int], full_colour: float = 0.0
) -> np.ndarray:
    """Save as a JPEG of random quality and decode it again.

    Args:
        pixels: uint8 (height, width, 3).
        random: Stream that decides quality and chroma subsampling.
        qualities: Lowest and highest quality, 1..100.
        full_colour: Probability of keeping colours at full resolution (4:4:4); otherwise they are halved (4:2:0).

    Returns:
        uint8 of the same shape.
    """
    quality = int(random.integers(qualities[0], qualities[1] + 1))
    subsampling = _FULL if random.random() < full_colour else _HALVED
    return _through(pixels, "JPEG", quality=quality, subsampling=subsampling)


def random_webp(pixels: np.ndarray, random: np.random.Generator, qualities: tuple[int, int]) -> np.ndarray:
    """Save as a lossy WebP of random quality and decode it again."""
    # Method 1 of 0..6: the slower ones find smaller files, not other traces.
    return _through(pixels, "WEBP", quality=int(random.integers(qualities[0], qualities[1] + 1)), method=1)


def _happens(probability: float, random: np.random.Generator) -> bool:
    """Draw; nothing is taken from the stream for what never happens."""
    return probability > 0.0 and random.random() < probability


def _perturbed(
    window: np.ndarray, parameters: AugmentationParameters, size: int, random: np.random.Generator
) -> np.ndarray:
    """Blur, add noise and save again, each as often as the parameters say."""
    if random.random() < parameters.blur:
        window = random_blur(window, random, parameters.blur_range)
    if random.random() < parameters.noise:
        window = random_noise(window, random, parameters.noise_range)
    return _saved_again(window, parameters, size, random) if random.random() < parameters.jpeg else window


def _saved_again(
    pixels: np.ndarray, parameters: AugmentationParameters, size: int, random: np.random.Generator
) -> np.ndarray:
    """Save once, or twice with the grid of blocks moved in between, as a web site does to what another one sent."""
    passes = 2 if random.random() < parameters.again else 1
    for number in range(passes):
        if number:
            top, left = (int(random.integers(side - size + 1)) for side in pixels.shape[:2])
            pixels = pixels[top:, left:]
        if random.random() < parameters.webp:
            pixels = random_webp(pixels, random, parameters.jpeg_range)
        else:
            pixels = random_jpeg(pixels, random, parameters.jpeg_range, parameters.full_colour)
    return pixels


def _through(pixels: np.ndarray, codec: str, **options: Any) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, codec, **options)
    return np.asarray(decode(buffer.getvalue()))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
