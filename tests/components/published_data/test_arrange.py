import json
import os

import pytest

from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.dataset.tree import scan_tree
from components.published_data import arrange as module
from components.published_data.arrange import arrange, check_download
from components.published_data.layouts import LAYOUTS, find_sources
from pipeline.cli.main import main
from pipeline.cli.parser import build_parser
from tests.support.images import encode, noise

COUNT = 5


@pytest.fixture(params=["ganfp", "faceshqplus"])
def layout(request) -> str:
    return request.param


@pytest.fixture
def downloaded(layout, tmp_path):
    """A complete download, as small as can be: COUNT images for each source that is not optional."""
    root = tmp_path / "downloaded"
    for seed, source in enumerate(LAYOUTS[layout].sources):
        if not source.optional:
            folder = root / source.folders[0]
            folder.mkdir(parents=True)
            for number in range(COUNT):
                (folder / f"image_{number}.png").write_bytes(encode(noise(100 * seed + number)))
    return root


def files(root) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def required(layout) -> list:
    return [source for source in LAYOUTS[layout].sources if not source.optional]


def test_a_download_becomes_a_tree_that_prepare_takes(layout, downloaded, tmp_path):
    arrangement = arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    tree = scan_tree(tmp_path / "images")
    assert {source.directory for source in tree.sources} == {source.directory for source in required(layout)}
    assert len(tree.candidates) == COUNT * len(required(layout)) == arrangement.linked
    assert not tree.rejections
    sizes = PreparationParameters(size=32, train=3, eval=1, test=1, split_order="reference")
    assert prepare(tmp_path / "images", tmp_path / "out", sizes).totals["accepted"] == len(tree.candidates)


def test_sources_are_named_as_the_published_lists_of_sources_name_them(shared_folder, layout):
    for line in (shared_folder / "reference" / f"{layout}_source_ids.csv").read_text().splitlines():
        name = line.split(",")[0]
        assert f"fake/{name}" in [source.directory for source in required(layout)]


def test_linked_files_share_their_bytes_and_copied_ones_do_not(layout, downloaded, tmp_path):
    arrange(layout, downloaded, tmp_path / "linked", amount=COUNT)
    copied = arrange(layout, downloaded, tmp_path / "copied", amount=COUNT, copy=True)
    assert (copied.linked, copied.copied) == (0, COUNT * len(required(layout)))
    for source in required(layout):
        origin = downloaded / source.folders[0] / "image_3.png"
        assert (tmp_path / "linked" / source.directory / "image_3.png").samefile(origin)
        assert not (tmp_path / "copied" / source.directory / "image_3.png").samefile(origin)
        assert (tmp_path / "copied" / source.directory / "image_3.png").read_bytes() == origin.read_bytes()


