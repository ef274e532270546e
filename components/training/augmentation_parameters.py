"""Parameters of augmentation."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from components.features.parameters import InputParameters
from components.parameters import Parameters

_RANGES = {
    "resize_range": (0.1, 2.0),
    "blur_range": (0.1, 1.5),
    "noise_range": (0.1, 25.0),
    "jpeg_range": (1, 100),
}


class AugmentationParameters(Parameters):
    """What may happen to an image before a training step sees it; by default nothing.

    Attributes:
        window: height and width in pixels of the windows that are trained on; None is the model's own size. Models that
            average over places (pixel, residual) learn from small windows what they are asked of whole images.
        crop: where the window is cut out: "centre", as in evaluation and serving; or "random", anywhere in the image,
            another place each time. Images larger than the window, or a smaller window, give it room.
        grid: probability that a window begins on a multiple of 8 pixels of the image it is cut from, before it is saved
            again and after, as whole images do: blocks of JPEGs then lie where they lie in evaluation and serving.
            Windows of crop "centre" are cut before they are saved again, and begin there in any case.
        untouched: probability that a window is only cut, mirrored and turned: neither rescaled nor blurred, made noisy
            or saved again.
        flip: mirror half of the windows left to right.
        turn: turn windows by a random multiple of 90 degrees.
        resize: probability of rescaling.
        resize_range: lowest and highest factor.
        blur: probability of blurring.
        blur_range: lowest and highest standard deviation, in pixels.
        noise: probability of adding Gaussian noise.
        noise_range: lowest and highest standard deviation, in grey levels.
        jpeg: probability of saving again, as a JPEG unless `webp` says otherwise.
        jpeg_range: lowest and highest quality.
        full_colour: of JPEGs, probability of keeping colours at full resolution (4:4:4); others halve them (4:2:0).
        again: of windows that are saved again, probability of a second pass, with the grid of blocks moved.
        webp: of passes, probability of WebP in place of JPEG.
    """

    window: int | None = Field(default=None, ge=32, le=1024, multiple_of=8)
    crop: Literal["centre", "random"] = "centre"
    grid: float = Field(default=0.0, ge=0.0, le=1.0)
    untouched: float = Field(default=0.0, ge=0.0, le=1.0)
    flip: bool = False
    turn: bool = False
    resize: float = Field(default=0.0, ge=0.0, le=1.0)
    resize_range: tuple[float, float] = (0.5, 1.0)
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    blur_range: tuple[float, float] = (0.3, 1.2)
    noise: float = Field(default=0.0, ge=0.0, le=1.0)
    noise_range: tuple[float, float] = (1.0, 5.0)
    jpeg: float = Field(default=0.0, ge=0.0, le=1.0)
    jpeg_range: tuple[int, int] = (60, 100)
    full_colour: float = Field(default=0.0, ge=0.0, le=1.0)
    again: float = Field(default=0.0, ge=0.0, le=1.0)
    webp: float = Field(default=0.0, ge=0.0, le=1.0)

    @field_validator(*_RANGES, mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _usable_ranges(self) -> "AugmentationParameters":
        for name, (lowest, highest) in _RANGES.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise ValueError(
                    f"{name}: must be two numbers in {lowest:g}..{highest:g}, the lower first, got [{low:g}, {high:g}]."
                )
        return self

    @property
    def changes_images(self) -> bool:
        """Whether anything may happen at all."""
        return self != AugmentationParameters()


def require_window(inputs: InputParameters, augmentation: AugmentationParameters) -> int:
    """Returns the size of the windows that are trained on.

    Raises:
        ValueError: if it is larger than the model's, or other than it for a representation with statistics.
    """
    window = augmentation.window or inputs.size
    if window > inputs.size or (window < inputs.size and not inputs.pooled):
        rule = f"at most input.size, {inputs.size}" if inputs.pooled else f"input.size, {inputs.size}, for spectra"
        raise ValueError(f"augmentation.window: must be {rule}, got {window}. Change one of them.")
    return window
