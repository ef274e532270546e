"""What a server says of the versions of a model."""

from typing import NamedTuple

AVAILABLE = "AVAILABLE"

# What a server that is not ready answers, or the lack of one: to be asked again later, and no mistake of the caller's.
NOT_READY_CODES = frozenset({"UNAVAILABLE", "NOT_FOUND", "DEADLINE_EXCEEDED"})


class VersionState(NamedTuple):
    """State of one version.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
    """

    version: int
    state: str
