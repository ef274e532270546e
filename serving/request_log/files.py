"""The files of a request log: one a day, host and process, rotated by size, and never more than the folder may hold.

    requests-2026-11-25-<host>-<process>-<number>.jsonl
    images/<SHA-256>.<format>

Each process appends to files of its own, whole lines by single writes, so that several servers can share a folder, also
over a network, and a reader never finds the lines of two mixed. Names sort by day.
"""

import os
import re
import socket
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

from serving.request_log.options import RequestLogOptions

_NAME = re.compile(r"requests-(\d{4}-\d{2}-\d{2})-.+\.jsonl")
_PATTERN = "requests-*.jsonl"
IMAGES_FOLDER = "images"

# How often a folder is looked through: when this part of what it may hold has been written since.
_LOOKS_AT_A_TIME = 16


class LogFiles:
    """Appends lines, and keeps images, within the limits. For one thread.

    Args:
        options: folder and limits.

    Raises:
        OSError: if the folder cannot be made, or not be written into.
    """

    def __init__(self, options: RequestLogOptions) -> None:
        self._options = options
        self._owner = f"{_host()}-{os.getpid()}"
        self._descriptor: int | None = None
        self._path = Path()
        self._day: date | None = None
        self._images = options.folder / IMAGES_FOLDER
        options.folder.mkdir(parents=True, exist_ok=True)
        if options.keep_images:
            self._images.mkdir(exist_ok=True)
        if not os.access(options.folder, os.W_OK):
            raise PermissionError(f"{options.folder}: cannot be written into, so no requests can be logged there.")
        self._lines = _Allowance(options.folder, _PATTERN, options.max_folder_bytes)
        self._kept = _Allowance(self._images, "*.*", options.max_images_bytes)

    def append(self, lines: str) -> None:
        """Appends whole lines to today's file.

        Raises:
            OSError: if they cannot be written, e.g. because the disk is full.
        """
        content = lines.encode("ascii")
        descriptor = self._open(datetime.now(UTC).date())
        if os.write(descriptor, content) != len(content):
            self.close()  # opened again, the file gets the end of the line that was cut off
            raise OSError(f"{self._path}: was written in part only; the disk may be full.")
        self._lines.wrote(len(content), spared=self._path)

    def keep(self, digest: str, image_format: str, encoded: bytes) -> None:
        """Keeps an image under the digest of its content; one that is there already is not written again.

        Args:
            digest: SHA-256 of the bytes, hexadecimal.
            image_format: e.g. "JPEG"; becomes the suffix.
            encoded: the bytes.

        Raises:
            OSError: if it cannot be written.
        """
        path = self._images / f"{digest}.{image_format.lower()}"
        if path.exists():
            return
        staged = path.with_name(f".{path.name}.{self._owner}")
        staged.write_bytes(encoded)
        staged.replace(path)
        self._kept.wrote(len(encoded), spared=path)

    def close(self) -> None:
        """Closes the file that is open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self, day: date) -> int:
        """Returns a descriptor of a file that has room."""
        if self._descriptor is not None and day == self._day and self._has_room(self._descriptor):
            return self._descriptor
        self.close()
        number = 0
        while True:
            path = self._options.folder / f"requests-{day.isoformat()}-{self._owner}-{number:03d}.jsonl"
            # Personal data may be inferred from scores: the owner's and the group's alone.
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            if self._has_room(descriptor):
                break
            os.close(descriptor)
            number += 1
        _end_last_line(descriptor)
        self._descriptor, self._path, self._day = descriptor, path, day
        return descriptor

    def _has_room(self, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        # Without a link it was removed, by another server's look or by hand.
        return status.st_nlink > 0 and status.st_size < self._options.max_file_bytes


class _Allowance:
    """What the files of a folder may hold together: the oldest go when it is more."""

    def __init__(self, folder: Path, pattern: str, limit: int) -> None:
        self._folder = folder
        self._pattern = pattern
        self._limit = limit
        self._written = limit  # so that the first write looks

    def wrote(self, count: int, spared: Path) -> None:
        """Counts what was written; looks through the folder from time to time.

        Args:
            count: bytes.
            spared: the file that is being written.
        """
        self._written += count
        if self._written * _LOOKS_AT_A_TIME < self._limit:
            return
        self._written = 0
        files = [(status.st_mtime, path.name, path, status.st_size) for path, status in _statuses(self._list())]
        total = sum(size for *_, size in files)
        for _, _, path, size in sorted(files):
            if total <= self._limit:
                break
            if path != spared:
                path.unlink(missing_ok=True)  # another server may have been faster
                total -= size

    def _list(self) -> Iterable[Path]:
        return self._folder.glob(self._pattern)


def log_files(folder: Path) -> dict[date, list[Path]]:
    """Lists the files of a request log by day, the earliest first.

    Args:
        folder: of the log.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: is no folder. Name the directory that the request log is written to.")
    found: dict[date, list[Path]] = {}
    for path in sorted(folder.glob(_PATTERN)):
        match = _NAME.fullmatch(path.name)
        if match:
            found.setdefault(date.fromisoformat(match[1]), []).append(path)
    return found


def _statuses(paths: Iterable[Path]) -> Iterable[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue


def _end_last_line(descriptor: int) -> None:
    """Ends a line that a process left unfinished when it was killed, so that it spoils no other."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) or "host"
