"""Where the reference statistics are found: a file, or the servable that they were pushed with."""

from dataclasses import dataclass, field
from pathlib import Path

from components.monitoring.statistics import Statistics, read_statistics
from serving import contract
from serving.servable.versions import find_version


@dataclass(frozen=True)
class Reference:
    """What the served model was judged on.

    Attributes:
        origin: the file, or why there is none.
        version: of the servable; None where that is not known.
        statistics: None if there is none.
    """

    origin: str
    version: int | None = None
    statistics: Statistics | None = field(default=None, repr=False)


def find_reference(servable: Path | None, file: Path | None) -> Reference:
    """Reads the reference statistics.

    Args:
        servable: a version's directory, or the base directory of all, of which the newest is taken.
        file: the statistics themselves; goes before the servable.

    Returns:
        The reference. It is empty, and says why, for a servable that came without: it was not pushed by `genattr run`,
        or by a release that made none.

    Raises:
        ServableError: if there is no servable.
        OSError, ValueError: if there is no such file, or it holds something else.
    """
    if file is not None:
        return Reference(str(file), None, read_statistics(file))
    if servable is None:
        return Reference("no reference was given. Name the `servable`, or a file by `reference`")
    version = find_version(servable)
    path = version.path / contract.REFERENCE_STATISTICS
    if not path.is_file():
        return Reference(
            f"{version.path} has no {contract.REFERENCE_STATISTICS}: it was not made by `genattr run`, or by an "
            "earlier release. The next run pushes them",
            version.number,
        )
    return Reference(str(path), version.number, read_statistics(path))
