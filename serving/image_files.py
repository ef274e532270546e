"""Image files in directories: one rule for names, clutter and links, whoever searches a directory.

A name says whether a file may hold an image; its content decides. Every entry of a directory is either an image file or
skipped with a reason, so that the two add up to what is there.
"""

import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# Format -> suffixes of files that are opened. Content decides: a JPEG named .png is read as the JPEG that it is.
_OPENED = {
    "PNG": ("png",),
    "JPEG": ("jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp"),
    "WebP": ("webp",),
    "BMP": ("bmp",),
    "GIF": ("gif",),
}
# Format -> suffixes of images that nothing here decodes.
_UNSUPPORTED = {
    "AVIF": ("avif", "avifs"),
    "HEIF": ("heic", "heif", "hif"),
    "JPEG XL": ("jxl",),
    "JPEG 2000": ("jp2", "j2k", "jpf", "jpx"),
    "TIFF": ("tif", "tiff"),
    "camera raw": ("dng", "cr2", "cr3", "nef", "arw", "orf", "raf", "rw2"),
    "PSD": ("psd",),
    "SVG": ("svg", "svgz"),
    "TGA": ("tga",),
    "Netpbm": ("ppm", "pgm", "pbm", "pnm"),
    "OpenEXR": ("exr",),
    "icon": ("ico",),
}
_FORMATS = {
    suffix: name for table in (_OPENED, _UNSUPPORTED) for name, suffixes in table.items() for suffix in suffixes
}

# What downloads append to a suffix: .jpg_large and .jpg:orig (Twitter), .jpg?w=640 and .jpg.1 (wget).
_SUFFIX = re.compile(
    r"\.([a-z0-9]+)(?:[_:-](?:large|small|medium|thumb|orig|\d+x\d+)|\?.*|\.\d{1,3})?\s*$", re.IGNORECASE | re.DOTALL
)

# Left behind by Windows, macOS, Synology and Linux, beside names that start with a dot.
_CLUTTER = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
    | {"__macosx", "icon\r", "@eadir", "#recycle", "lost+found"}
)
# Where a download came from, which Windows keeps in a stream of the file and WSL writes beside it; U+F03A stands for :
# on file systems that allow none.
_ORIGIN = re.compile(r"[:\uf03a]zone\.identifier(?:[:\uf03a]\$data)?$", re.IGNORECASE)

_MOST_LINKS = 8  # directories reached through more links than this are not searched


class SkipReason(StrEnum):
    """Reason why an entry of a directory is skipped."""

    CLUTTER = "clutter"  # hidden, or left behind by a system
    EXTENSION = "extension"  # not named as an image that is read
    SYMLINK = "symlink"  # a link that is not followed
    NOT_A_FILE = "not_a_file"  # pipe, socket, device
    UNREADABLE = "unreadable"  # permissions, broken link, input/output error


@dataclass(frozen=True)
class Skipped:
    """An entry of a directory that is not opened.

    Attributes:
        path: The entry.
        reason: Code of the reason.
        detail: The reason as the end of a sentence whose subject is the path.
        is_missed: Whether there may be images in it that nobody looks at.
    """

    path: Path
    reason: SkipReason
    detail: str
    is_missed: bool


def named_format(name: str) -> str | None:
    """Return the image format that a file's name stands for, e.g. "JPEG" for a.JPG, a.jfif and a.jpg_large."""
    match = _SUFFIX.search(name)
    return _FORMATS.get(match[1].lower()) if match else None


def may_be_image(name: str) -> bool:
    """Return whether a file of this name is opened."""
    return named_format(name) in _OPENED


def is_clutter(name: str) -> bool:
    """Return whether an entry of a directory is hidden, or something that systems leave behind."""
    return name.startswith(".") or name.lower() in _CLUTTER or _ORIGIN.search(name) is not None


