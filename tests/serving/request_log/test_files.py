"""Files of a log: by day and process, rotated, bounded, and safe with several writers."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from serving.request_log import files
from serving.request_log.files import LogFiles, log_files
from serving.request_log.options import RequestLogOptions
from serving.request_log.reading import logged_days, read_days
from tests.support.request_logs import entries, write_day

ROOT = Path(__file__).resolve().parents[3]
DAY = date(2026, 11, 25)


def lines(count, seed=0):
    return [entry.to_line() for entry in entries(count, seed)]


def written(folder):
    return [path for paths in log_files(folder).values() for path in paths]


def test_a_file_that_is_full_is_followed_by_the_next(tmp_path):
    log = LogFiles(RequestLogOptions(tmp_path, max_file_bytes=2000))
    for line in lines(20):
        log.append(line)
    log.close()
    paths = written(tmp_path)
    assert len(paths) > 2
    assert all(path.stat().st_size < 2000 + 1000 for path in paths)  # a file ends with the line that filled it
    assert "".join(path.read_text() for path in paths) == "".join(lines(20))


def test_each_day_has_files_of_its_own(tmp_path, monkeypatch):
    log = LogFiles(RequestLogOptions(tmp_path))

    class Clock:
        now = staticmethod(lambda _: Clock.today)

    for day in (24, 25):
        Clock.today = files.datetime(2026, 11, day, tzinfo=files.UTC)
        with monkeypatch.context() as patch:
            patch.setattr(files, "datetime", Clock)
            log.append(lines(1)[0])
    log.close()
    assert list(log_files(tmp_path)) == [date(2026, 11, 24), date(2026, 11, 25)]


def test_the_oldest_files_go_when_the_folder_is_full_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("x" * 50_000)
    old = [write_day(tmp_path, date(2026, 11, day), entries(20, day)) for day in (1, 2, 3)]
    for age, path in zip((30, 20, 10), old, strict=True):
        os.utime(path, (path.stat().st_mtime - age, path.stat().st_mtime - age))
    limit = old[2].stat().st_size + 5000
    log = LogFiles(RequestLogOptions(tmp_path, max_folder_bytes=limit))
    log.append(lines(1)[0])
    log.close()
    assert [path.exists() for path in old] == [False, False, True]
    assert (tmp_path / "notes.txt").exists()


def test_a_file_that_somebody_removed_is_made_anew(tmp_path):
    log = LogFiles(RequestLogOptions(tmp_path))
    log.append(lines(1)[0])
    written(tmp_path)[0].unlink()
    log.append(lines(1)[0])
    log.close()
    assert [path.read_text() for path in written(tmp_path)] == lines(1)


def test_a_line_that_a_killed_process_left_unfinished_spoils_no_other(tmp_path):
    log = LogFiles(RequestLogOptions(tmp_path))
    log.append(lines(1)[0])
    log.close()
    (path,) = written(tmp_path)
    with path.open("a") as stream:
        stream.write('{"time": "2026-')
    again = LogFiles(RequestLogOptions(tmp_path))
    again.append(lines(1, seed=1)[0])
    again.close()
    read = read_days(tmp_path, logged_days(tmp_path))
    assert (read.rows, read.malformed) == (2, 1)
    assert read.examples[0].startswith(f"{path.name}:2: is no JSON")


def test_two_processes_share_a_folder(tmp_path):
    code = (
        "from pathlib import Path\n"
        "from serving.request_log.files import LogFiles\n"
        "from serving.request_log.options import RequestLogOptions\n"
        "from tests.support.request_logs import entries\n"
        f"log = LogFiles(RequestLogOptions(Path({str(tmp_path)!r}), max_file_bytes=20_000))\n"
        "for entry in entries(200, seed=0):\n    log.append(entry.to_line())\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    read = read_days(tmp_path, logged_days(tmp_path))
    assert (read.rows, read.malformed) == (400, 0)
    assert len({path.name.split("-")[-2] for path in written(tmp_path)}) == 2


def test_lines_of_writers_with_the_same_name_do_not_mix(tmp_path):
    """As in containers, where every server is process 1, and hosts may be called alike."""
    logs = [LogFiles(RequestLogOptions(tmp_path, max_file_bytes=5000)) for _ in range(2)]
    for number, line in enumerate(lines(50)):
        logs[number % 2].append(line)
    for log in logs:
        log.close()
    read = read_days(tmp_path, logged_days(tmp_path))
    assert (read.rows, read.malformed) == (50, 0)


def test_images_are_kept_once_by_their_digest_and_the_oldest_go(tmp_path):
    log = LogFiles(RequestLogOptions(tmp_path, keep_images=True, max_images_bytes=2500))
    for age, name in enumerate("abcab"):
        log.keep(name, "PNG", name.encode() * 1000)
        path = tmp_path / "images" / f"{name}.png"
        os.utime(path, (path.stat().st_mtime - 100 + age, path.stat().st_mtime - 100 + age))
    log.close()
    kept = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert len(kept) == 2
    assert sum(path.stat().st_size for path in (tmp_path / "images").iterdir()) <= 2500


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        LogFiles(RequestLogOptions(tmp_path / "file" / "log"))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_cannot_be_is_refused(tmp_path, share):
    with pytest.raises(ValueError, match=r"^share: must be above 0 and at most 1"):
        RequestLogOptions(tmp_path, share)


def test_malformed_lines_are_counted_and_shown_and_the_others_are_read(tmp_path):
    path = write_day(tmp_path, DAY, entries(5, 0))
    with path.open("a") as stream:
        stream.write("{}\nnonsense\n\n" + lines(1)[0] + '{"cut off')
    read = read_days(tmp_path, [DAY])
    assert (read.rows, read.malformed) == (6, 2)
    assert read.examples[0] == f"{path.name}:6: lacks height"


def test_more_rows_than_asked_for_are_sampled_evenly(tmp_path):
    write_day(tmp_path, DAY, entries(300, 0, version=1), "host-1")
    write_day(tmp_path, DAY, entries(100, 1, version=2), "host-2")
    read = read_days(tmp_path, [DAY], most=200)
    assert (read.rows, len(read.entries)) == (400, 200)
    # Binomial, 150 expected, standard deviation about 4.3 without replacement.
    assert 130 < sum(entry.answer.version == 1 for entry in read.entries) < 170


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: is not a directory"):
        logged_days(tmp_path / "nowhere")
