"""Parameters of a push: the terms that weights and training images stand under."""

from typing import Annotated

from pydantic import Field

from components.parameters import Parameters

_Terms = Annotated[str, Field(min_length=1, max_length=500)]


class LicenceParameters(Parameters):
    """Terms of the weights and of the images that they were learnt from; they travel with each pushed version.

    Attributes:
        weights: Licence of the weights, e.g. "CC BY-NC-SA 4.0"; None states none.
        sources: Origin and licence of the images of each source, by the source's name.
    """

    weights: _Terms | None = None
    sources: dict[str, _Terms] = Field(default_factory=dict)
