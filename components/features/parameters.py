"""Parameters of the model's input: which representation of the image, in which colours, and how large."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from components.parameters import Parameters

Representation = Literal["pixel", "dct", "residual"]
Colour = Literal["rgb", "grey"]

# As published: pixels in colour, spectra in grey. Residuals are ours.
DEFAULT_COLOURS: dict[Representation, Colour] = {"pixel": "rgb", "dct": "grey", "residual": "rgb"}
_CHANNELS: dict[Colour, int] = {"rgb": 3, "grey": 1}
# Residuals have a channel a direction.
_CHANNELS_A_COLOUR: dict[Representation, int] = {"pixel": 1, "dct": 1, "residual": 2}

SMALLEST_SIDE = 64  # pixels, of an image that is judged through views: below, it holds too little of its own


class InputParameters(Parameters):
    """What the models see.

    Attributes:
        representation: "pixel", values scaled to -1..1; "dct", the normalised log-spectrum of each channel; or
            "residual", second differences along rows and columns, from which a few dozen images a source can be learnt.
        colour: "rgb", three channels, or "grey", luma alone; left out, it is what was published: rgb for pixel, grey
            for dct; and rgb for residual.
        size: height and width in pixels of the window that is cut from the centre of an image; a multiple of 8,
            because the models halve the resolution three times.
        views: Largest number of windows through which an image is judged; their logits are averaged. Images from 64 px
            are taken, and a larger one is judged as a whole. Left out, the central window alone counts and smaller
            images are refused, as published. For representations whose models average over places (pixel, residual).
    """

    representation: Representation = "dct"
    colour: Colour = "grey"
    size: int = Field(default=128, ge=32, le=1024)
    views: int | None = Field(default=None, ge=1, le=64)

    @model_validator(mode="before")
    @classmethod
    def _default_colour(cls, values: Any) -> Any:
        """Writes the colour out, so that naming the default one is the same input, to TFX's cache too."""
        if not isinstance(values, dict) or values.get("colour") is not None:
            return values
        representation = values.get("representation", cls.model_fields["representation"].default)
        if representation not in get_args(Representation):
            return values  # refused in a moment
        return {**values, "colour": DEFAULT_COLOURS[representation]}

    @field_validator("size")
    @classmethod
    def _divisible_by_eight(cls, size: int) -> int:
        if size % 8:
            raise ValueError("must be a multiple of 8")
        return size

    @model_validator(mode="after")
    def _views_of_pooled_models(self) -> "InputParameters":
        if self.views is not None and not self.pooled:
            raise ValueError(
                f"views: needs a representation whose models average over places, pixel or residual, got "
                f"'{self.representation}': a spectrum has one place for each frequency. Leave views out."
            )
        return self

    @property
    def colours(self) -> dict[Representation, Colour]:
        """The colour of each representation: of the one that models see, the one that was set."""
        return {**DEFAULT_COLOURS, self.representation: self.colour}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one model input."""
        return self.window(self.size)

    def window(self, size: int) -> tuple[int, int, int]:
        """Height, width and channels of one input of another size."""
        return (size, size, _CHANNELS[self.colour] * _CHANNELS_A_COLOUR[self.representation])

    @property
    def smallest_side(self) -> int:
        """Smallest height and width, in pixels, of an image that models judge: with views any from 64 on, else their
        own size."""
        return self.size if self.views is None else SMALLEST_SIDE

    @property
    def pooled(self) -> bool:
        """Whether models average their last features over places: a fingerprint may be anywhere in an image, but the
        place in a spectrum is the frequency."""
        return self.representation != "dct"
