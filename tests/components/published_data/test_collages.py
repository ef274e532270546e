import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.published_data.collages import CollageParameters, split_collages
from pipeline.cli.main import main
from tests.support.images import encode, noise

TILE = 16


def sheet(seed: int, rows: int, columns: int) -> np.ndarray:
    return noise(seed, rows * TILE, columns * TILE)


def tiles_of(pixels: np.ndarray, first_row: int = 1, first_column: int = 1) -> list[np.ndarray]:
    rows, columns = pixels.shape[0] // TILE, pixels.shape[1] // TILE
    blocks = pixels.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
    return list(blocks[first_row:, first_column:].reshape(-1, TILE, TILE, 3))


def read(folder) -> list[np.ndarray]:
    found = sorted(folder.iterdir())
    assert [path.name for path in found] == [f"{number:06d}.png" for number in range(len(found))]
    return [np.asarray(Image.open(path)) for path in found]


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("skip_row", [True, False])
@pytest.mark.parametrize("skip_column", [True, False])
def test_sheets_become_tiles_by_rows_pixel_by_pixel(tmp_path, skip_row, skip_column):
    sheets = [sheet(1, 3, 4), sheet(2, 2, 2)]
    for number, pixels in enumerate(sheets):
        (tmp_path / f"{number}.png").write_bytes(encode(pixels))
    parameters = CollageParameters(tile=TILE, skip_first_row=skip_row, skip_first_column=skip_column)
    summary = split_collages([tmp_path / "0.png", tmp_path / "1.png"], tmp_path / "out", parameters)
    expected = [tile for pixels in sheets for tile in tiles_of(pixels, int(skip_row), int(skip_column))]
    np.testing.assert_array_equal(read(tmp_path / "out"), expected)
    assert summary.tiles == len(expected)
    counts = [(3 - skip_row) * (4 - skip_column), (2 - skip_row) * (2 - skip_column)]
    assert [(item.first, item.tiles) for item in summary.sheets] == [(0, counts[0]), (counts[0], counts[1])]


def test_the_inputs_in_the_first_row_and_column_are_left_out_by_default(tmp_path):
    (tmp_path / "sheet.png").write_bytes(encode(sheet(1, 3, 3)))
    assert split_collages([tmp_path / "sheet.png"], tmp_path / "out", CollageParameters(tile=TILE)).tiles == 4


def test_a_jpeg_sheet_gives_the_pixels_that_it_decodes_to(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(sheet(3, 2, 3)).save(buffer, "JPEG", quality=90)
    (tmp_path / "reference.jpg").write_bytes(buffer.getvalue())
    split_collages([tmp_path], tmp_path.parent / f"{tmp_path.name}_out", CollageParameters(tile=TILE))
    expected = tiles_of(np.asarray(Image.open(buffer)))
    np.testing.assert_array_equal(read(tmp_path.parent / f"{tmp_path.name}_out"), expected)


def make_bad_sheets(folder) -> dict[str, str]:
    """Writes one sheet of each kind that cannot be cut; returns name -> reason."""
    (folder / "wide.png").write_bytes(encode(noise(5, 2 * TILE, 2 * TILE + 1)))
    (folder / "high.png").write_bytes(encode(noise(6, 3 * TILE - 1, 2 * TILE)))
    (folder / "one.png").write_bytes(encode(noise(7, TILE, TILE)))
    (folder / "row.png").write_bytes(encode(noise(8, TILE, 4 * TILE)))
    (folder / "truncated.png").write_bytes(encode(sheet(9, 2, 2))[:-20])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<!DOCTYPE html>")
    (folder / "notes.txt").write_text("about")
    (folder / "link.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    return {
        "wide.png": "size", "high.png": "size", "one.png": "no_tile", "row.png": "no_tile",
        "truncated.png": "undecodable", "empty.jpg": "empty", "page.jpg": "wrong_type", "notes.txt": "extension",
        "link.png": "unreadable", "pipe.png": "not_a_file",
    }  # fmt: skip


def test_sheets_that_cannot_be_cut_are_refused_by_name_and_the_rest_goes_on(tmp_path):
    folder = tmp_path / "sheets"
    (folder / "deeper").mkdir(parents=True)
    expected = make_bad_sheets(folder)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "good.png").write_bytes(encode(sheet(10, 2, 3)))
    (folder / "deeper" / "good.png").write_bytes(encode(sheet(11, 3, 2)))
    summary = split_collages([folder], tmp_path / "out", CollageParameters(tile=TILE))
    assert {Path(item.path).name: item.reason for item in summary.refused} == expected
    assert all(item.detail for item in summary.refused)
    np.testing.assert_array_equal(read(tmp_path / "out"), [*tiles_of(sheet(10, 2, 3)), *tiles_of(sheet(11, 3, 2))])
    assert names(tmp_path) == ["out", "sheets"]


