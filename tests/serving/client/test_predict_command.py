"""`genattr predict` on directories, lists and streams as people have them, on the servable of the serving tests."""

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.cli.main import main
from serving.client import pictures

REPOSITORY = Path(__file__).resolve().parents[3]

AWKWARD = [
    b"good.png", b"a.jfif", b"b.jpe", b"c.jpg_large", b"d.PNG", b"e f.png", b"g[1].png", b"h*.png", b"i?.png",
    b"#j.png", b"k: l.yaml.png", b"=1+1.png", b"-dash.png", b"@at.png", b"+plus.png", b"caf\xe9.png",
    b"red\x1b[31m.png", b"two\nlines.png",
]  # fmt: skip


@pytest.fixture
def picture(make_image):
    return make_image((0, 0, 0), (64, 64))


@pytest.fixture
def tree(tmp_path, picture):
    """A directory as people have them: 18 awkward names, links, clutter, broken things."""
    root = tmp_path / "tree"
    for name in AWKWARD:
        path = root / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
    for name in ("__MACOSX/._good.png", ".thumbnails/t.png", "@eaDir/t.png", "._good.png", "notes.txt", "deep/x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(picture)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.png").write_bytes(picture)
    (root / "linked_directory").symlink_to(elsewhere)
    (root / "linked_file.png").symlink_to(elsewhere / "linked.png")
    (root / "dangling.png").symlink_to("nowhere.png")
    (root / "deep" / "loop").symlink_to("..")
    (root / "empty.png").write_bytes(b"")
    (root / "words.jpg").write_text("not an image")
    (root / "photo.avif").write_bytes(b"ftypavif")
    return root


@pytest.fixture
def predict(model_base):
    return lambda *words: main(["predict", *map(str, words), "--model", str(model_base)])


JUDGED = len(AWKWARD) + 3  # deep/x.png, linked_file.png, linked_directory/linked.png
ERRORS = {"dangling.png", "empty.png", "words.jpg", "photo.avif"}
SKIPPED = {"clutter": 4, "extension": 1, "symlink": 1}


def entries(root: Path) -> int:
    """Count everything but the directories that are searched: what is not followed counts as one entry."""
    count = 0
    for _, directories, files in os.walk(root, followlinks=False):
        hidden = [name for name in directories if name in ("__MACOSX", ".thumbnails", "@eaDir")]
        directories[:] = [name for name in directories if name not in hidden and name != "loop"]
        count += len(files) + len(hidden)
    return count + 1 + 1  # loop, and the file in the linked directory


def test_json_lines_hold_every_image_and_counts_add_up(tree, predict, capsys, tmp_path):
    counts = tmp_path / "counts.json"
    assert predict(tree, "--json", "--counts", counts) == 1
    written = capsys.readouterr()
    rows = [json.loads(line) for line in written.out.splitlines()]
    assert {Path(row["path"]).name for row in rows if "error" in row} == ERRORS
    assert sum(row["verdict"] is not None for row in rows) == JUDGED
    assert {os.fsencode(Path(row["path"]).name) for row in rows} >= set(AWKWARD)
    assert all(os.path.lexists(row["path"]) for row in rows)
    assert json.loads(counts.read_text()) == {
        "entries": entries(tree), "judged": JUDGED, "errors": len(ERRORS), "skipped": SKIPPED,
    }  # fmt: skip
    assert "skipped: 4 clutter" in written.err
    assert "1 extension" in written.err
    assert "1 symlink" in written.err


def test_csv_is_one_line_a_row_without_formulas(tree, predict, capsys, monkeypatch):
    monkeypatch.chdir(tree)
    names = sorted(map(os.fsdecode, AWKWARD), key=lambda name: name.startswith("-"))
    assert predict("--format", "csv", *[name for name in names if name != "-dash.png"], "./-dash.png") == 0
    text = capsys.readouterr().out
    text.encode("utf-8")
    assert "\x1b" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(text.splitlines()) == len(AWKWARD) + 1 == len(rows) + 1
    paths = {row["path"] for row in rows}
    assert not [path for path in paths if path[0] in "=+-@"]
    assert {"./=1+1.png", "./+plus.png", "./-dash.png", "./@at.png", r"caf\xe9.png", r"two\nlines.png"} <= paths


def test_the_table_is_printable_and_ends_with_what_was_skipped(tree, predict, capsys):
    assert predict(tree) == 1
    text = capsys.readouterr().out
    text.encode("utf-8")
    assert "\x1b" not in text
    assert r"red\x1b[31m.png" in text
    assert f"{JUDGED + len(ERRORS)} images: {JUDGED} real, {len(ERRORS)} error" in text
    assert "skipped: 4 clutter" in text.splitlines()[-1]
    assert "is AVIF by its name" in text


