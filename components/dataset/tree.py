"""Walking an image tree: which files stand there, of which source, and which are unfit at a glance.

    <root>/real/<source>/...            camera images
    <root>/fake/<source>/...            synthesised images
    <root>/real_testonly/<source>/...   camera images of sources that are never trained on
    <root>/fake_testonly/<source>/...   the same for generators

Below a source, directories may be nested. Nothing is opened here.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from serving.contract import FAKE_LABEL, REAL_LABEL, RESERVED_VERDICTS
from serving.image_files import Skipped, SkipReason, is_clutter, search

_CLASSES = {  # directory: (label, test-only)
    "fake": (FAKE_LABEL, False),
    "fake_testonly": (FAKE_LABEL, True),
    "real": (REAL_LABEL, False),
    "real_testonly": (REAL_LABEL, True),
}
_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Reason(StrEnum):
    """Why a file is rejected: codes that stand in the manifest."""

    NO_SOURCE = "no_source"  # a file directly under real/ or fake/
    EXTENSION = "extension"  # no name of an image
    NAME = "name"  # a name that is not UTF-8
    SYMLINK = "symlink"  # a link to a directory of another source, or back to what is searched
    NOT_A_FILE = "not_a_file"  # pipe, socket, device
    UNREADABLE = "unreadable"  # permissions, broken link, input/output error
    EMPTY = "empty"  # 0 bytes
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    WRONG_TYPE = "wrong_type"  # content is not PNG, JPEG or WebP
    UNDECODABLE = "undecodable"  # truncated or corrupt
    ANIMATED = "animated"  # more than one picture
    TRANSPARENT = "transparent"  # what would the pixels behind be?
    SIXTEEN_BIT = "sixteen_bit"  # which eight bits?
    TOO_SMALL = "too_small"  # images are never enlarged
    LABEL_CONFLICT = "label_conflict"  # the same pixels are called real and fake


@dataclass(frozen=True)
class Source:
    """A source: one directory of images.

    Attributes:
        name: name of the directory.
        directory: path relative to the tree, e.g. "fake/progan_celeba".
        label: 0 real, 1 fake.
        testonly: never trained on.
    """

    name: str
    directory: str
    label: int
    testonly: bool


@dataclass(frozen=True)
class Candidate:
    """A regular file with an image's name; its content is not known yet."""

    path: str  # relative to the tree, with "/"
    source: Source


@dataclass(frozen=True)
class Rejection:
    """A file that is left out: why, as a code and as a sentence."""

    path: str
    reason: Reason
    detail: str
    source: Source | None  # None for files that belong to no source


@dataclass(frozen=True)
class Ignored:
    """A hidden file or a system's clutter: counted, nothing else."""

    path: str
    source: Source | None


@dataclass(frozen=True)
class Tree:
    """What stands in an image tree. Every entry found is in exactly one of the last three."""

    root: Path
    sources: tuple[Source, ...]
    candidates: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]
    ignored: tuple[Ignored, ...]


def scan_tree(root: Path) -> Tree:
    """Lists an image tree, in order of the paths.

    Hidden entries and system clutter are ignored, as is what stands beside the four class directories. Below a source,
    names, clutter and links follow the rule of serving.image_files: links are followed, except into other sources.

    Args:
        root: the directory that holds real/ and fake/.

    Raises:
        ValueError: if real/ or fake/ is missing or has no source, or a source's name is unfit or used twice.
    """
    _check_root(root)
    sources: list[Source] = []
    found: list[Candidate | Rejection | Ignored] = []
    for entry in _entries(root):
        if entry.name not in _CLASSES:
            found.append(Ignored(printable(entry.name), None))
            continue
        label, testonly = _CLASSES[entry.name]
        for child in _entries(entry):
            path = f"{entry.name}/{printable(child.name)}"
            if is_clutter(child.name):
                found.append(Ignored(path, None))
            elif child.is_symlink() and _leads_into_classes(root, child):
                detail = "is a link to another source, or to a directory that holds some: an image has one source"
                found.append(Rejection(path, Reason.SYMLINK, detail, None))
            elif child.is_dir():
                source = Source(printable(child.name), path, label, testonly)
                sources.append(source)
            else:
                found.append(
                    Rejection(
                        path,
                        Reason.NO_SOURCE,
                        f"stands outside of any source: move it into {entry.name}/<source>/",
                        None,
                    )
                )
    _check_sources(sources)
    directories = tuple((root / source.directory).resolve() for source in sources)
    for source in sources:
        found.extend(_walk_source(root, source, directories))
    return Tree(
        root,
        tuple(sources),
        tuple(item for item in found if isinstance(item, Candidate)),
        tuple(item for item in found if isinstance(item, Rejection)),
        tuple(item for item in found if isinstance(item, Ignored)),
    )