def test_one_and_two_workers_write_the_same_files(tmp_path):
    folder = tmp_path / "sheets"
    folder.mkdir()
    make_bad_sheets(folder)
    for number in range(6):
        (folder / f"good{number}.png").write_bytes(encode(sheet(20 + number, 2 + number % 2, 3)))
    summaries = [
        split_collages([folder], tmp_path / f"{workers}", CollageParameters(tile=TILE, workers=workers))
        for workers in (1, 2)
    ]
    contents = [{path.name: path.read_bytes() for path in (tmp_path / f"{workers}").iterdir()} for workers in (1, 2)]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3 * 2 + 3 * 4
    assert (summaries[0].sheets, summaries[0].refused) == (summaries[1].sheets, summaries[1].refused)


def test_where_nothing_can_be_cut_nothing_is_left_behind(tmp_path):
    folder = tmp_path / "sheets"
    folder.mkdir()
    (folder / "wide.png").write_bytes(encode(noise(5, TILE, TILE + 1)))
    with pytest.raises(ValueError, match=r"none of 1 files can be cut into .* 16 px:\n.*wide\.png: is 17 x 16 px"):
        split_collages([folder], tmp_path / "out", CollageParameters(tile=TILE))
    assert names(tmp_path) == ["sheets"]


def test_an_interrupted_run_leaves_no_folder_and_the_next_is_whole(tmp_path):
    (tmp_path / "sheet.png").write_bytes(encode(sheet(1, 3, 3)))

    def stop(*progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split_collages([tmp_path / "sheet.png"], tmp_path / "out", CollageParameters(tile=TILE), progress=stop)
    assert not (tmp_path / "out").exists()
    split_collages([tmp_path / "sheet.png"], tmp_path / "out", CollageParameters(tile=TILE))
    assert len(read(tmp_path / "out")) == 4
    assert names(tmp_path) == ["out", "sheet.png"]


def test_unfit_requests_are_refused_before_anything_is_written(tmp_path):
    (tmp_path / "sheets").mkdir()
    parameters = CollageParameters(tile=TILE)
    with pytest.raises(ValueError, match="no image file there"):
        split_collages([tmp_path / "sheets"], tmp_path / "out", parameters)
    with pytest.raises(ValueError, match=r"nothing\.png: does not exist"):
        split_collages([tmp_path / "nothing.png"], tmp_path / "out", parameters)
    (tmp_path / "sheets" / "sheet.png").write_bytes(encode(sheet(1, 2, 2)))
    with pytest.raises(ValueError, match="lies inside"):
        split_collages([tmp_path / "sheets"], tmp_path / "sheets" / "out", parameters)
    with pytest.raises(ValueError, match="exists and is not empty"):
        split_collages([tmp_path / "sheets"], tmp_path / "sheets", parameters)
    with pytest.raises(ValidationError, match="tile"):
        CollageParameters(tile=0)
    assert names(tmp_path) == ["sheets"]


def test_the_command_cuts_and_says_what_it_refused(tmp_path, capsys):
    (tmp_path / "sheet.png").write_bytes(encode(sheet(1, 3, 3)))
    (tmp_path / "odd.png").write_bytes(encode(noise(2, 40, 40)))
    words = ["split-collages", str(tmp_path / "sheet.png"), str(tmp_path / "odd.png")]
    assert main([*words, str(tmp_path / "out"), "--tile", "16"]) == 0
    said = capsys.readouterr().out
    assert "cut from 1 of 2 files" in said
    assert "odd.png: is 40 x 40 px, not a whole number of 16 px tiles" in said
    assert main([*words, str(tmp_path / "all"), "--tile", "16", "--no-skip-first-row", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tiles"] == 6
    assert [item["reason"] for item in said["refused"]] == ["size"]
    assert main([*words, str(tmp_path / "all"), "--tile", "16"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "more"), "--tile", "3"]) == 2
    assert "tile: must be greater than or equal to 16, got 3" in capsys.readouterr().err
