"""Parameters of the model's input: which representation of the image, and how large."""

from typing import Literal

from pydantic import Field, field_validator

from components.parameters import Parameters

Representation = Literal["pixel", "dct"]


class InputParameters(Parameters):
    """What the models see.

    Attributes:
        representation: "pixel", RGB scaled to -1..1; or "dct", the normalised log-spectrum of the grey image.
        size: height and width in pixels of the window that is cut from the centre of an image; a multiple of 8,
            because the models halve the resolution three times.
    """

    representation: Representation = "dct"
    size: int = Field(default=128, ge=32, le=1024)

    @field_validator("size")
    @classmethod
    def _divisible_by_eight(cls, size: int) -> int:
        if size % 8:
            raise ValueError("must be a multiple of 8")
        return size

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one model input."""
        return (self.size, self.size, 3 if self.representation == "pixel" else 1)
