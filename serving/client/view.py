"""What a model sees of an image, so that a heatmap is drawn over that and nothing else."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from serving.dct import dct2

_SPECTRAL = "dct"


@dataclass(frozen=True)
class ModelView:
    """The part of an image that a model looks at, and in which form.

    Attributes:
        size: height and width in pixels of the window at the centre of the image; nothing is rescaled.
        representation: "dct" means that a heatmap lies over the spectrum (constant term at the top left); any other
            that it lies over the pixels.

    Raises:
        ValueError: if the size is below 1.
    """

    size: int
    representation: str

    def __post_init__(self) -> None:
        """Refuses impossible values."""
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size: must be a whole number of pixels, at least 1, got {self.size!r}.")

    @property
    def is_spectral(self) -> bool:
        """Whether a heatmap lies over the spectrum."""
        return self.representation == _SPECTRAL

    def of(self, image: Image.Image) -> Image.Image:
        """Returns what the model sees.

        Args:
            image: an image in any mode, of any size not below the window's.

        Returns:
            an RGB image of `size` x `size` pixels: the window, or the log-magnitude of its spectrum in grey.
        """
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        window = image.convert("RGB").crop((left, top, left + self.size, top + self.size))
        return _spectrum(window) if self.is_spectral else window


def _spectrum(window: Image.Image) -> Image.Image:
    """Log-magnitude of the orthonormal 2-D DCT-II of the grey window, stretched to 0..255."""
    grey = np.asarray(window.convert("L"), np.float64)
    magnitude = np.log(np.abs(dct2(grey)) + 1.0)
    stretched = np.round(255.0 * magnitude / max(magnitude.max(), 1e-6)).astype(np.uint8)
    return Image.fromarray(stretched).convert("RGB")
