"""A breach starts one run, and not another before the cool-down is over."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.config.schema import validate_config
from pipeline.monitoring import trigger
from pipeline.monitoring.trigger import RunStarter, run_command

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Process:
    """A command that runs until told otherwise."""

    def __init__(self, command):
        self.command = command
        self.code = None

    def poll(self):
        return self.code


@pytest.fixture
def launched(monkeypatch):
    started = []

    def launch(command):
        started.append(Process(command))
        return started[-1]

    monkeypatch.setattr(trigger.subprocess, "Popen", launch)
    return started


@pytest.fixture
def config(tmp_path):
    values = {
        "name": "demo",
        "data": {"dataset": "data/demo"},
        "output_root": str(tmp_path / "out"),
        "monitoring": {"cooldown_hours": 6.0},
    }
    return validate_config(values, "demo.yaml")


def starter(config):
    return RunStarter(config, ["run", "demo.yaml"])


def test_a_breach_starts_the_pipeline_and_records_why(config, launched):
    started = starter(config).breached(["width"], NOW)
    assert started.reason == "started: genattr run demo.yaml"
    (process,) = launched
    assert process.command[1:] == ["-m", "pipeline.cli.main", "run", "demo.yaml"]
    record = json.loads((config.root / "monitoring" / "last_run.json").read_text())
    assert record == {"started": NOW.isoformat(), "columns": ["width"], "command": ["run", "demo.yaml"]}


@pytest.mark.parametrize(("hours", "runs"), [(5.9, 1), (6.1, 2)])
def test_no_other_is_started_before_the_cool_down_is_over_by_another_process_either(config, launched, hours, runs):
    starter(config).breached(["width"], NOW)
    outcome = starter(config).breached(["width"], NOW + timedelta(hours=hours))
    assert len(launched) == runs
    assert (outcome.process is None) == (runs == 1)
    if runs == 1:
        assert "the cool-down ends at 2026-11-25T18:00+00:00" in outcome.reason


def test_no_other_is_started_while_one_is_going_on(config, launched):
    one = starter(config)
    one.breached(["width"], NOW)
    later = NOW + timedelta(hours=20)
    assert "still going on" in one.breached(["width"], later).reason
    launched[0].code = 0
    assert one.breached(["width"], later).process is launched[1]


def test_a_run_that_could_not_be_started_begins_no_cool_down(config, launched, monkeypatch):
    def fail(command):
        raise OSError("cannot fork")

    with monkeypatch.context() as patch:
        patch.setattr(trigger.subprocess, "Popen", fail)
        with pytest.raises(OSError, match="cannot fork"):
            starter(config).breached(["width"], NOW)
    assert starter(config).breached(["width"], NOW).process is launched[0]


def test_a_damaged_record_counts_as_none(config, launched):
    (config.root / "monitoring").mkdir(parents=True)
    (config.root / "monitoring" / "last_run.json").write_text('{"star')
    assert starter(config).breached(["width"], NOW).process is launched[0]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("run", ["run", "a.yaml", "--set", "primary.epochs=2"]),
        ("submit", ["submit", "a.yaml", "--set", "primary.epochs=2", "--host", "http://kfp"]),
    ],
)
def test_commands_are_those_that_people_type(how, expected):
    from pipeline.cli.parser import build_parser

    command = run_command(how, Path("a.yaml"), ["primary.epochs=2"], ["--host", "http://kfp"])
    assert command == expected
    assert build_parser().parse_args(command).overrides == ["primary.epochs=2"]
