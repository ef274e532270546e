"""Parameters of the gate on data."""

from pydantic import Field

from components.dataset.confounds import DEFAULT_LIMIT, ConfoundAction
from components.parameters import Parameters


class ConfoundParameters(Parameters):
    """What to do when something beside the picture tells real from fake.

    Attributes:
        action: "warn" writes it down and goes on; "fail" stops the run; "off" does not look.
        limit: balanced accuracy, 0.5..1, from which file format, JPEG compression, resolution or colour mode counts.
    """

    action: ConfoundAction = "warn"
    limit: float = Field(default=DEFAULT_LIMIT, ge=0.5, le=1.0)
