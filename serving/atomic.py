"""Files and directories that appear under their name whole or not at all.

Content is written into a temporary sibling and renamed, which a file system does in one step: a reader finds the old
content or the new one, whenever the writer is killed. Names of siblings begin with `.partial`, so that nothing that
looks for versions, spans, records or images takes one for content; they keep the suffix of the final name.

A failure removes the sibling. A killed writer cannot: its sibling is removed by the next writer of the same name if
that is the only one (`sole_writer`), and stays otherwise, since it may belong to a writer that is still at work.
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

_STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)

SOLE_PREFIX = ".partial."  # of siblings of sole writers: SOLE_PREFIX + final name


@contextlib.contextmanager
def replace_file(path: Path, sole_writer: bool = False, durable: bool = False) -> Iterator[Path]:
    """Provide a temporary path to write a file to, and move the file to its name when the block ends.

    Args:
        path: Final name. Its directory must exist; an existing file is replaced.
        sole_writer: Whether nobody else writes this file at the same time.
        durable: Whether the file must survive a power cut once the block has ended.

    Yields:
        The temporary path, which does not exist yet.

    Raises:
        OSError: If the file cannot be written or moved; an existing one is left as it was.
    """
    with _sibling(path, sole_writer, _remove_file) as temporary:
        yield temporary
        if durable:
            _synchronise(temporary)
        temporary.replace(path)
    if durable:
        _synchronise(path.parent)  # the new name itself


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write a UTF-8 file whole, as `replace_file`; missing directories are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def create_directory(path: Path, sole_writer: bool = False) -> Iterator[Path]:
    """Provide a temporary directory to fill, and move it to its name when the block ends.

    Args:
        path: Final name: absent, or an empty directory. Missing parents are made.
        sole_writer: Whether nobody else makes this directory at the same time.

    Yields:
        The temporary directory.

    Raises:
        OSError: If it cannot be moved, e.g. because another writer was faster.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _sibling(path, sole_writer, _remove_directory) as temporary:
        temporary.mkdir()
        yield temporary
        temporary.replace(path)


@contextlib.contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """Provide a temporary directory to fill, and put it in the place of an existing one when the block ends.

    A directory cannot be replaced in one step: between two renames there is none under the name. If the second one
    fails, the first is taken back.

    Args:
        path: Final name. Missing parents are made.

    Yields:
        The temporary directory.

    Raises:
        OSError: If it cannot be moved; an existing directory is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _sibling(path, False, _remove_directory) as temporary:
        temporary.mkdir()
        yield temporary
        earlier = temporary.with_name(f"{temporary.name}.replaced")
        if path.exists():
            path.replace(earlier)
        try:
            temporary.replace(path)
        except BaseException:
            if earlier.exists():
                earlier.replace(path)
            raise
    _remove_directory(earlier)


@contextlib.contextmanager
def naming_storage_errors(name: Path | str) -> Iterator[None]:
    """Put a name into errors of the storage: the system says which call failed, not which file was written.

    Args:
        name: File, directory, or words for a stream, e.g. "standard output".
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _STORAGE_ERRORS:
            error.filename = str(name)
        raise


@contextlib.contextmanager
def _sibling(path: Path, sole_writer: bool, remove: Callable[[Path], None]) -> Iterator[Path]:
    name = f"{SOLE_PREFIX}{path.name}" if sole_writer else f".partial-{uuid.uuid4().hex}.{path.name}"
    temporary = path.with_name(name)
    if sole_writer:
        remove(temporary)  # of a writer that was killed
    try:
        with naming_storage_errors(path):
            yield temporary
    except BaseException:
        remove(temporary)
        raise


def _remove_file(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_directory(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _synchronise(path: Path) -> None:
    """Flush a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
