"""The words of `genattr submit` and `genattr schedule`."""

import argparse
from pathlib import Path

import pytest

from pipeline.cli.kubeflow import add_schedule, add_submit

PLACE = ("faces.yaml", "--host", "https://kubeflow")


def parsed(*words):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    add_submit(commands)
    add_schedule(commands)
    return parser.parse_args(words)


def refused(capsys, *words):
    with pytest.raises(SystemExit) as exit_code:
        parsed(*words)
    assert exit_code.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def test_what_is_not_said_is_left_to_the_configuration():
    options = parsed("submit", *PLACE)
    assert (options.config, options.host, options.overrides) == (Path("faces.yaml"), "https://kubeflow", [])
    unsaid = ("span", "image", "run_name", "namespace", "experiment", "token_file", "authority")
    assert [getattr(options, name) for name in unsaid] == [None] * len(unsaid)
    assert not (options.wait or options.json or options.verbose)


@pytest.mark.parametrize("doing", ["--pause", "--resume", "--delete", "--list"])
def test_a_schedule_is_made_or_changed_not_both(capsys, doing):
    assert getattr(parsed("schedule", *PLACE, doing), doing.removeprefix("--"))
    assert "not allowed with argument --cron" in refused(capsys, "schedule", *PLACE, "--cron", "@daily", doing)


def test_a_schedule_needs_to_be_told_what_to_do(capsys):
    error = refused(capsys, "schedule", *PLACE)
    assert "one of the arguments --cron --pause --resume --delete --list is required" in error


@pytest.mark.parametrize("command", ["submit", "schedule"])
def test_the_cluster_must_be_named(capsys, command):
    assert "--host" in refused(capsys, command, "faces.yaml", *(["--list"] if command == "schedule" else []))


@pytest.mark.parametrize("command", [("submit",), ("schedule", "--list")])
def test_a_token_is_no_word_of_a_command(capsys, command):
    name, *doing = command
    assert "unrecognized arguments: --token secret" in refused(capsys, name, *PLACE, *doing, "--token", "secret")
