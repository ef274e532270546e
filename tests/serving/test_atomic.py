"""Content appears under its name whole or not at all, whatever happens to its writer."""

import errno
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving import atomic

KILLED = """
import os, signal, sys
from pathlib import Path
from serving import atomic
context = getattr(atomic, sys.argv[1])(Path(sys.argv[2]), **eval(sys.argv[3]))
with context as temporary:
    (temporary / "half" if temporary.is_dir() else temporary).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITERS = pytest.mark.parametrize(
    ("writer", "options"),
    [
        ("replace_file", {}),
        ("replace_file", {"sole_writer": True, "durable": True}),
        ("create_directory", {}),
        ("create_directory", {"sole_writer": True}),
        ("replace_directory", {}),
    ],
)


def fill(temporary: Path, text: str) -> None:
    (temporary / "text" if temporary.is_dir() else temporary).write_text(text)


def text_of(path: Path) -> str:
    return (path / "text" if path.is_dir() else path).read_text()


def write(writer: str, path: Path, text: str, options) -> None:
    with getattr(atomic, writer)(path, **options) as temporary:
        fill(temporary, text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@WRITERS
def test_content_appears_at_the_end_under_a_name_that_readers_ignore_until_then(tmp_path, writer, options):
    path = tmp_path / "content.jsonl"
    with getattr(atomic, writer)(path, **options) as temporary:
        fill(temporary, "new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".partial") and temporary.suffix == ".jsonl"
    assert text_of(path) == "new"
    assert names(tmp_path) == ["content.jsonl"]


@pytest.mark.parametrize("writer", ["replace_file", "replace_directory"])
def test_existing_content_is_replaced(tmp_path, writer):
    write(writer, tmp_path / "content", "old", {})
    write(writer, tmp_path / "content", "new", {})
    assert text_of(tmp_path / "content") == "new"
    assert names(tmp_path) == ["content"]


@WRITERS
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_removes_the_temporary_and_leaves_the_old_content(tmp_path, writer, options, failure):
    path, old = tmp_path / "content", writer.startswith("replace")
    if old:
        write(writer, path, "old", options)
    with pytest.raises(failure), getattr(atomic, writer)(path, **options) as temporary:
        fill(temporary, "new")
        raise failure
    assert names(tmp_path) == (["content"] if old else [])
    assert not old or text_of(path) == "old"


@WRITERS
def test_a_kill_leaves_the_old_content_and_the_next_writer_goes_on(tmp_path, writer, options):
    path, old = tmp_path / "content", writer.startswith("replace")
    if old:
        write(writer, path, "old", options)
    killed = subprocess.run([sys.executable, "-c", KILLED, writer, str(path), repr(options)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.exists() == old and (not old or text_of(path) == "old")
    assert [name[:8] for name in names(tmp_path) if name != "content"] == [".partial"]
    write(writer, path, "new", options)
    assert text_of(path) == "new"
    assert (names(tmp_path) == ["content"]) == bool(options.get("sole_writer"))


def test_of_two_writers_of_a_file_each_writes_all_of_it_and_the_last_one_wins(tmp_path):
    path = tmp_path / "content"
    with atomic.replace_file(path) as first:
        fill(first, "first")
        with atomic.replace_file(path) as second:
            fill(second, "second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert names(tmp_path) == ["content"]


def test_of_two_writers_of_a_directory_the_slower_one_is_refused_and_leaves_nothing(tmp_path):
    path = tmp_path / "content"
    with pytest.raises(OSError, match="not empty"), atomic.create_directory(path) as first:
        fill(first, "first")
        with atomic.create_directory(path) as second:
            fill(second, "second")
    assert text_of(path) == "second"
    assert names(tmp_path) == ["content"]


def test_a_reader_beside_many_writers_never_sees_half_a_file(tmp_path):
    path = tmp_path / "content"
    atomic.write_text(path, "0" * 100_000)

    def rewrite(digit: str) -> None:
        for _ in range(20):
            atomic.write_text(path, digit * 100_000)

    writers = [threading.Thread(target=rewrite, args=(str(digit),)) for digit in range(4)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    assert all(text == text[0] * 100_000 for text in seen)
    assert names(tmp_path) == ["content"]


def test_a_directory_whose_replacement_fails_is_put_back(tmp_path, monkeypatch):
    path = tmp_path / "content"
    write("replace_directory", path, "old", {})
    real = Path.replace

    def replace(self, target):
        if self.name.startswith(".partial") and not self.name.endswith(".replaced"):
            raise OSError("disk full")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="disk full"):
        write("replace_directory", path, "new", {})
    assert text_of(path) == "old"
    assert names(tmp_path) == ["content"]


def test_a_durable_file_is_on_the_disk_before_its_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    path, order = tmp_path / "content", []
    monkeypatch.setattr(atomic, "_synchronise", lambda synchronised: order.append((synchronised, path.exists())))
    with atomic.replace_file(path, durable=True) as temporary:
        temporary.write_text("new")
    assert order == [(temporary, False), (tmp_path, True)]
    write("replace_file", path, "new", {})
    assert len(order) == 2


def test_writing_text_makes_the_directory(tmp_path):
    atomic.write_text(tmp_path / "a" / "b" / "text", "ä")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == b"\xc3\xa4"


@pytest.mark.parametrize("write", [atomic.replace_file, atomic.create_directory, atomic.replace_directory])
def test_a_full_disk_is_named_with_the_path_and_nothing_is_left(write, tmp_path):
    target = tmp_path / "target"
    with pytest.raises(OSError) as error, write(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(target)
    assert not list(tmp_path.iterdir())


def test_other_errors_keep_their_name(tmp_path):
    with pytest.raises(ConnectionRefusedError) as error, atomic.create_directory(tmp_path / "target"):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert error.value.filename is None
