"""Makes an image tree of a downloaded data set: checked first, then linked or copied, never changed."""

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from components.dataset.pool import Progress
from components.published_data.layouts import LAYOUTS, FoundSource, find_sources, require_complete
from serving import atomic

# Why a file system refuses a hard link that is no failure: other device, not allowed, too many of them, unknown to it.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class ArrangedSource:
    """What became of one source.

    Attributes:
        directory: in the image tree, e.g. "fake/progan_celeba".
        folder: the downloaded folder; None if an optional one is missing.
        found: images in it.
        taken: of these, images in the tree.
        other_files: files in it that are no images, left out.
    """

    directory: str
    folder: str | None
    found: int
    taken: int
    other_files: int


@dataclass(frozen=True)
class Arrangement:
    """What `arrange` made, or with `check` would make.

    Attributes:
        layout: its name.
        out: the image tree; None after a mere check.
        amount: images asked for of each source.
        sources: what became of each.
        linked: files that share their bytes with the downloaded ones (hard links).
        copied: files with bytes of their own.
    """

    layout: str
    out: str | None
    amount: int
    sources: tuple[ArrangedSource, ...]
    linked: int
    copied: int

    def to_dict(self) -> dict[str, object]:
        """Returns the account as plain values for JSON."""
        return asdict(self)


def check_download(
    name: str, downloaded: Path, folders: Mapping[str, Path] | None = None, amount: int | None = None
) -> Arrangement:
    """Tells what `arrange` would take, or what is missing. Writes nothing.

    Args:
        name: of a layout.
        downloaded: directory that holds the downloaded folders.
        folders: source name -> its folder, where that differs from the layout.
        amount: images of each source; None takes what the published set-up does.

    Raises:
        ValueError: if the layout is unknown, the amount is not positive, or anything is missing (a line for each
            source).
    """
    found, wanted = _find(name, downloaded, folders, amount)
    return Arrangement(name, None, wanted, tuple(_account(item, wanted) for item in found), 0, 0)


def arrange(
    name: str,
    downloaded: Path,
    out: Path,
    folders: Mapping[str, Path] | None = None,
    amount: int | None = None,
    copy: bool = False,
    progress: Progress | None = None,
) -> Arrangement:
    """Lays downloaded folders out as an image tree `<out>/{real,fake,...}/<source>/`.

    Of each source the first images by number are taken. They keep their names, and the folders that they lie in below
    the source's. Files are hard-linked where the file system allows it (no space is used; who edits a file in place
    edits both), else copied. Symbolic links are not made: a tree's files may not lead out of it. The tree appears under
    its name when it is complete.

    Args:
        name: of a layout.
        downloaded: directory that holds the downloaded folders.
        out: directory to make; it may exist if it is empty.
        folders: source name -> its folder, where that differs from the layout.
        amount: images of each source; None takes what the published set-up does.
        copy: copies in any case.
        progress: called with (done, total, description).

    Raises:
        ValueError: as check_download, or if `out` holds something, or lies in a downloaded folder.
        OSError: if a file cannot be read or written.
    """
    found, wanted = _find(name, downloaded, folders, amount)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: exists and is not empty. Choose another directory, or delete this one.")
    for item in found:
        if item.folder is not None and out.resolve().is_relative_to(item.folder.resolve()):
            raise ValueError(f"{out}: lies inside the downloaded folder {item.folder}. Choose a directory outside.")
    total = sum(len(item.images[:wanted]) for item in found)
    linked = done = 0
    with atomic.create_directory(out, sole_writer=True) as unfinished:
        for item in found:
            if item.folder is None:
                continue
            for image in item.images[:wanted]:
                target = unfinished / item.source.directory / image
                target.parent.mkdir(parents=True, exist_ok=True)
                linked += _place(item.folder / image, target, copy)
                done += 1
                if progress is not None:
                    progress(done, total, item.source.name)
    sources = tuple(_account(item, wanted) for item in found)
    return Arrangement(name, str(out), wanted, sources, linked, total - linked)


def _find(
    name: str, downloaded: Path, folders: Mapping[str, Path] | None, amount: int | None
) -> tuple[list[FoundSource], int]:
    """Returns what there is of a complete download, and how many images of each source are wanted."""
    if name not in LAYOUTS:
        raise ValueError(f"layout: must be one of {', '.join(LAYOUTS)}, got '{name}'.")
    layout = LAYOUTS[name]
    wanted = layout.amount if amount is None else amount
    if wanted < 1:
        raise ValueError(f"amount: must be at least 1, got {wanted}. Leave it out to take {layout.amount:,} a source.")
    found = find_sources(layout, downloaded, folders)
    require_complete(layout, downloaded, found, wanted)
    return found, wanted


def _account(item: FoundSource, wanted: int) -> ArrangedSource:
    folder = None if item.folder is None else str(item.folder)
    taken = len(item.images[:wanted])
    return ArrangedSource(item.source.directory, folder, len(item.images), taken, item.other_files)


def _place(origin: Path, target: Path, copy: bool) -> bool:
    """Puts a file into the tree; tells whether it is a hard link."""
    if not copy:
        try:
            os.link(origin.resolve(), target)
            return True
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
    shutil.copyfile(origin, target)
    return False
