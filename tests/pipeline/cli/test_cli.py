import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.cli.main import build_parser, main

REPOSITORY = Path(__file__).resolve().parents[3]
COMMANDS = (
    *("sample", "prepare", "run", "serve", "predict", "import-weights", "demo", "evaluate"),
    *("sources", "describe", "ship"),
)


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
        (("predict", "a.png", "--model", "m", "--rest", "http://h"), "not allowed with"),
        (("predict", "a.png", "--rest", "http://h", "--version", "1", "--label", "stable"), "not allowed with"),
        (("predict", "a.png", "--rest", "http://h", "--concurrency", "many"), "--concurrency"),
        (("run", "demo.yaml", "--verb"), "--verb"),  # no abbreviations: scripts must survive new options
    ],
)
def test_bad_arguments_are_exit_code_2_and_named(capsys, arguments, named):
    code, out, err = answer(capsys, *arguments)
    assert (code, out) == (2, "")
    assert named in err
    assert "usage: genattr" in err


ASKING = (
    ("--model-name", "colours"),
    ("--version", "3"),
    ("--label", "stable"),
    ("--concurrency", "8"),
    ("--deadline", "5"),
    ("--tls-ca", "ca.pem"),
    ("--tls-cert", "own.pem"),
    ("--tls-key", "own.key"),
)


@pytest.mark.parametrize(("option", "value"), ASKING)
def test_how_a_server_is_asked_cannot_be_said_of_a_directory(capsys, option, value):
    code, out, err = answer(capsys, "predict", "a.png", "--model", "models", option, value)
    assert (code, out) == (2, "")
    assert f"{option}: says how a server is asked, but --model asks none" in " ".join(err.split())


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--concurrency", "0", "must be at least 1, got 0"),
        ("--deadline", "-1", "must be a number of seconds above 0"),
        ("--batch-size", "0", "must be 1 to 256, got 0"),
        ("--version", "-2", "must be 0 to"),
        ("--model-name", "a/b", "must be non-empty and without"),
        ("--tls-ca", "absent.pem", "absent.pem: is no file"),
        ("--tls-key", "absent.pem", None),
    ],
)
def test_a_wrong_word_about_a_server_is_refused_by_the_options_name(capsys, option, value, problem):
    code, out, err = answer(capsys, "predict", "a.png", "--rest", "http://127.0.0.1:9", f"{option}={value}")
    assert (code, out) == (2, "")
    wanted = f"{option}: {problem}" if problem else "--tls-cert: is missing"
    assert wanted in " ".join(err.split())


def test_what_is_said_about_a_server_reaches_the_client(monkeypatch, tmp_path, capsys):
    import serving.client
    from serving.client import ClientOptions, PredictionError

    asked = []

    def opened(**how):
        asked.append(how)
        raise PredictionError("UNAVAILABLE", "nobody there")

    monkeypatch.setattr(serving.client, "open_predictor", opened)
    image = tmp_path / "a.png"
    image.write_bytes(b"image")
    words = ("--model-name", "colours", "--label", "stable", "--concurrency", "8", "--deadline", "5")
    for given in ((*words, "--batch-size", "16"), ("--version", "3"), ()):
        code, _, _ = answer(capsys, "predict", str(image), "--rest", "http://127.0.0.1:9", *given)
        assert code == 1
    assert [how["options"] for how in asked] == [
        ClientOptions(model_name="colours", label="stable", concurrency=8, deadline=5.0, batch_size=16),
        ClientOptions(version=3),
        ClientOptions(),
    ]
    assert {how["rest"] for how in asked} == {"http://127.0.0.1:9"}


def test_help_says_the_clients_own_defaults(capsys):
    from serving.client import ClientOptions

    _, out, _ = answer(capsys, "predict", "--help")
    said = " ".join(out.split())
    for default in (ClientOptions.model_name, ClientOptions.concurrency, f"{ClientOptions.deadline:g}"):
        assert f"default {default})" in said
    assert f"images a request (default {ClientOptions.batch_size})" in said


def test_the_parser_imports_nothing_heavy():
    code = (
        "import sys; from pipeline.cli.parser import build_parser; build_parser(); "
        "print([name for name in ('tensorflow', 'grpc', 'aiohttp', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


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
    assert "--set: primary.epochs: must have the form" in err


def test_verbose_adds_the_traceback(configuration):
    """In a process of its own: logging is set up once in each."""
    command = [sys.executable, "-m", "pipeline.cli.main", "run", configuration(nmae=1), "--verbose"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "nmae: is not a key" in done.stderr
