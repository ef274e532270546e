"""The one walk of directories: what is an image by its name, what is clutter, which links are followed."""

import os
from pathlib import Path

import pytest

from serving.image_files import Skipped, SkipReason, is_clutter, may_be_image, named_format, search


def files(root: Path) -> list[str]:
    return [str(entry.relative_to(root)) for entry in search(root) if isinstance(entry, Path)]


def skipped(root: Path) -> dict[str, Skipped]:
    return {str(entry.path.relative_to(root)): entry for entry in search(root) if isinstance(entry, Skipped)}


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"image")


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "a.JPEG", "a.jpe", "a.jfif", "a.JIF", "a.pjpeg", "a.jpg_large", "a.jpg:orig", "a.jpg-4096x4096",
     "a.jpg?w=640&h=480", "a.jpg.1", "a.png ", "a.png", "a.b.webp", "a.bmp", "a.gif", "#1.png"],
)  # fmt: skip
def test_a_name_of_an_image_is_opened(name):
    assert may_be_image(name)


@pytest.mark.parametrize(
    "name", ["a.avif", "a.heic", "a.tiff", "a.jxl", "a.txt", "png", "a", "a.jpg.bak", "a.jpg_original", "a.png.tmp"]
)
def test_any_other_name_is_not(name):
    assert not may_be_image(name)


def test_a_format_that_is_not_read_has_a_name():
    assert [named_format(name) for name in ("a.AVIF", "a.heic", "a.notes")] == ["AVIF", "HEIF", None]


@pytest.mark.parametrize(
    "name",
    ["._a.png", ".thumbnails", "__MACOSX", "@eaDir", "Thumbs.db", "$RECYCLE.BIN", "#recycle", "Icon\r",
     "a.png:Zone.Identifier", "a.png\uf03aZone.Identifier", "a.png:zone.identifier:$DATA"],
)  # fmt: skip
def test_clutter_is_known_by_its_name(name):
    assert is_clutter(name)
    assert not is_clutter("a.png")


def test_every_entry_is_an_image_or_skipped_with_its_reason(tmp_path):
    make(tmp_path, "b.png", "a.jfif", "sub/c.webp", "notes.txt", "d.avif", "._b.png", "__MACOSX/._b.png", ".t/b.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "unmounted").symlink_to("nowhere")
    (tmp_path / "itself.png").symlink_to("itself.png")
    assert files(tmp_path) == ["a.jfif", "b.png", "sub/c.webp"]
    assert {name: (entry.reason, entry.is_missed) for name, entry in skipped(tmp_path).items()} == {
        "._b.png": (SkipReason.CLUTTER, False),
        ".t": (SkipReason.CLUTTER, False),
        "__MACOSX": (SkipReason.CLUTTER, False),
        "notes.txt": (SkipReason.EXTENSION, False),
        "d.avif": (SkipReason.EXTENSION, True),
        "pipe.png": (SkipReason.NOT_A_FILE, True),
        "dangling.png": (SkipReason.UNREADABLE, True),
        "unmounted": (SkipReason.UNREADABLE, True),
        "itself.png": (SkipReason.UNREADABLE, True),
    }
    assert "AVIF" in skipped(tmp_path)["d.avif"].detail


def test_links_to_files_and_directories_are_followed(tmp_path):
    make(tmp_path, "elsewhere/a.png", "elsewhere/deeper/b.png", "root/c.png")
    root = tmp_path / "root"
    (root / "a_link").symlink_to(tmp_path / "elsewhere")
    (root / "file.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    assert files(root) == ["c.png", "file.png", "a_link/a.png", "a_link/deeper/b.png"]
    assert not skipped(root)


def test_each_directory_is_searched_once_however_many_links_lead_to_it(tmp_path):
    make(tmp_path, "elsewhere/a.png", "root/inner/b.png", "root/.hidden/c.png")
    root = tmp_path / "root"
    (root / "one").symlink_to(tmp_path / "elsewhere")
    (root / "two").symlink_to(tmp_path / "elsewhere")
    (root / "alias").symlink_to("inner")
    (root / "shown").symlink_to(".hidden")
    (root / "inner" / "loop").symlink_to("..")
    (tmp_path / "elsewhere" / "above").symlink_to(tmp_path)
    assert files(root) == ["inner/b.png", "one/a.png", "shown/c.png"]
    assert {name: entry.reason for name, entry in skipped(root).items()} == {
        ".hidden": SkipReason.CLUTTER,
        "alias": SkipReason.SYMLINK,
        "inner/loop": SkipReason.SYMLINK,
        "two": SkipReason.SYMLINK,
        "one/above": SkipReason.SYMLINK,
    }
    assert not any(entry.is_missed for entry in skipped(root).values())


def test_a_chain_of_linked_directories_ends(tmp_path):
    for number in range(12):
        make(tmp_path, f"{number}/{number}.png")
        (tmp_path / str(number) / "next").symlink_to(tmp_path / str(number + 1))
    (tmp_path / "12").mkdir()
    (missed,) = skipped(tmp_path / "0").values()
    assert missed.is_missed
    assert "more than 8 links" in missed.detail


def test_links_do_not_lead_into_foreign_directories(tmp_path):
    make(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    found = list(search(tmp_path / "a", (tmp_path / "a", tmp_path / "b")))
    assert [entry for entry in found if isinstance(entry, Path)] == [tmp_path / "a" / "1.png"]
    assert found[1].detail == "is a link to a directory of another source"


def test_a_directory_that_cannot_be_listed_is_missed(tmp_path, monkeypatch):
    make(tmp_path, "locked/a.png", "b.png")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (locked,) = skipped(tmp_path).values()
    assert (locked.reason, locked.is_missed) == (SkipReason.UNREADABLE, True)
    assert locked.detail == "cannot be listed: Permission denied"


def test_names_that_are_not_utf8_are_found(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"image")
    (found,) = search(tmp_path)
    assert os.fsencode(found.name) == b"caf\xe9.png"