def test_predict_and_prepare_agree_on_what_is_clutter_and_what_is_an_image(tree, tmp_path):
    from components.dataset.tree import scan_tree
    from serving.client.file_search import find

    (tmp_path / "images" / "real" / "a").mkdir(parents=True)
    (tmp_path / "images" / "fake").mkdir()
    (tmp_path / "images" / "fake" / "b").symlink_to(tree)
    (tmp_path / "images" / "real" / "a" / "1.png").write_bytes(b"")
    scanned, found = scan_tree(tmp_path / "images"), find([tree])
    in_source = [item for item in scanned.candidates if item.source.name == "b"]
    not_utf8 = [item for item in scanned.rejections if item.reason == "name"]
    assert len(in_source) + len(not_utf8) == len(found.images)
    assert len(not_utf8) == 1
    rejected = Counter(item.reason.value for item in scanned.rejections if item.reason != "name")
    skipped = Counter(item.reason.value for item in (*found.missed, *found.passed_by))
    assert rejected + Counter({"clutter": len(scanned.ignored)}) == skipped


def test_a_directory_without_any_image_says_what_it_holds(tmp_path, predict, capsys):
    (tmp_path / "notes.txt").touch()
    assert predict(tmp_path) == 2
    assert "holds no image (skipped: 1 extension" in capsys.readouterr().err


def genattr(*words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "predict", *map(str, words)],
        input=stdin, capture_output=True, cwd=REPOSITORY, check=False,
    )  # fmt: skip


def test_an_image_comes_from_standard_input(server, picture):
    done = genattr("-", "--json", "--rest", server.rest, stdin=picture)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == "-"
    assert json.loads(done.stdout)["verdict"] == "real"
    refused = genattr("-", "--json", "--rest", server.rest, stdin=b"")
    assert refused.returncode == 1
    assert "is empty" in json.loads(refused.stdout)["error"]


def test_paths_come_from_a_list_that_ends_in_nul(server, tree, tmp_path):
    names = b"\0".join(os.fsencode(tree) + b"/" + name for name in (*AWKWARD, b"gone.png")) + b"\0"
    done = genattr("--from0", "-", "--json", "--rest", server.rest, stdin=names)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [os.fsencode(Path(row["path"]).name) for row in rows] == [*AWKWARD, b"gone.png"]
    assert [row["error"] for row in rows if "error" in row] == ["cannot be read: No such file or directory"]


def test_a_listed_path_that_cannot_be_looked_at_spoils_no_other(predict, picture, capsys, tmp_path):
    (tmp_path / "good.png").write_bytes(picture)
    longest = "a" * 300
    (tmp_path / "names").write_text("\0".join(map(str, (tmp_path / longest, tmp_path / "good.png"))))
    assert predict("--from0", tmp_path / "names", "--json", "--heatmaps", tmp_path / "maps") == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["error"] == "cannot be read: File name too long"
    assert second["verdict"] == "real"


def test_lists_and_streams_that_cannot_be_are_refused(tree, predict, capsys, tmp_path):
    assert predict() == 2
    assert "name images or directories" in capsys.readouterr().err
    (tmp_path / "lines").write_text("a.png\nb.png\n")
    assert predict("--from0", tmp_path / "lines") == 2
    assert "--from0: must hold names that end in NUL, found lines" in capsys.readouterr().err
    (tmp_path / "nothing").touch()
    assert predict("--from0", tmp_path / "nothing") == 2
    assert "--from0: names no image" in capsys.readouterr().err
    assert predict("-", "--from0", "-") == 2
    assert "is a list of paths" in capsys.readouterr().err


def test_a_pipe_that_is_named_is_read_and_drawn(predict, picture, tmp_path):
    reading, writing = os.pipe()
    os.write(writing, picture)
    os.close(writing)
    out = tmp_path / "maps"
    assert predict(f"/dev/fd/{reading}", "--json", "--heatmaps", out) == 0
    assert len(list(out.iterdir())) == 1


def test_heatmaps_of_another_model_are_not_overwritten(predict, picture, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(picture)
    out = tmp_path / "maps"
    assert predict(tmp_path / "a.png", "--heatmaps", out) == 0
    first = next(out.iterdir()).read_bytes()
    assert predict(tmp_path / "a.png", "--heatmaps", out) == 0  # the same model draws its own anew
    code = main(["predict", str(tmp_path / "a.png"), "--rest", "http://127.0.0.1:1", "--heatmaps", str(out)])
    assert code == 2
    message = capsys.readouterr().err
    assert "--heatmaps:" in message
    assert "would be overwritten" in message
    assert "Choose a directory for each model" in message
    assert next(out.iterdir()).read_bytes() == first


def test_pictures_of_long_names_have_names_that_a_file_system_takes():
    for name in ("写" * 80, "é" * 120, "x" * 250):
        for style in (None, pictures.PictureStyle(source_tags=True)):
            assert len(pictures.picture_name(Path(name, f"{name}.png"), style).encode()) <= 213


def test_a_full_disk_is_named_with_its_path(predict, picture, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(picture)
    assert predict(tmp_path / "a.png", "--json", "-o", "/dev/full") == 1
    assert "/dev/full: No space left on device" in capsys.readouterr().err


def test_a_name_that_the_locale_cannot_write_ends_nothing(tmp_path, picture, server):
    (tmp_path / "写真.png").write_bytes(picture)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "predict", str(tmp_path), "--rest", server.rest, "--format", "csv"],
        capture_output=True, cwd=REPOSITORY, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rb"\u5199\u771f.png,real" in done.stdout
