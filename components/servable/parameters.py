"""Parameters of the verdict."""

from typing import Any

from pydantic import field_validator

from components.parameters import Parameters


class VerdictParameters(Parameters):
    """How a servable decides.

    Attributes:
        uncertain_band: lowest and highest probability of the primary module between which, both included, the verdict
            is "uncertain" instead of a coin flip; within 0..1, the lower first. None decides every image.
    """

    uncertain_band: tuple[float, float] | None = None

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
