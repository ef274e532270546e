"""Cutting an image to the model's size, never rescaling it: resampling would overwrite the traces we look for."""

import numpy as np

from components.dataset.parameters import CELEBA_SIZE, CropMode

# Lower right corner of the face window in CelebA's aligned 178 x 218 px images, centred on (x, y) = (89, 121).
_CELEBA_BOTTOM = 185
_CELEBA_RIGHT = 153


def crop_window(height: int, width: int, size: int, mode: CropMode) -> tuple[int, int]:
    """Returns the upper left corner (top, left) of the window that is kept.

    Args:
        height: of the image in pixels, at least `size`.
        width: of the image in pixels, at least `size`.
        size: side of the window.
        mode: "center": the middle, rounded up and to the left. "celeba": rows min(185, height) - 128 to
            min(185, height), columns likewise with 153; an image that has the size already is left whole.

    Raises:
        ValueError: if the image is smaller than the window, or the mode is "celeba" and the size is not 128.

    Source: Yu, Davis & Fritz 2019 (the CelebA window).
    """
    if min(height, width) < size:
        raise ValueError(
            f"image: must be at least {size} x {size} px, got {width} x {height}. Images are never enlarged."
        )
    if mode == "center" or (height, width) == (size, size):
        return (height - size) // 2, (width - size) // 2
    if size != CELEBA_SIZE:
        raise ValueError(f"size: crop 'celeba' is defined for {CELEBA_SIZE} px only, got {size}.")
    return min(_CELEBA_BOTTOM, height) - size, min(_CELEBA_RIGHT, width) - size


def crop_pixels(pixels: np.ndarray, size: int, mode: CropMode) -> np.ndarray:
    """Cuts the window of crop_window out of an image.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        size: side of the window.
        mode: which window.

    Returns:
        uint8 array of shape (size, size, 3), a view.

    Raises:
        ValueError: as crop_window.
    """
    top, left = crop_window(pixels.shape[0], pixels.shape[1], size, mode)
    return pixels[top : top + size, left : left + size]
