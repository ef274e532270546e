"""Images that a caller names: files, directories, lists of names, standard input. Every entry is accounted for."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serving import contract, images
from serving.image_files import Skipped, search
from serving.names import printable

STANDARD_INPUT = Path("-")

_SHOWN = 3


@dataclass(frozen=True)
class FoundImages:
    """Outcome of a search.

    Attributes:
        images: Files to judge, in the order of the paths that were given, sorted within a directory; each once.
        missed: Entries that may hold images that nobody looks at: directories that cannot be listed, broken links,
            formats that are not read. They count as images that could not be judged.
        passed_by: Entries that are no images: clutter, other files, links back into what is searched.
    """

    images: list[Path] = field(default_factory=list)
    missed: list[Skipped] = field(default_factory=list)
    passed_by: list[Skipped] = field(default_factory=list)

    @property
    def skipped(self) -> dict[str, int]:
        """Number of entries that were passed by, by reason, in order of the codes."""
        return dict(sorted(Counter(item.reason.value for item in self.passed_by).items()))

    def summary(self) -> str:
        """Return a line on what was passed by, e.g. "skipped: 4 clutter, 1 extension (notes.txt)"; "" for nothing."""
        if not self.passed_by:
            return ""
        parts = []
        for reason, count in self.skipped.items():
            paths = [printable(item.path) for item in self.passed_by if item.reason == reason]
            parts.append(f"{count:,} {reason} ({', '.join(paths[:_SHOWN])}{', ...' if count > _SHOWN else ''})")
        return f"skipped: {'; '.join(parts)}"


def find(paths: Iterable[Path]) -> FoundImages:
    """Find the images that files and directories stand for.

    Args:
        paths: Files, taken whatever their names are, and directories, searched by the rule of serving.image_files.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a directory holds no image, nor anything that may be one.
    """
    found: dict[Path, None] = {}
    skipped: dict[Path, Skipped] = {}
    for path in map(Path, paths):
        if path != STANDARD_INPUT and path.is_dir():
            inside = _search(path)
            found.update(dict.fromkeys(inside.images))
            skipped.update({item.path: item for item in (*inside.missed, *inside.passed_by)})
        elif path == STANDARD_INPUT or os.path.lexists(path):
            found[path] = None
        else:
            raise FileNotFoundError(
                f"{printable(path)}: does not exist; give image files, or directories that hold some."
            )
    unnamed = [item for item in skipped.values() if item.path not in found]
    return FoundImages(
        list(found), [item for item in unnamed if item.is_missed], [item for item in unnamed if not item.is_missed]
    )


def _search(directory: Path) -> FoundImages:
    inside = FoundImages()
    for entry in search(directory):
        if isinstance(entry, Path):
            inside.images.append(entry)
        else:
            (inside.missed if entry.is_missed else inside.passed_by).append(entry)
    if not inside.images and not inside.missed:
        raise ValueError(
            f"{printable(directory)}: holds no image ({inside.summary() or 'it is empty'}). Name a directory of PNG, "
            "JPEG, WebP or BMP files, or the files themselves, whatever their suffixes are."
        )
    inside.images.sort()
    return inside


def read_names(names: Path) -> list[Path]:
    """Read a list of paths that end in NUL, as `find -print0` writes it.

    Args:
        names: File that holds the list; `STANDARD_INPUT` for standard input.

    Returns:
        The paths. They need not exist: what is gone when it is read is an error of its own.

    Raises:
        ValueError: If the list is empty, or has lines instead.
        OSError: If it cannot be read.
    """
    content = sys.stdin.buffer.read() if names == STANDARD_INPUT else names.read_bytes()
    paths = [Path(os.fsdecode(name)) for name in content.split(b"\0") if name]
    if not paths:
        raise ValueError("from0: names no image. Check what writes the list, e.g. find photos -name '*.jpg' -print0.")
    if b"\0" not in content and b"\n" in content:
        raise ValueError(
            "from0: must hold names that end in NUL, found lines. Write them by find -print0, or by tr '\\n' '\\0'."
        )
    return paths


def read_streams(paths: Sequence[Path]) -> dict[Path, bytes | str]:
    """Read the images that can be read only once: standard input, and pipes such as a shell's <(command).

    Args:
        paths: Paths that a person named.

    Returns:
        The image's bytes, or the reason why it cannot be sent, for each of `paths` that is such a stream.
    """
    return {path: _read_stream(path) for path in paths if path == STANDARD_INPUT or stat.S_ISFIFO(mode_of(path))}


def mode_of(path: Path) -> int:
    """Return the kind and the permissions of what a path stands for; 0 if it is not there, or cannot be looked at."""
    try:
        return path.stat().st_mode
    except OSError:  # said when it is read
        return 0


def _read_stream(path: Path) -> bytes | str:
    most = contract.MAX_IMAGE_BYTES + 1
    try:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read(most)
        else:
            with path.open("rb") as stream:
                content = stream.read(most)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if len(content) == most:
        return f"holds more than the limit of {contract.MAX_IMAGE_BYTES:,} bytes"
    return images.refusal(content) or content
