"""Which version of a model lies where: `<base>/<integer version>/saved_model.pb`, as TF Serving reads it."""

from dataclasses import dataclass
from pathlib import Path

from serving.errors import ServableError

SAVED_MODEL_FILE = "saved_model.pb"

# What a directory that is itself a SavedModel, and whose name is no integer, counts as.
UNNUMBERED_VERSION = 1

_LARGEST_VERSION = 2**63 - 1
_MOST_DIGITS = 19


@dataclass(frozen=True)
class Version:
    """One version of a model on disk.

    Attributes:
        number: the version, at least 0.
        path: the directory that holds saved_model.pb.
    """

    number: int
    path: Path


def list_versions(base: Path) -> list[Version]:
    """Lists the complete versions under a base directory, oldest first.

    Directories whose name is not an integer (such as a push in progress, `.partial.3`), and those that hold no
    saved_model.pb yet, are not versions.

    Args:
        base: the model's base directory.

    Returns:
        the versions in increasing order; empty if there are none.
    """
    found = [
        Version(int(entry.name), entry)
        for entry in base.iterdir()
        if _is_version(entry.name) and (entry / SAVED_MODEL_FILE).is_file()
    ]
    return sorted(found, key=lambda version: version.number)


def find_version(path: Path) -> Version:
    """Returns the newest version under a base directory, or the version that the path itself is.

    Args:
        path: a base directory, or one version's directory (it holds saved_model.pb); the latter counts as the version
            that its name says, or as version 1 if its name is no integer.

    Returns:
        the version to serve.

    Raises:
        ServableError: if the path is no directory, or holds no version.
    """
    if not path.is_dir():
        raise ServableError(f"{path}: must be a directory that holds a servable, got {_kind(path)}.")
    if (path / SAVED_MODEL_FILE).is_file():
        name = path.resolve().name
        return Version(int(name) if _is_version(name) else UNNUMBERED_VERSION, path)
    versions = list_versions(path)
    if not versions:
        entries = sorted(entry.name for entry in path.iterdir())
        shown = ", ".join(entries[:5]) or "nothing"
        raise ServableError(
            f"{path}: holds no version: expected <integer>/{SAVED_MODEL_FILE} in it, found {shown}. "
            "Push a servable there with `genattr run CONFIG`, or give the directory that one was pushed to."
        )
    return versions[-1]


def _is_version(name: str) -> bool:
    # isdecimal() alone would let "٣" through, which TF Serving does not read; the wire has 64 bits for a version.
    return name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS and int(name) <= _LARGEST_VERSION


def _kind(path: Path) -> str:
    return "a file" if path.exists() else "a path that does not exist"
