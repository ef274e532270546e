"""Cutting an image to the model's size. Nothing is rescaled, unless a published set-up did: crop "resize".

Resampling overwrites the traces that we look for: a detector of rescaled images learns the rescaling as well.
"""

import numpy as np

from components.dataset.parameters import CELEBA_SIZE, CropMode

# Lower right corner of the face window in CelebA's aligned 178 x 218 px images, centred on (x, y) = (89, 121).
_CELEBA_BOTTOM = 185
_CELEBA_RIGHT = 153


def crop_window(height: int, width: int, size: int, mode: CropMode) -> tuple[int, int]:
    """Returns the upper left corner (top, left) of the window that is kept at its native resolution.

    Args:
        height: of the image in pixels, at least `size`.
        width: of the image in pixels, at least `size`.
        size: side of the window.
        mode: "center": the middle, rounded up and to the left. "celeba": rows min(185, height) - 128 to
            min(185, height), columns likewise with 153; an image that has the size already is left whole.

    Raises:
        ValueError: if the image is smaller than the window, the mode is "celeba" and the size is not 128, or the mode
            is "resize", which keeps no window.

    Source: Yu, Davis & Fritz 2019 (the CelebA window).
    """
    _require_size(height, width, size)
    if mode == "resize":
        raise ValueError("mode: 'resize' keeps no window of the image. Call crop_pixels, or choose 'center'.")
    if mode == "center" or (height, width) == (size, size):
        return (height - size) // 2, (width - size) // 2
    if size != CELEBA_SIZE:
        raise ValueError(f"size: crop 'celeba' is defined for {CELEBA_SIZE} px only, got {size}.")
    return min(_CELEBA_BOTTOM, height) - size, min(_CELEBA_RIGHT, width) - size


def crop_pixels(pixels: np.ndarray, size: int, mode: CropMode) -> np.ndarray:
    """Brings an image to the size: cuts the window of crop_window out, or with "resize" shrinks the central square.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        size: side of the result, at most the shorter side.
        mode: which way.

    Returns:
        uint8 array of shape (size, size, 3); a view, unless it was resized.

    Raises:
        ValueError: as crop_window.
    """
    height, width = pixels.shape[:2]
    if mode == "resize":
        _require_size(height, width, size)
        return pixels if (height, width) == (size, size) else _resize(_central_square(pixels), size)
    top, left = crop_window(height, width, size, mode)
    return pixels[top : top + size, left : left + size]


def _require_size(height: int, width: int, size: int) -> None:
    """Raises ValueError if an image is smaller than what is to be made of it."""
    if min(height, width) < size:
        raise ValueError(
            f"image: must be at least {size} x {size} px, got {width} x {height}. Images are never enlarged."
        )


def _central_square(pixels: np.ndarray) -> np.ndarray:
    """Cuts the same number of pixels off both ends of the longer side; an odd one stays (and is stretched later)."""
    height, width = pixels.shape[:2]
    cut = abs(height - width) // 2
    if height > width:
        return pixels[cut : height - cut]
    return pixels[:, cut : width - cut]


def _resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Shrinks bilinearly as the published set-ups did, to the bit.

    Each axis is smoothed by a Gaussian of sigma (factor - 1) / 2 against aliasing, then sampled linearly at the centres
    of the new pixels, with mirrored borders; values are truncated, not rounded. This is what skimage.transform.resize
    does by default with float64 values.

    Args:
        pixels: uint8 array of shape (height, width, 3), height and width at least `size`.
        size: side of the result.

    Returns:
        uint8 array of shape (size, size, 3).

    Source: scikit-image 0.25, skimage.transform.resize (order 1, anti-aliasing).
    """
    from scipy import ndimage

    values = pixels.astype(np.float64)
    factors = np.array([pixels.shape[0] / size, pixels.shape[1] / size, 1.0])
    smooth = ndimage.gaussian_filter(values, np.maximum(0, (factors - 1) / 2), mode="mirror")
    shrunk = ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True)
    # Interpolation may leave the range of the values by a rounding error, which truncation would make a grey level.
    return np.clip(shrunk, values.min(), values.max()).astype(np.uint8)
