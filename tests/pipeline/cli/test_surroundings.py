"""The command line in surroundings that other command lines stumbled over, each named by its public report."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import output
from pipeline.cli.main import main
from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.sources.registry import read_registry
from serving.errors import ServableError
from serving.servable.model import Servable
from serving.servable.versions import Version

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = f"PYTHONPATH={REPOSITORY} {sys.executable} -m pipeline.cli.main"
LAYOUTS = "sources list configs/demo.yaml --json"  # any command that prints, without TensorFlow


def shell(command: str, **values) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY, check=False, **values
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_a_scheduler_closed_are_no_error(closed, tmp_path):  # pixelb/crudini#67, treeverse/dvc#10041
    done = shell(f"{PROGRAM} predict nowhere.png --model {tmp_path} {closed}")
    assert done.returncode == 1
    assert "AttributeError" not in done.stderr
    assert ("nowhere.png: does not exist" in done.stderr) is ("2>&-" not in closed)


def test_no_file_takes_the_number_of_a_closed_stream():
    code = (
        "from pipeline.startup import open_standard_streams as o; o(); import os; f = open('/dev/null');"
        "os._exit(0 if f.fileno() > 2 else 1)"
    )
    assert shell(f'PYTHONPATH={REPOSITORY} {sys.executable} -c "{code}" <&- >&- 2>&-').returncode == 0


def test_a_full_standard_output_is_named_and_ends_with_one_line(tmp_path):  # openvax/mhctools#387
    done = shell(f"{PROGRAM} {LAYOUTS} --set output_root={tmp_path} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("genattr: standard output: No space left on device")
    assert len(done.stderr.splitlines()) == 1


def test_a_current_directory_that_was_removed_is_named(tmp_path):  # typesafehub/conductr-cli#502
    (tmp_path / "gone").mkdir()
    configuration = REPOSITORY / "configs" / "demo.yaml"
    done = shell(f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && {PROGRAM} run {configuration}")
    assert done.returncode in (1, 2)
    assert "the current directory was removed" in done.stderr


def test_an_image_is_not_written_over_by_the_output(tmp_path, capsys):  # dathere/qsv#4580
    image = tmp_path / "a.png"
    image.write_bytes(b"precious")
    (tmp_path / "link.png").symlink_to(image)
    for option in ("-o", "--counts"):
        arguments = ["predict", str(image), "--rest", "http://127.0.0.1:1", option, str(tmp_path / "link.png")]
        assert main(arguments) == 2
        assert "is the image" in capsys.readouterr().err
    assert image.read_bytes() == b"precious"


def test_forced_colours_bring_no_progress_into_a_log(monkeypatch):  # a8m/pb#82
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not output.is_watched(Console(file=io.StringIO()))
    monkeypatch.delenv("FORCE_COLOR")
    assert output.is_watched(Console(file=io.StringIO(), force_terminal=True))
    assert not output.is_watched(Console(file=io.StringIO()))


def test_a_terminal_that_cannot_move_its_cursor_shows_no_progress(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    leader, follower = os.openpty()
    with os.fdopen(leader), os.fdopen(follower, "w") as terminal:
        assert not output.is_watched(Console(file=terminal))
        monkeypatch.setenv("TERM", "xterm")
        assert output.is_watched(Console(file=terminal))


def test_a_value_that_is_null_in_yaml_is_explained():  # hydra-ecosystem/hydra#1647, snoyberg/yaml#192
    with pytest.raises(ConfigurationError, match=r"got None\. Write text; nothing, null and ~ stand for no value"):
        validate_config({"name": "demo", "data": {"dataset": "d"}, "output_root": None}, "demo.yaml")


def test_an_output_root_below_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    values = {"name": "demo", "data": {"dataset": "d"}, "output_root": str(tmp_path / "file" / "x")}
    with pytest.raises(ConfigurationError, match=r"output_root: .* lies below a file"):
        read_registry(validate_config(values, "demo.yaml"))


def test_a_servable_below_brackets_is_refused_with_the_fix(tmp_path):
    with pytest.raises(ServableError, match=r"holds '\[', which acts as a pattern"):
        Servable(Version(1, tmp_path / "models [new]" / "1"))