def _leads_into_classes(root: Path, link: Path) -> bool:
    """Return whether a link leads to where sources of the same tree are, or above them."""
    target = link.resolve()
    classes = [(root / name).resolve() for name in _CLASSES]
    return any(target.is_relative_to(place) or place.is_relative_to(target) for place in classes)


def _check_root(root: Path) -> None:
    """Raises ValueError if the tree lacks a class."""
    if not root.is_dir():
        raise ValueError(f"{root}: is not a directory. An image tree holds real/<source>/ and fake/<source>/.")
    for name in ("real", "fake"):
        if not (root / name).is_dir():
            raise ValueError(
                f"{root}: has no directory '{name}'. An image tree holds real/<source>/ and fake/<source>/; "
                f"found: {', '.join(sorted(printable(entry.name) for entry in root.iterdir())[:8]) or 'nothing'}."
            )


def _check_sources(sources: list[Source]) -> None:
    """Raises ValueError if a source's name cannot be used."""
    seen: dict[str, Source] = {}
    for source in sources:
        if not _SOURCE_NAME.fullmatch(source.name):
            raise ValueError(
                f"{source.directory}: a source's name must be 1 to 128 letters, digits, '_', '.' or '-' and start with "
                "a letter or digit, since it becomes a label, a file name and a metric's name. Rename the directory."
            )
        if source.name in RESERVED_VERDICTS:
            raise ValueError(
                f"{source.directory}: '{source.name}' is a verdict ({', '.join(RESERVED_VERDICTS)}) and cannot name a "
                "source. Rename the directory, e.g. to 'real_mycamera'."
            )
        if source.name in seen:
            raise ValueError(
                f"{source.directory}: the same source stands at {seen[source.name].directory}. "
                "A source has one class and is trained on or not. Rename one of them."
            )
        seen[source.name] = source
    for name in ("real", "fake"):
        if not any(source.directory.startswith(f"{name}/") for source in sources):
            raise ValueError(
                f"{name}: holds no source. Put images in {name}/<source>/, e.g. {name}/{name}_example/1.png."
            )


def _walk_source(root: Path, source: Source, foreign: Sequence[Path]) -> Iterator[Candidate | Rejection | Ignored]:
    """Lists one source, nested directories included."""
    for entry in search(root / source.directory, foreign):
        path = entry.path if isinstance(entry, Skipped) else entry
        relative = _relative(root, path)
        if isinstance(entry, Skipped) and entry.reason is SkipReason.CLUTTER:
            yield Ignored(relative, source)
        elif not _is_utf8(path.relative_to(root)):
            yield Rejection(relative, Reason.NAME, "its name is not UTF-8: rename it", source)
        elif isinstance(entry, Skipped):
            yield Rejection(relative, Reason(entry.reason.value), entry.detail, source)
        else:
            yield Candidate(relative, source)


def _is_utf8(path: Path) -> bool:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def file_of(root: Path, path: str) -> Path:
    """Return the file that a path of a tree stands for. Such paths are UTF-8, whatever the locale writes names in."""
    return root / os.fsdecode(path.encode())


def _entries(directory: Path) -> list[Path]:
    """Lists a directory in order of the names' bytes, whatever the file system's order."""
    return sorted(directory.iterdir(), key=lambda entry: os.fsencode(entry.name))


def _relative(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())


def printable(name: str) -> str:
    """Makes a name printable: bytes that are not UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
