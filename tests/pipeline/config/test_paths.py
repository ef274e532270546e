"""Directories of a configuration: patterns are refused before anything starts, relative ones are explained."""

from pathlib import Path

import pytest

from pipeline.config.paths import place_of
from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.runs.dataset_check import require_dataset

VALUES = {"name": "demo", "data": {"dataset": "data/x"}, "output_root": "runs/x"}


@pytest.mark.parametrize("character", list("[]*?\\"))
@pytest.mark.parametrize("field", ["data.dataset", "output_root", "warm_start"])
def test_a_pattern_in_a_path_is_refused_with_field_character_and_fix(field, character):
    path = f"runs/a{character}b"
    change = {"data": {"dataset": path}} if field == "data.dataset" else {field: path}
    with pytest.raises(ConfigurationError) as error:
        validate_config({**VALUES, **change}, "demo.yaml")
    message = str(error.value)
    assert message.startswith(f"demo.yaml: {field}: must not hold '{character}'")
    assert f"got {path!r}. Rename the directory" in message


@pytest.mark.parametrize("field", ["data.dataset", "output_root", "warm_start"])
def test_a_home_that_nobody_has_is_refused_with_field_and_fix(field):
    path = "~nobody-of-this-name/x"
    change = {"data": {"dataset": path}} if field == "data.dataset" else {field: path}
    with pytest.raises(ConfigurationError, match=rf"demo\.yaml: {field}: '~nobody-of-this-name' must be") as error:
        validate_config({**VALUES, **change}, "demo.yaml")
    assert str(error.value).endswith(f"got {path!r}. Write the whole path, from / on.")


@pytest.mark.parametrize("field", ["data.dataset", "output_root", "warm_start"])
def test_a_pattern_in_the_current_directory_is_refused_as_well(tmp_path, monkeypatch, field):
    (tmp_path / "work [1]").mkdir()
    monkeypatch.chdir(tmp_path / "work [1]")
    absolute = {"data": {"dataset": "/data"}, "output_root": "/runs", "warm_start": "/earlier"}
    relative = {"data": {"dataset": "d"}, "output_root": "r", "warm_start": "w"}
    key = field.partition(".")[0]
    config = validate_config({**VALUES, **absolute, key: relative[key]}, "demo.yaml")
    with pytest.raises(ConfigurationError, match=rf"{field}: must not lie below .* holds '\[',"):
        require_dataset(config)


def test_other_characters_are_left_alone():
    path = "runs/ü {x} #1 (2), a;b~c%20'd'"
    assert validate_config({**VALUES, "output_root": path}, "demo.yaml").output_root == path


def test_a_message_says_what_a_relative_path_is_relative_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as error:
        require_dataset(validate_config(VALUES, "demo.yaml"))
    place = f"data/x (relative to the current directory, not to the configuration: {tmp_path / 'data/x'})"
    assert str(error.value).startswith(
        "data.dataset: data/x is not a folder. The path is relative to the current directory, not to the "
        f"configuration: {tmp_path / 'data/x'}. Make it with"
    )
    (tmp_path / "data" / "x").mkdir(parents=True)
    with pytest.raises(ConfigurationError) as error:
        require_dataset(validate_config(VALUES, "demo.yaml"))
    assert str(error.value).startswith(f"data.span: {place} has no span;")


def test_an_absolute_path_needs_no_explanation():
    assert place_of("/data/x") == "/data/x"
    assert place_of("~/x") == "~/x"
    assert str(Path("x").absolute()) in place_of("x")