def search(root: Path, foreign: Sequence[Path] = ()) -> Iterator[Path | Skipped]:
    """Search a directory for image files, nested directories included.

    Links to files are followed, and so are links to directories, each directory once: a link back into what is
    searched, or to a directory that holds `root`, is skipped. Linked directories come after all others.

    Args:
        root: Directory to search.
        foreign: Resolved directories that links to directories must not lead into, unless `root` lies there as well.

    Yields:
        Every entry except the directories that are searched: the path of a file that is named as an image, or Skipped.
        The entries of a directory come in order of their names' bytes, whatever the file system's order.
    """
    yield from _Search(root, foreign).entries()


class _Search:
    """State of one search: what is still to be searched, and what was searched."""

    def __init__(self, root: Path, foreign: Sequence[Path]) -> None:
        self._root = root.resolve()
        self._foreign = tuple(foreign)
        self._directories: list[tuple[Path, int]] = [(root, 0)]  # with the number of links on the way
        self._links: deque[tuple[Path, int]] = deque()
        self._searched: set[tuple[int, int]] = set()

    def entries(self) -> Iterator[Path | Skipped]:
        while self._directories or self._links:
            if not self._directories:
                link, links = self._links.popleft()
                if (problem := self._link_problem(link, links)) is not None:
                    yield Skipped(link, SkipReason.SYMLINK, *problem)
                    continue
                self._directories.append((link, links))
            yield from self._list(*self._directories.pop())

    def _list(self, directory: Path, links: int) -> Iterator[Path | Skipped]:
        try:
            self._searched.add(_identity(directory.stat()))
            with os.scandir(directory) as listed:
                found = sorted(listed, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield Skipped(directory, SkipReason.UNREADABLE, f"cannot be listed: {error.strerror}", True)
            return
        nested = []
        for entry in found:
            path = directory / entry.name
            if is_clutter(entry.name):
                yield Skipped(path, SkipReason.CLUTTER, "is hidden, or left behind by a system", False)
            elif entry.is_dir(follow_symlinks=False):
                nested.append((path, links))
            elif entry.is_symlink() and _leads_to_directory(path):
                self._links.append((path, links + 1))
            else:
                skipped = _skipped(path)
                yield path if skipped is None else skipped
        self._directories.extend(reversed(nested))

    def _link_problem(self, link: Path, links: int) -> tuple[str, bool] | None:
        """Return why a link to a directory is not followed, and whether images may be missed by that."""
        target = link.resolve()
        if self._root.is_relative_to(target) or _identity(target.stat()) in self._searched:
            return "is a link to a directory that is searched anyway, or holds the one that is searched", False
        if any(target.is_relative_to(place) and not self._root.is_relative_to(place) for place in self._foreign):
            return "is a link to a directory of another source", True
        if links > _MOST_LINKS:
            return f"is a link to a directory behind more than {_MOST_LINKS} links", True
        return None


def _skipped(path: Path) -> Skipped | None:
    """Return why an entry that is no directory is not opened; None if it may hold an image."""
    image_format = named_format(path.name)
    if image_format in _UNSUPPORTED:
        detail = f"is {image_format} by its name, which is not read: convert it to PNG without scaling it"
        return Skipped(path, SkipReason.EXTENSION, detail, True)
    if image_format is None and (path.suffix or not path.is_symlink()):
        return Skipped(path, SkipReason.EXTENSION, f"its name does not end in {_named_suffixes()}", False)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Skipped(path, SkipReason.UNREADABLE, f"cannot be found: {error.strerror}", True)
    if not stat.S_ISREG(mode):
        return Skipped(path, SkipReason.NOT_A_FILE, "is a pipe, a socket or a device", True)
    if image_format is None:
        return Skipped(path, SkipReason.EXTENSION, f"its name does not end in {_named_suffixes()}", False)
    return None


def _leads_to_directory(link: Path) -> bool:
    try:
        return stat.S_ISDIR(link.stat().st_mode)
    except OSError:  # said by _skipped
        return False


def _named_suffixes() -> str:
    return ", ".join(f".{suffix}" for suffixes in _OPENED.values() for suffix in suffixes)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
