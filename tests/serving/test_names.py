"""Names as text: for a terminal, for a spreadsheet, and back."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from serving.names import printable, safe_text, shortened, spreadsheet_path, spreadsheet_text

NAMES = [
    b"plain.png", "Grüße 写真.png".encode(), b"caf\xe9.png", b"red\x1b[31m.png", b"two\nlines.png", b"tab\t.png",
    b"back\\slash.png", b"back\\nslash.png", b"bell\x07\x7f.png", "csi\u009b31m.png".encode(),
    "right\u202eto left.png".encode(), "line\u2028.png".encode(), "family \U0001f468\u200d\U0001f469.png".encode(),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_for_people_is_one_printable_line_that_a_shell_reads_back(name):
    shown = printable(os.fsdecode(name))
    shown.encode("utf-8")
    assert shown.replace("\u200d", "").isprintable()
    read_back = subprocess.run(["bash", "-c", f"printf %s $'{shown}'"], capture_output=True, check=True).stdout
    assert read_back == name


def test_names_that_differ_are_shown_differently():
    assert len({printable(os.fsdecode(name)) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_json_keeps_every_byte_of_a_name(name):
    assert os.fsencode(json.loads(json.dumps(os.fsdecode(name)))) == name


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-dash.png", "@at.png"])
def test_a_path_in_a_cell_is_no_formula_and_names_the_same_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    cell = spreadsheet_path(name)
    assert cell == f"./{name}"
    assert Path(cell).samefile(name)
    assert spreadsheet_path(f"photos/{name}") == f"photos/{name}"


def test_any_other_text_that_would_be_a_formula_begins_with_an_apostrophe():
    assert spreadsheet_text("=cmd|' /C calc'!A0") == "'=cmd|' /C calc'!A0"
    assert spreadsheet_text("is empty") == "is empty"


def test_a_message_keeps_its_lines_and_loses_its_control_characters():
    assert safe_text("a:\n\tb \x1b[2J\x07 c\\d") == "a:\n\tb \\x1b[2J\\x07 c\\d"


def test_a_long_message_keeps_both_ends():
    text = shortened("start" + "x" * 150_000 + "end", most=100)
    assert len(text) < 160
    assert text.startswith("startx")
    assert text.endswith("xend")
    assert "149,908 characters left out" in text
    assert shortened("short") == "short"
