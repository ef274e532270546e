import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.cli import build_parser, main

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = ("sample", "prepare", "run", "serve", "predict", "import-weights", "demo", "evaluate")


def answer(capsys, *arguments: str) -> tuple[int, str, str]:
    """Runs a command in this process: exit code, standard output, standard error."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def configuration(tmp_path):
    values = {"name": "demo", "data": {"dataset": str(tmp_path / "data")}, "output_root": str(tmp_path / "runs")}

    def write(**changes):
        path = tmp_path / "demo.yaml"
        path.write_text(yaml.safe_dump(values | changes))
        return str(path)

    return write


def test_help_names_every_command(capsys):
    code, out, _ = answer(capsys, "--help")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("    ") and line.strip()]
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example_of_it(capsys, command):
    code, out, err = answer(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert f"example:\n  genattr {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_a_command_is_one_that_it_accepts(capsys, command):
    _, out, _ = answer(capsys, command, "--help")
    words = out.partition("example:\n  genattr ")[2].splitlines()[0].split()
    assert build_parser().parse_args(words).command == command


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "demo.yaml", "--bogus"), "--bogus"),
        (("run", "demo.yaml", "--runner", "spark"), "spark"),
        (("run",), "CONFIG"),
        (("paint",), "paint"),
        ((), "COMMAND"),
        (("prepare", "images", "out", "--train", "many"), "must be a number of images"),
        (("predict", "a.png"), "--model --grpc --rest"),
        (("predict", "a.png", "--model", "m", "--rest", "http://h"), "not allowed with"),
        (("run", "demo.yaml", "--verb"), "--verb"),  # no abbreviations: scripts must survive new options
    ],
)
def test_bad_arguments_are_exit_code_2_and_named(capsys, arguments, named):
    code, out, err = answer(capsys, *arguments)
    assert (code, out) == (2, "")
    assert named in err
    assert "usage: genattr" in err


def test_a_share_with_a_point_is_a_fraction_and_without_one_a_count():
    options = build_parser().parse_args(["prepare", "i", "o", "--train", "200", "--eval", "0.25"])
    assert (options.train, options.eval, options.test) == (200, 0.25, 0.2)
    assert (type(options.train), type(options.eval)) == (int, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": 1}, "nmae: is not a key"),
        ({"primary": {"epochs": 0}}, "primary.epochs: must be"),
        ({"sources": ["a", "a"]}, "a is repeated"),
        ({}, "data.dataset: "),  # a valid configuration whose dataset is not there
    ],
)
def test_a_bad_configuration_is_exit_code_2_and_a_message_on_standard_error(capsys, configuration, changes, message):
    code, out, err = answer(capsys, "run", configuration(**changes))
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_configuration_that_is_not_there_is_exit_code_2(capsys, tmp_path):
    code, _, err = answer(capsys, "run", str(tmp_path / "absent.yaml"))
    assert code == 2
    assert "absent.yaml: cannot be read" in " ".join(err.split())


def test_a_bad_override_is_exit_code_2_and_named(capsys, configuration):
    code, _, err = answer(capsys, "run", configuration(), "--set", "primary.epochs")
    assert code == 2
    assert "--set primary.epochs: must have the form" in err


def test_verbose_adds_the_traceback(configuration):
    """In a process of its own: logging is set up once in each."""
    command = [sys.executable, "-m", "pipeline.cli", "run", configuration(nmae=1), "--verbose"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "nmae: is not a key" in done.stderr
