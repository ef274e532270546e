"""Parameters of the verdict."""

from typing import Any, Literal

from pydantic import Field, field_validator

from components.parameters import Parameters


class VerdictParameters(Parameters):
    """How a servable decides.

    Attributes:
        uncertain_band: lowest and highest probability of the primary module between which, both included, the verdict
            is "uncertain" instead of a coin flip; within 0..1, the lower first. None decides every image.
        acceptance: score of all heads together that a fake image must reach for its generator to be named, else the
            generator is unknown: "max_logit", the highest logit; "energy", the logarithm of the sum of exp(logit);
            "highest_head", the highest probability. The threshold is chosen when the servable is assembled, as high as
            `known_rejection` allows. "none" leaves it to each head's own operating point.
        known_rejection: largest share of the eval split's images of generators with a head that may fall below the
            threshold, above 0, at most 0.5. For "max_logit" and "energy" only images that the primary module calls fake
            count: the threshold decides on no others.
        stability: number of mild re-savings on which an image is judged again, 0 to 3: as JPEG of quality 95, of 85,
            and moved by one pixel. Where the primary module calls one of them real and another fake, the verdict is
            "uncertain". The servable then costs 1 + `stability` times as much.
    """

    uncertain_band: tuple[float, float] | None = None
    acceptance: Literal["none", "max_logit", "energy", "highest_head"] = "none"
    known_rejection: float = Field(default=0.05, gt=0.0, le=0.5)

    stability: int = Field(default=0, ge=0, le=3)

    @field_validator("uncertain_band", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        band = tuple(value) if isinstance(value, list) else value
        if isinstance(band, tuple) and len(band) != 2:
            raise ValueError("must be two probabilities, the lower first, e.g. [0.4, 0.6]")
        return band

    @field_validator("uncertain_band")
    @classmethod
    def _usable(cls, band: tuple[float, float] | None) -> tuple[float, float] | None:
        if band is not None and not 0.0 <= band[0] < band[1] <= 1.0:
            raise ValueError("must be two probabilities in 0..1, the lower first, e.g. [0.4, 0.6]")
        return band
