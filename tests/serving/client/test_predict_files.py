import csv
import io
import json
import os
import re
import threading
from pathlib import Path

import pytest

from pipeline.cli.predictions import WRITERS, write_csv, write_jsonl, write_table
from serving import contract
from serving.client import ClientOptions, open_predictor
from serving.client.answers import Answer, PredictionError
from serving.client.file_search import find
from serving.client.predict import Row, predict_files
from serving.client.wire_client import WireClient


@pytest.fixture
def folder(tmp_path, images, undecodable, make_image):
    contents = {
        "a_black.png": images[0],
        "b_empty.png": b"",
        "c_red.PNG": images[1],
        "d_truncated.png": undecodable,
        "e_text.jpg": b"this is no image, whatever its name says",
        "f_small.png": make_image((9, 9, 9), (2, 2)),
        "sub/g_orange.jpeg": make_image((255, 200, 0), (16, 16), "JPEG"),
        "notes.txt": b"not asked for",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture(params=["model", "grpc", "rest"])
def predictor(request, server, model_base):
    ways = {"model": {"model": model_base}, "grpc": {"grpc": server.grpc}, "rest": {"rest": server.rest}}
    with open_predictor(**ways[request.param]) as predictor:
        yield predictor


class Unnamed:
    """Refuses as TF Serving does: the whole batch, without saying which row."""

    def __init__(self, bad, code="INVALID_ARGUMENT"):
        self.bad, self.code, self.calls = bad, code, 0

    def predict(self, images, signature="serving_default"):
        self.calls += 1
        if any(image in self.bad for image in images):
            raise PredictionError(self.code, "Unknown image file format.")
        return [Answer(0.5, {}, "real") for _ in images]


def test_good_and_broken_files_each_get_their_row_in_order(predictor, folder):
    progress = []
    paths = find([folder]).images
    rows = list(predict_files(predictor, paths, 4, on_progress=lambda done, failed: progress.append((done, failed))))
    assert [row.path for row in rows] == paths
    assert [(row.path.name, row.verdict) for row in rows if row.error is None] == [
        ("a_black.png", "real"),
        ("c_red.PNG", "contradiction"),
        ("g_orange.jpeg", "progan_red"),
    ]
    errors = {row.path.name: row.error for row in rows if row.error is not None}
    assert "is empty" in errors["b_empty.png"]
    assert "is no JPEG" in errors["e_text.jpg"]
    assert errors["f_small.png"] == "image is too small"
    assert errors["d_truncated.png"]
    assert progress == [(4, 2), (7, 4)]


def test_a_server_that_names_no_row_is_asked_by_halves(folder, images, make_image):
    for number in range(32):
        (folder / f"x{number:02}.png").write_bytes(make_image((number, 0, 0)))
    paths = sorted(folder.glob("x*.png"))
    predictor = Unnamed(bad=[paths[5].read_bytes(), paths[20].read_bytes()])
    rows = list(predict_files(predictor, paths))
    assert [row.path.name for row in rows if row.error] == ["x05.png", "x20.png"]
    assert predictor.calls < 32 / 2 + 4


def test_trouble_that_is_not_an_images_ends_the_run(folder, images):
    with pytest.raises(PredictionError, match="UNAVAILABLE"):
        list(predict_files(Unnamed(images, "UNAVAILABLE"), [folder / "a_black.png"]))


def test_a_file_that_vanishes_or_cannot_be_read_is_an_error_of_its_own(folder, images):
    os.mkfifo(folder / "pipe.png")  # reading it would wait for ever
    rows = list(predict_files(Unnamed([]), [folder / "gone.png", folder / "a_black.png", folder / "pipe.png"]))
    assert [row.verdict for row in rows] == [None, "real", None]
    assert "No such file" in rows[0].error
    assert rows[2].error == "is not a regular file"


def test_a_file_above_the_limit_is_not_even_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as sparse:
        sparse.truncate(40 * 1024 * 1024)
    (row,) = predict_files(Unnamed([]), [tmp_path / "huge.png"])
    assert "41,943,040 bytes, above the limit" in row.error


class Together(WireClient):
    """Answers only when so many requests are in flight as may be."""

    def __init__(self, concurrency):
        super().__init__("nowhere", ClientOptions(concurrency=concurrency))
        self.all_there = threading.Barrier(concurrency, timeout=20)
        self.lock = threading.Lock()
        self.in_flight = self.most_in_flight = 0

    def _predict_once(self, images, signature, deadline, call):
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.all_there.wait()
        with self.lock:
            self.in_flight -= 1
        return [Answer(0.5, {}, "real") for _ in images]

    def _versions_once(self, deadline, call):
        return []

    def _close_connections(self):
        self.all_there.abort()


@pytest.mark.parametrize("concurrency", [2, 5])
def test_as_many_requests_are_in_flight_as_the_client_allows_and_no_more(tmp_path, images, concurrency):
    for number in range(4 * concurrency):
        (tmp_path / f"{number:02}.png").write_bytes(images[0])
    with Together(concurrency) as predictor:
        rows = list(predict_files(predictor, find([tmp_path]).images, batch_size=1))
    assert [row.path.name for row in rows] == [f"{number:02}.png" for number in range(4 * concurrency)]
    assert predictor.most_in_flight == concurrency


def test_batch_size_is_checked_before_anything_is_read():
    with pytest.raises(ValueError, match="batch_size: must be 1 to 256, got 0"):
        predict_files(Unnamed([]), [], batch_size=0)


def test_find_sorts_folders_keeps_named_files_and_repeats_none(folder):
    found = find([folder / "notes.txt", folder, folder / "a_black.png"]).images
    assert [path.name for path in found] == [
        "notes.txt",
        "a_black.png",
        "b_empty.png",
        "c_red.PNG",
        "d_truncated.png",
        "e_text.jpg",
        "f_small.png",
        "g_orange.jpeg",
    ]


def test_find_refuses_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png: does not exist"):
        find([tmp_path / "nowhere.png"])
    with pytest.raises(ValueError, match="holds no image"):
        find([tmp_path])


ROWS = [
    Row(Path("bad, file.png"), error="is empty"),
    Row(Path("a.png"), Answer(0.75, {"progan_x": 0.9, "sngan_y": 0.125}, "progan_x")),
    Row(Path("b.png"), Answer(0.1, {"progan_x": 0.0, "sngan_y": 0.2}, "real")),
]


def test_jsonl_is_one_object_a_row_and_error_only_where_there_is_one():
    stream = io.StringIO()
    write_jsonl(ROWS, stream)
    bad, good, _ = map(json.loads, stream.getvalue().splitlines())
    assert bad == {
        "path": "bad, file.png",
        "verdict": None,
        "fake_probability": None,
        "source_probabilities": {},
        "error": "is empty",
    }
    assert good == {
        "path": "a.png",
        "verdict": "progan_x",
        "fake_probability": 0.75,
        "source_probabilities": {"progan_x": 0.9, "sngan_y": 0.125},
    }


def test_csv_has_a_column_a_source_even_if_the_first_row_is_an_error():
    stream = io.StringIO()
    write_csv(ROWS, stream)
    table = list(csv.reader(io.StringIO(stream.getvalue())))
    assert table == [
        ["path", "verdict", "fake_probability", "progan_x", "sngan_y", "error"],
        ["bad, file.png", "", "", "", "", "is empty"],
        ["a.png", "progan_x", "0.75", "0.9", "0.125", ""],
        ["b.png", "real", "0.1", "0.0", "0.2", ""],
    ]


def test_csv_of_nothing_but_errors_still_has_its_header():
    stream = io.StringIO()
    write_csv(ROWS[:1], stream)
    assert stream.getvalue() == 'path,verdict,fake_probability,error\n"bad, file.png",,,is empty\n'


def test_csv_refuses_a_source_that_has_no_column():
    with pytest.raises(ValueError, match="the model changed"):
        write_csv([ROWS[1], Row(Path("c"), Answer(0.1, {"new": 0.1}, "real"))], io.StringIO())


def test_table_names_each_file_with_its_verdict_and_counts_them():
    stream = io.StringIO()
    long_path = Path("x" * 300 + "[bold].png")
    write_table([*ROWS, Row(long_path, Answer(0.9, {}, "unknown_generator"))], stream)
    lines = stream.getvalue().splitlines()
    assert any("a.png" in line and "progan_x 0.900" in line and "0.750" in line for line in lines)
    assert any("bad, file.png" in line and "is empty" in line for line in lines)
    assert any(str(long_path) in line for line in lines)  # neither folded nor read as markup
    assert lines[-1].startswith("4 images: ")
    assert set(WRITERS) == {"table", "csv", "jsonl"}


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_long_reason_does_not_fold_the_names_into_columns_of_letters(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = _Terminal()
    write_table([Row(Path("holiday/a.png"), error="cannot be read: " + "for a long reason " * 5), *ROWS], stream)
    assert "holiday/a.png" in stream.getvalue()


def test_on_a_terminal_every_verdict_that_names_no_source_has_a_colour_of_its_own(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colours = set()
    for verdict in (*contract.RESERVED_VERDICTS, "progan_x"):
        stream = _Terminal()
        write_table([Row(Path("a"), Answer(0.5, {}, verdict))], stream)
        colours |= set(re.findall(rf"\x1b\[(\d+)m{verdict}", stream.getvalue()))
    assert len(colours) == len(contract.RESERVED_VERDICTS) + 1
