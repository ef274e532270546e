"""Where a request log is written, how much of it, and within which limits."""

from dataclasses import dataclass
from pathlib import Path

_MIB = 1024 * 1024


@dataclass(frozen=True)
class RequestLogOptions:
    """Where a request log is written, how much of it, and within which limits.

    Attributes:
        folder: several servers may share it; made if absent.
        share: of the answered rows that are logged, above 0 and at most 1; chance decides of each.
        keep_images: whether the images themselves are kept as well, as `images/<SHA-256>.<format>`.
        max_file_bytes: a file that has reached it is followed by the next one of the day.
        max_folder_bytes: of all lines in the folder; the oldest files go first.
        max_images_bytes: of all images in the folder; the oldest go first.
        max_waiting_rows, max_waiting_bytes: rows that wait to be measured, and the bytes of their images; what does not
            fit is not logged.

    Raises:
        ValueError: if a value cannot be.
    """

    folder: Path
    share: float = 0.1
    keep_images: bool = False
    max_file_bytes: int = 64 * _MIB
    max_folder_bytes: int = 1024 * _MIB
    max_images_bytes: int = 1024 * _MIB
    max_waiting_rows: int = 1024
    max_waiting_bytes: int = 64 * _MIB

    def __post_init__(self) -> None:
        """Refuses impossible values before anything is written."""
        object.__setattr__(self, "folder", Path(self.folder))
        if not 0 < self.share <= 1:
            raise ValueError(f"share: must be above 0 and at most 1, got {self.share!r}. For example 0.1.")
        names = ("max_file_bytes", "max_folder_bytes", "max_images_bytes", "max_waiting_rows", "max_waiting_bytes")
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}.")
