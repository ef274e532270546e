"""What a server says of the versions of a model."""

from typing import NamedTuple

AVAILABLE = "AVAILABLE"

# What a server that is not ready answers, or the lack of one: to be asked again later, and no mistake of the caller's.
_NOT_READY_CODES = frozenset({"UNAVAILABLE", "NOT_FOUND", "DEADLINE_EXCEEDED"})
# What it answers for a label that no version has, or not yet.
_NO_SUCH_LABEL = "INVALID_ARGUMENT"


class VersionState(NamedTuple):
    """State of one version.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
    """

    version: int
    state: str


def is_not_ready(code: str, label: str | None) -> bool:
    """Says whether an error stands for "not ready" when versions are asked for.

    Args:
        code: of the error.
        label: that was asked for, if any.
    """
    return code in _NOT_READY_CODES or (label is not None and code == _NO_SUCH_LABEL)
