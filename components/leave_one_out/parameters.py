"""Parameters of the leave-one-generator-out evaluation."""

from pydantic import Field

from components.parameters import Parameters


class OpenSetParameters(Parameters):
    """Whether every source takes its turn as the unknown generator.

    Attributes:
        leave_one_out: measure it, where at least two sources have a head on `data.span`. Heads are trained as
            `secondary` says, n * (n - 1) of them for n sources, after the servable was pushed.
        most_sources: with more sources than this it is not measured, since its cost grows with their square.
    """

    leave_one_out: bool = True
    most_sources: int = Field(default=8, ge=2)
