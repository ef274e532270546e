"""A report comes out of any state, and the run's own error is the last word."""

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import output
from pipeline.cli.main import guarded
from pipeline.cli.run import _print_outcome, outcome_values
from pipeline.config.schema import validate_config
from pipeline.report.data import NodeRun
from pipeline.runs import local, report_parts, reporting
from pipeline.runs.local import run_alone
from pipeline.runs.report_parts import Parts
from pipeline.startup import quiet_libraries


class Listener:
    def node_started(self, node):
        pass

    def node_ended(self, node, state, seconds):
        pass


class NoPipeline:
    components = ()


@pytest.fixture
def config(tmp_path):
    values = {"name": "demo", "data": {"dataset": str(tmp_path / "d")}, "output_root": str(tmp_path / "runs")}
    return validate_config({**values, "sources": ["gan_a"]}, "demo.yaml")


@pytest.fixture
def failing(monkeypatch, config):
    """A run that fails with a library's message full of image data."""

    class Fails:
        def __init__(self, launches):
            launches.record.run_id = "run-1"
            launches.record.failure = ("Transform", RuntimeError(f"Invalid PNG data: {'ff d8 ' * 30_000}"))

        def run(self, pipeline):
            raise RuntimeError("what Beam makes of it")

    monkeypatch.setattr(local, "create_pipeline", lambda config, models: NoPipeline())
    monkeypatch.setitem(local.RUNNERS, "beam", Fails)
    return lambda: run_alone(config, {}, "beam", Listener())


def broken(*_args, **_kwargs):
    raise OSError(5, "Input/output error")


GATHERERS = [
    "model_report", "_data_report", "_confusion", "copies_reports", "_open_set", "library_versions", "digests",
    "_baselines", "read_run",
]  # fmt: skip


@pytest.mark.parametrize("gatherer", GATHERERS)
def test_a_part_that_cannot_be_made_is_named_and_the_error_of_the_run_stays(failing, monkeypatch, gatherer):
    monkeypatch.setattr(reporting, gatherer, broken)
    outcome = failing()
    assert isinstance(outcome.error, RuntimeError)
    assert outcome.report.message.startswith("Transform: RuntimeError: Invalid PNG data")
    assert any("could not be made: OSError: [Errno 5] Input/output error" in part for part in outcome.report.missing)
    text = outcome.report_path.read_text()
    assert "Missing in this report: " in text
    assert "Transform: RuntimeError: Invalid PNG data" in text
    assert outcome_values(outcome)["missing"] == list(outcome.report.missing)


def test_a_report_of_which_nothing_can_be_shown_does_not_hide_the_error(failing, monkeypatch):
    monkeypatch.setattr(report_parts, "write_report", lambda report, path: {}["page"])
    outcome = failing()
    assert outcome.unwritten.startswith("report: could not be made: KeyError")
    assert isinstance(outcome.error, RuntimeError)


def test_only_the_part_at_fault_is_left_out(failing, monkeypatch, tmp_path):
    report = failing().report
    written = []

    def write(given, path):
        if given.copies:
            raise ValueError("copies are unfit")
        written.append(given)

    monkeypatch.setattr(report_parts, "write_report", write)
    whole = replace(report, copies=("something",), open_set="kept")
    lesser = report_parts.write_what_can_be_shown(whole, tmp_path / "report.html")
    assert written == [lesser]
    assert (lesser.copies, lesser.open_set) == ((), "kept")
    assert lesser.missing[-1] == "perturbed copies: could not be made: ValueError: copies are unfit"


def test_the_cause_is_the_last_line_and_holds_no_image(failing, monkeypatch, capsys):
    monkeypatch.setattr(reporting, "library_versions", broken)
    _print_outcome(failing())
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("failed Transform: RuntimeError: Invalid PNG data")
    assert len(lines[-1]) < 3000
    assert any(line.startswith("missing in the report: versions of libraries") for line in lines)


def test_a_report_that_cannot_be_written_does_not_hide_the_error(failing, config, monkeypatch, capsys):
    monkeypatch.setattr(local, "write_run_report", broken)
    outcome = failing()
    assert isinstance(outcome.error, RuntimeError)
    _print_outcome(outcome)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("report: could not be made: OSError")
    assert lines[-1].startswith("failed Transform: RuntimeError")
    assert outcome_values(outcome)["report"] is None


def test_a_damaged_metadata_store_still_gives_a_report(failing, config, monkeypatch):
    monkeypatch.setattr(local, "create_store", lambda config: None)
    config.metadata_path.parent.mkdir(parents=True)
    config.metadata_path.write_bytes(b"no database at all" * 1000)
    outcome = failing()
    assert outcome.report_path.is_file()
    assert outcome.report.missing[0].startswith("records of the run: could not be made")


def test_logs_of_libraries_are_brief_and_have_no_traceback():
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [logging.StreamHandler(stream)]
    try:
        quiet_libraries(verbose=False)
        try:
            raise ValueError("inner")
        except ValueError:
            logging.getLogger("apache_beam").exception("Error processing instruction: \x1b[2J %s", "ff d8 " * 30_000)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert len(stream.getvalue()) < 3000
    assert "Traceback" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_an_unexpected_error_is_brief_as_well(capsys):
    import argparse

    def body(_options):
        raise RuntimeError(f"Invalid PNG data: {'ff d8 ' * 30_000} the end")

    options = argparse.Namespace(verbose=False, parser=argparse.ArgumentParser())
    assert guarded(body, options) == output.FAILED
    lines = capsys.readouterr().err
    assert len(lines) < 10_000
    assert "test_reports_of_failed_runs.py" in lines
    assert lines.splitlines()[-1].startswith("genattr: Invalid PNG data")
    with pytest.raises(RuntimeError):
        guarded(body, argparse.Namespace(verbose=True, parser=argparse.ArgumentParser()))


def test_parts_keep_what_can_be_made():
    parts = Parts()
    assert parts.make("sum", 0, sum, [1, 2]) == 3
    assert parts.make("file", None, Path("/nowhere/at/all").read_text) is None
    assert parts.missing == ["file: could not be made: FileNotFoundError: [Errno 2] No such file or directory: "
                             "'/nowhere/at/all'"]  # fmt: skip


def test_nodes_that_did_not_run_are_in_the_report(config):
    report = reporting.build_report(config, "", [NodeRun("Pusher", "not run", None)], "failed", "why")
    assert report.nodes[0].state == "not run"
    assert not report.missing
