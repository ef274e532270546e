"""Lines of the log: what goes in comes out, and what is damaged is refused by name."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from serving.request_log.entries import MalformedLineError, parse_line
from tests.support.request_logs import HEAD, entries


def entry():
    (made,) = entries(1, seed=0, jpegs=1.0)
    return made


def line_with(**changes):
    return json.dumps(json.loads(entry().to_line()) | changes)


@pytest.mark.parametrize("digest", [None, "ab" * 32])
def test_a_line_reads_back(digest):
    written = replace(entry(), digest=digest)
    assert parse_line(written.to_line()) == written


def test_a_line_is_one_line_of_ascii_whatever_a_source_is_called():
    written = entry()
    written = replace(written, answer=replace(written.answer, verdict="pro\ngan\u2028\x1b[2J"))
    line = written.to_line()
    assert line.isascii()
    assert line.count("\n") == 1
    assert parse_line(line) == written


def test_the_time_is_utc_to_the_millisecond():
    written = replace(entry(), time=datetime(2026, 11, 25, 1, 2, 3, 456789, UTC))
    assert json.loads(written.to_line())["time"] == "2026-11-25T01:02:03.456Z"


def test_a_line_holds_no_bytes_of_the_image():
    assert set(json.loads(entry().to_line())) == {
        *("time", "model", "version", "fake_probability", "source_probabilities", "verdict"),
        *("format", "height", "width", "jpeg_quality", "bytes", "log_dct_bands"),
    }


def test_keys_of_later_releases_are_left_alone():
    assert parse_line(line_with(colour_mode="RGB")) == entry()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "is no JSON"),
        ('{"time": "2026-11-25T', "is no JSON"),
        ("[1]", "no JSON object but list"),
        ("{}", "lacks"),
        (line_with(height=-1), "height: must be a whole number"),
        (line_with(width=1.5), "width: must be a whole number"),
        (line_with(version="3"), "version: must be a whole number"),
        (line_with(verdict=None), "verdict: must be text"),
        (line_with(log_dct_bands=[1.0]), "log_dct_bands: must hold 8"),
        (line_with(log_dct_bands=[1.0] * 7 + [float("nan")]), "log_dct_bands: must be a number"),
        (line_with(fake_probability="high"), "high"),
        (line_with(source_probabilities={HEAD: True}), rf"source_probabilities\.{HEAD}: must be a number"),
        (line_with(time="yesterday"), "yesterday"),
    ],
)
def test_a_malformed_line_is_refused_by_name(line, reason):
    with pytest.raises(MalformedLineError, match=reason):
        parse_line(line)
