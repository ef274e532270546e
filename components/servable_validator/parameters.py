"""Parameters of the last check before a push."""

from pydantic import Field

from components.parameters import Parameters


class ValidationParameters(Parameters):
    """How a servable is questioned.

    Attributes:
        images: how many images of the test split are asked about, spread over all sources.
        tolerance: largest difference between a served probability and that of the trained model. Rounding differs with
            the batch size by about 1e-7.
        start_timeout: seconds that the fresh process may take until it answers.
    """

    images: int = Field(default=64, ge=1)
    tolerance: float = Field(default=1e-5, gt=0.0, le=0.01)
    start_timeout: float = Field(default=120.0, gt=0.0, le=3600.0)
