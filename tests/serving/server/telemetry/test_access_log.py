"""The access log: a line of JSON for each request, whatever a client sends."""

import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from serving.server.telemetry.access_log import AccessLog


@pytest.fixture
def written():
    """What a log file gets from the access log alone."""
    logger = logging.getLogger("serving.access")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def only_line(written):
    (line,) = written.getvalue().splitlines()
    return json.loads(line)


def test_a_line_says_who_asked_what_and_what_was_answered(written):
    log = AccessLog("grpc", "ipv4:127.0.0.1:40404", "Predict")
    log.finish("OK", model="faces", version=3, signature="explain", rows=8, request_bytes=4096)
    line = only_line(written)
    milliseconds, time = line.pop("milliseconds"), line.pop("time")
    assert line == {
        "protocol": "grpc",
        "peer": "ipv4:127.0.0.1:40404",
        "request": "Predict",
        "model": "faces",
        "version": 3,
        "signature": "explain",
        "rows": 8,
        "code": "OK",
        "request_bytes": 4096,
    }
    assert 0 <= milliseconds < 60_000
    assert time.endswith("Z")
    assert datetime.now(UTC) - datetime.fromisoformat(time) < timedelta(minutes=1)


def test_what_is_not_known_is_left_out_and_zero_is_not(written):
    AccessLog("rest", "127.0.0.1", "POST /v1/models/faces:predict").finish("400", "batch: empty", rows=0)
    line = only_line(written)
    assert line["rows"] == 0
    assert line["error"] == "batch: empty"
    assert not {"model", "version", "signature", "request_bytes"} & set(line)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\N{LINE SEPARATOR}"])
def test_nothing_that_a_client_sends_begins_a_new_line(written, end):
    forged = f'GET /{end}{{"code": "200"}}'
    AccessLog("rest", "127.0.0.1", forged).finish("404", forged, model=forged)
    assert only_line(written)["request"] == forged


def test_a_terminal_is_not_changed_by_a_line(written):
    AccessLog("rest", "127.0.0.1", "GET /\x1b[2J\x07\x9b\ud800").finish("404")
    assert written.getvalue().rstrip("\n").isprintable()
    assert written.getvalue().isascii()


def test_the_length_of_a_line_is_bounded(written):
    long = "\N{SNOWMAN}" * 1_000_000
    AccessLog("rest", long, long).finish("400", long, model=long, signature=long)
    assert len(written.getvalue()) < 10_000
    assert only_line(written)["error"] == "\N{SNOWMAN}" * 256 + "..."


def test_raising_the_loggers_level_turns_it_off(written):
    logging.getLogger("serving.access").setLevel(logging.WARNING)
    AccessLog("grpc", "ipv4:127.0.0.1:1", "Predict").finish("OK")
    assert written.getvalue() == ""
