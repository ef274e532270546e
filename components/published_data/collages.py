"""Cuts sheets of generated images into single images, e.g. StarGAN v2's, whose first row and column are its inputs.

Tiles are cut, never rescaled, and stored as PNG, so that nothing is added to what the generator and the sheet's own
format left in them. A sheet that cannot be cut is refused by name, and the rest goes on.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pydantic import Field

from components.dataset.encoding import encode_png
from components.dataset.images import ImageRejectedError, decode_image, read_file
from components.dataset.parameters import PILLOW_PIXEL_LIMIT
from components.dataset.pool import Progress, ordered_map
from components.dataset.tree import Reason, printable
from components.parameters import Parameters
from serving import atomic
from serving.image_files import is_clutter, may_be_image

_MOST_BYTES = 1 << 30  # of a sheet
_SHOWN = 3  # refused sheets that an error names


class CollageParameters(Parameters):
    """How sheets are cut.

    Attributes:
        tile: side of a tile in pixels.
        skip_first_row: drops the first row of tiles: what the generator was given, not what it made.
        skip_first_column: the same for the first column.
        workers: processes. The result does not depend on it.
    """

    tile: int = Field(ge=16, le=4096)
    skip_first_row: bool = True
    skip_first_column: bool = True
    workers: int = Field(default=2, ge=1, le=256)


@dataclass(frozen=True)
class CutSheet:
    """A sheet that was cut: its path, and which images it gave: `tiles` of them, from number `first` on, by rows."""

    path: str
    first: int
    tiles: int


@dataclass(frozen=True)
class RefusedSheet:
    """A file that was not cut: its path, a code (tree.Reason, "size" or "no_tile"), and a sentence."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class CollageSummary:
    """What split_collages wrote.

    Attributes:
        out: the folder of the images.
        tiles: images in it.
        sheets: those that were cut, in order.
        refused: those that were not.
    """

    out: str
    tiles: int
    sheets: tuple[CutSheet, ...]
    refused: tuple[RefusedSheet, ...]

    def to_dict(self) -> dict[str, object]:
        """Returns the summary as plain values for JSON."""
        return asdict(self)


def split_collages(
    collages: Sequence[Path], out: Path, parameters: CollageParameters, progress: Progress | None = None
) -> CollageSummary:
    """Cuts sheets into `<out>/000000.png`, `000001.png` and so on, as RGB.

    Sheets are taken in the order given, those of a folder in the order of their paths, tiles by rows. The folder
    appears under its name when it is complete.

    Args:
        collages: image files, and folders of them (searched to the bottom; hidden entries are passed by).
        out: directory to make; it may exist if it is empty.
        parameters: how to cut.
        progress: called with (done, total, description) for each sheet.

    Raises:
        ValueError: if a path does not exist, there is no sheet, none can be cut, or `out` holds something or lies in
            one of the folders.
        OSError: if an image cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: exists and is not empty. Choose another directory, or delete this one.")
    sheets, refused = _find_sheets(collages, out)
    cut: list[CutSheet] = []
    tiles = 0
    with atomic.create_directory(out, sole_writer=True) as unfinished:
        results = ordered_map(partial(_cut_sheet, unfinished, parameters), list(enumerate(sheets)), parameters.workers)
        for index, (path, result) in enumerate(zip(sheets, results, strict=True)):
            if isinstance(result, RefusedSheet):
                refused.append(result)
            else:
                # Workers number the tiles of one sheet; only here is it known how many came before.
                for number in range(result):
                    _tile(unfinished / str(index), number).rename(_tile(unfinished, tiles + number))
                (unfinished / str(index)).rmdir()
                cut.append(CutSheet(printable(str(path)), tiles, result))
                tiles += result
            if progress is not None:
                progress(index + 1, len(sheets), printable(path.name))
        if not tiles:
            reasons = "".join(f"\n  {item.path}: {item.detail}" for item in refused[:_SHOWN])
            raise ValueError(f"none of {len(refused)} files can be cut into tiles of {parameters.tile} px:{reasons}")
    return CollageSummary(str(out), tiles, tuple(cut), tuple(refused))


def _find_sheets(collages: Sequence[Path], out: Path) -> tuple[list[Path], list[RefusedSheet]]:
    """Lists files that may be sheets, and those of the folders that have no image's name."""
    sheets: list[Path] = []
    refused: list[RefusedSheet] = []
    for given in collages:
        if not given.is_dir():
            if not given.exists():
                raise ValueError(f"{given}: does not exist. Name image files, or folders of them.")
            sheets.append(given)
            continue
        if out.resolve().is_relative_to(given.resolve()):
            raise ValueError(f"{out}: lies inside {given}, which is searched for sheets. Choose a directory outside.")

        def refuse(error: OSError) -> None:
            detail = f"cannot be listed: {error.strerror}"
            refused.append(RefusedSheet(printable(str(error.filename)), Reason.UNREADABLE.value, detail))

        for parent, directories, files in os.walk(given, onerror=refuse):
            directories[:] = sorted(name for name in directories if not is_clutter(name))
            for path in (Path(parent, name) for name in sorted(files) if not is_clutter(name)):
                if may_be_image(path.name):
                    sheets.append(path)
                else:
                    detail = "its name is not that of a PNG, JPEG or WebP file"
                    refused.append(RefusedSheet(printable(str(path)), Reason.EXTENSION.value, detail))
    if not sheets:
        raise ValueError(f"{', '.join(map(str, collages))}: no image file there. Name image files, or folders of them.")
    return sheets, refused


def _cut_sheet(directory: Path, parameters: CollageParameters, task: tuple[int, Path]) -> int | RefusedSheet:
    """Cuts one sheet into a folder of its own (what one worker does at a time); returns the number of tiles."""
    index, path = task
    name = printable(str(path))
    if path.exists() and not path.is_file():
        return RefusedSheet(name, Reason.NOT_A_FILE.value, "is a pipe, a socket or a device")
    try:
        pixels = decode_image(read_file(path, _MOST_BYTES), PILLOW_PIXEL_LIMIT).pixels
    except ImageRejectedError as rejected:
        return RefusedSheet(name, rejected.reason.value, rejected.detail)
    side = parameters.tile
    height, width = pixels.shape[:2]
    if height % side or width % side:
        detail = f"is {width} x {height} px, not a whole number of {side} px tiles"
        return RefusedSheet(name, "size", detail)
    corners = [
        (top, left)
        for top in range(side if parameters.skip_first_row else 0, height, side)
        for left in range(side if parameters.skip_first_column else 0, width, side)
    ]
    if not corners:
        detail = f"is {width} x {height} px: no {side} px tile is left without the first row and column"
        return RefusedSheet(name, "no_tile", detail)
    folder = directory / str(index)
    folder.mkdir()
    for number, (top, left) in enumerate(corners):
        _tile(folder, number).write_bytes(encode_png(pixels[top : top + side, left : left + side]))
    return len(corners)


def _tile(directory: Path, number: int) -> Path:
    return directory / f"{number:06d}.png"
