"""Logging on the client's side: what was answered is logged, and what was not is not."""

from dataclasses import replace

import pytest

from serving.client.answers import Answer
from serving.client.predict import predict_files
from serving.request_log import writer
from serving.request_log.client_log import client_log
from serving.request_log.options import RequestLogOptions
from serving.request_log.reading import logged_days, read_days
from tests.support.images import encode, noise


class Oracle:
    """Answers from the length of each image."""

    def predict(self, images, signature="serving_default"):
        return [Answer(len(image) % 10 / 10, {"progan_a": 0.25}, "real") for image in images]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(encode(noise(number, 20 + number, 20)))
    (tmp_path / "broken.png").write_bytes(b"no image")
    return [*paths, tmp_path / "broken.png"]


def logged(folder):
    return read_days(folder, logged_days(folder)).entries


def test_answered_files_are_logged_and_refused_ones_are_not(files, tmp_path):
    options = RequestLogOptions(tmp_path / "log", share=1.0)
    with client_log(options, "faces", 7, pytest.fail) as log:
        rows = list(predict_files(Oracle(), files, batch_size=2, on_answer=log))
    entries = logged(tmp_path / "log")
    assert [entry.image.height for entry in entries] == [20, 21, 22, 23]
    assert [entry.answer.fake_probability for entry in entries] == [row.fake_probability for row in rows[:4]]
    assert {(entry.answer.model, entry.answer.version) for entry in entries} == {("faces", 7)}
    assert rows[4].error is not None


def test_nothing_is_logged_unless_asked_for(files):
    with client_log(None, None, None, pytest.fail) as log:
        assert log is None


def test_rows_that_could_not_be_logged_are_told_at_the_end(files, tmp_path, monkeypatch):
    def fail(encoded):
        raise ValueError("cannot be measured")

    monkeypatch.setattr(writer, "measure", fail)
    told = []
    options = replace(RequestLogOptions(tmp_path / "log"), share=1.0)
    with client_log(options, None, None, told.append) as log:
        list(predict_files(Oracle(), files[:2], on_answer=log))
    assert told == [f"request log: 2 of 2 rows could not be logged in {tmp_path / 'log'}"]
