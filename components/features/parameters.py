"""Parameters of the model's input: which representation of the image, in which colours, and how large."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from components.parameters import Parameters

Representation = Literal["pixel", "dct"]
Colour = Literal["rgb", "grey"]

# As published: pixels in colour, spectra in grey.
PUBLISHED_COLOURS: dict[Representation, Colour] = {"pixel": "rgb", "dct": "grey"}
_CHANNELS: dict[Colour, int] = {"rgb": 3, "grey": 1}


class InputParameters(Parameters):
    """What the models see.

    Attributes:
        representation: "pixel", values scaled to -1..1; or "dct", the normalised log-spectrum of each channel.
        colour: "rgb", three channels, or "grey", luma alone; left out, it is what was published: rgb for pixel, grey
            for dct.
        size: height and width in pixels of the window that is cut from the centre of an image; a multiple of 8,
            because the models halve the resolution three times.
    """

    representation: Representation = "dct"
    colour: Colour = "grey"
    size: int = Field(default=128, ge=32, le=1024)

    @model_validator(mode="before")
    @classmethod
    def _published_colour(cls, values: Any) -> Any:
        """Writes the colour out, so that naming the default one is the same input, to TFX's cache too."""
        if not isinstance(values, dict) or values.get("colour") is not None:
            return values
        representation = values.get("representation", cls.model_fields["representation"].default)
        if representation not in get_args(Representation):
            return values  # refused in a moment
        return {**values, "colour": PUBLISHED_COLOURS[representation]}

    @field_validator("size")
    @classmethod
    def _divisible_by_eight(cls, size: int) -> int:
        if size % 8:
            raise ValueError("must be a multiple of 8")
        return size

    @property
    def colours(self) -> dict[Representation, Colour]:
        """The colour of each representation: of the one that models see, the one that was set."""
        return {**PUBLISHED_COLOURS, self.representation: self.colour}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one model input."""
        return (self.size, self.size, _CHANNELS[self.colour])