def test_where_links_are_impossible_files_are_copied(layout, downloaded, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(module.errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    arrangement = arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    assert (arrangement.linked, arrangement.copied) == (0, COUNT * len(required(layout)))
    assert len(files(tmp_path / "images")) == arrangement.copied


def test_another_failure_of_linking_ends_the_work_without_a_tree(layout, downloaded, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(module.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="No space left"):
        arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    assert not (tmp_path / "images").exists()
    monkeypatch.undo()
    arrange(layout, downloaded, tmp_path / "images", amount=COUNT)  # what was left behind is no obstacle
    assert {path.name for path in tmp_path.iterdir()} == {"downloaded", "images"}


def test_everything_missing_is_named_before_anything_is_written(layout, downloaded, tmp_path):
    first, second, *_ = required(layout)
    for image in (downloaded / first.folders[0]).iterdir():
        image.unlink()
    (downloaded / first.folders[0]).rmdir()
    (downloaded / second.folders[0] / "image_0.png").unlink()
    with pytest.raises(ValueError, match="not all of") as error:
        arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    lines = str(error.value).splitlines()
    assert lines[1:3] == [
        f"  {first.name}: expected 5 images in {' or '.join(first.folders)}, found no such folder",
        f"  {second.name}: expected 5 images in {downloaded / second.folders[0]}, found 4",
    ]
    assert len(lines) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["downloaded"]


def test_the_published_amounts_are_asked_for_by_default(layout, downloaded):
    amount = {"ganfp": "30,000", "faceshqplus": "10,000"}[layout]
    with pytest.raises(ValueError, match=f"expected {amount} images in .*, found 5"):
        check_download(layout, downloaded)


def test_the_first_images_by_number_are_taken(layout, downloaded, tmp_path):
    folder = downloaded / required(layout)[0].folders[0]
    (folder / "deeper").mkdir()
    for name in ("deeper/1_x.png", "10.png", "nameless.png"):
        (folder / name).write_bytes(encode(noise(9)))
    arrange(layout, downloaded, tmp_path / "images", amount=3)
    directory = tmp_path / "images" / required(layout)[0].directory
    assert files(directory) == {"image_0.png", "deeper/1_x.png", "image_1.png"}


def test_files_that_are_no_images_stay_out_and_are_counted(layout, downloaded, tmp_path):
    folder = downloaded / required(layout)[0].folders[0]
    (folder / "readme.txt").write_text("about")
    (folder / "broken_link_9.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe_1.png")
    (folder / ".DS_Store").write_bytes(b"")
    arrangement = arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    assert (arrangement.sources[0].found, arrangement.sources[0].other_files) == (COUNT, 3)
    assert len(files(tmp_path / "images" / required(layout)[0].directory)) == COUNT


def test_a_symbolic_link_becomes_the_file_that_it_points_to(layout, downloaded, tmp_path):
    folder = downloaded / required(layout)[0].folders[0]
    (folder / "image_0.png").rename(tmp_path / "elsewhere.png")
    (folder / "image_0.png").symlink_to(tmp_path / "elsewhere.png")
    arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    placed = tmp_path / "images" / required(layout)[0].directory / "image_0.png"
    assert not placed.is_symlink()
    assert placed.samefile(tmp_path / "elsewhere.png")


def test_a_folder_of_another_name_can_be_given(layout, downloaded, tmp_path):
    source = required(layout)[1]
    (downloaded / source.folders[0]).rename(tmp_path / "mine")
    found = find_sources(LAYOUTS[layout], downloaded, {source.name: tmp_path / "mine"})
    assert {len(item.images) for item in found if not item.source.optional} == {COUNT}
    arrange(layout, downloaded, tmp_path / "images", {source.name: tmp_path / "mine"}, amount=COUNT)
    with pytest.raises(ValueError, match=r"has no source 'real_mine'\. Its: real_"):
        check_download(layout, downloaded, {"real_mine": tmp_path})
    with pytest.raises(ValueError, match="nothing: is not a directory"):
        check_download(layout, downloaded, {source.name: tmp_path / "nothing"})


def test_an_optional_source_is_taken_where_it_is(tmp_path):
    root = tmp_path / "downloaded"
    for source in LAYOUTS["faceshqplus"].sources:
        (root / source.folders[0]).mkdir(parents=True)
        for number in range(1 if source.optional else 2):
            (root / source.folders[0] / f"{number}.png").write_bytes(encode(noise(number)))
    arrange("faceshqplus", root, tmp_path / "images", amount=2)
    assert files(tmp_path / "images" / "fake_testonly") == {"starganv2_celebahq/0.png"}


def test_an_output_in_the_way_or_inside_the_download_is_refused(layout, downloaded, tmp_path):
    (tmp_path / "images").mkdir()
    arrange(layout, downloaded, tmp_path / "images", amount=COUNT)  # empty: in nobody's way
    before = files(tmp_path / "images")
    with pytest.raises(ValueError, match="exists and is not empty"):
        arrange(layout, downloaded, tmp_path / "images", amount=COUNT)
    assert files(tmp_path / "images") == before
    with pytest.raises(ValueError, match="lies inside the downloaded folder"):
        arrange(layout, downloaded, downloaded / required(layout)[0].folders[0] / "out", amount=COUNT)


@pytest.mark.parametrize(
    ("name", "amount", "message"),
    [("lsun", 5, "must be one of ganfp, faceshqplus, got 'lsun'"), ("ganfp", 0, "amount: must be at least 1, got 0")],
)
def test_unfit_requests_are_refused(tmp_path, name, amount, message):
    with pytest.raises(ValueError, match=message):
        check_download(name, tmp_path, amount=amount)
    with pytest.raises(ValueError, match="nothing: is not a directory"):
        check_download("ganfp", tmp_path / "nothing")


def test_the_command_checks_arranges_and_speaks_json(layout, downloaded, tmp_path, capsys):
    words = ["arrange", layout, str(downloaded)]
    assert main([*words, "--check"]) == 2
    assert "found 5" in capsys.readouterr().err
    assert main([*words, "--amount", str(COUNT)]) == 2
    assert "OUT: is missing" in capsys.readouterr().err
    assert main([*words, "--amount", str(COUNT), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] is None
    source = required(layout)[0]
    moved = downloaded / source.folders[0]
    moved.rename(tmp_path / "moved")
    out = tmp_path / "images"
    words += [str(out), "--amount", str(COUNT), "--folder", f"{source.name}={tmp_path / 'moved'}", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sources"][0] == {
        "directory": source.directory, "folder": str(tmp_path / "moved"), "found": COUNT, "taken": COUNT,
        "other_files": 0,
    }  # fmt: skip
    assert len(files(out)) == said["linked"]


def test_the_command_line_knows_every_layout_and_refuses_half_a_folder(capsys):
    for name in LAYOUTS:
        assert build_parser().parse_args(["arrange", name, "downloaded", "out"]).layout == name
    with pytest.raises(SystemExit) as usage:
        build_parser().parse_args(["arrange", "ganfp", "downloaded", "out", "--folder", "real_celeba"])
    assert usage.value.code == 2
    assert "must have the form SOURCE=DIR" in capsys.readouterr().err
