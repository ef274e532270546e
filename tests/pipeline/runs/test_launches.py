"""Nodes run in order by both runners, and what happens to them is recorded; nothing of TFX or Beam is patched."""

import re
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import StandardOptions
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.portable import launcher, runtime_parameter_utils

from components.errors import StepRefusedError
from pipeline.runs.launches import Launches, NodeNotRunError
from pipeline.runs.runners import RUNNERS
from tests.support.nodes import FAIL, two_nodes

BOTH = pytest.mark.parametrize("runner", ["beam", "local"])


class Listener:
    """Keeps what it hears."""

    def __init__(self):
        self.heard = []

    def node_started(self, node):
        self.heard.append(node)

    def node_ended(self, node, state, seconds):
        assert seconds > 0
        self.heard.append((node, state))


class Rules:
    """Refuses executions of one node and the cache of another."""

    def __init__(self, refused="", uncached=""):
        self.refused, self.uncached, self.asked = refused, uncached, []

    def before_execution(self, node, inputs):
        if node == self.refused:
            raise StepRefusedError(f"{node} with {sorted(inputs)} is refused")

    def may_be_cached(self, node, run_id, store):
        names = [context.name for context in store.get_contexts_by_type("pipeline_run")]
        self.asked.append((node, run_id, run_id in names))
        return node != self.uncached


def run(root, runner, text="a", rules=None):
    """Runs Make -> Copy once; returns the record, what the listener heard, and the exception if any."""
    listener = Listener()
    launches = Launches(listener, rules)
    error = None
    try:
        RUNNERS[runner](launches).run(two_nodes(root, text))
    except Exception as raised:
        error = raised
    return launches.record, listener.heard, error


def executed(root: Path) -> list[str]:
    return (root / "log").read_text().split() if (root / "log").exists() else []


@BOTH
def test_nodes_are_executed_in_order_then_come_from_the_cache(tmp_path, runner):
    record, heard, error = run(tmp_path, runner)
    assert error is None and record.failure is None
    assert heard == ["Make", ("Make", "executed"), "Copy", ("Copy", "executed")]
    assert record.states == {"Make": "executed", "Copy": "executed"}
    assert record.seconds.keys() == record.states.keys()
    record, heard, _ = run(tmp_path, runner)
    assert heard == ["Make", ("Make", "cached"), "Copy", ("Copy", "cached")]
    assert executed(tmp_path) == ["make", "copy"]


@pytest.mark.parametrize(
    ("runner", "form"), [("beam", r"\d{8}-\d{6}\.\d{6}"), ("local", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")]
)
def test_a_runs_identifier_has_the_form_of_tfxs_runner(tmp_path, runner, form):
    assert re.fullmatch(form, run(tmp_path, runner)[0].run_id)


@BOTH
def test_the_first_failure_is_recorded_and_no_later_node_starts(tmp_path, runner):
    record, heard, error = run(tmp_path, runner, text=FAIL)
    assert error is not None
    node, cause = record.failure
    assert (node, type(cause), str(cause)) == ("Make", ValueError, "asked to fail")
    assert heard == ["Make", ("Make", "failed")]
    assert record.states == {"Make": "failed"}


@BOTH
def test_rules_stop_a_node_before_it_is_executed(tmp_path, runner):
    record, heard, _ = run(tmp_path, runner, rules=Rules(refused="Copy"))
    node, cause = record.failure
    assert (node, str(cause)) == ("Copy", "Copy with ['made'] is refused")
    assert heard[-1] == ("Copy", "failed")
    assert executed(tmp_path) == ["make"]


@BOTH
def test_rules_keep_a_node_out_of_the_cache(tmp_path, runner):
    run(tmp_path, runner)
    rules = Rules(uncached="Copy")
    record, _, _ = run(tmp_path, runner, rules=rules)
    assert record.states == {"Make": "cached", "Copy": "executed"}
    # The first node is asked about before the run is known to the metadata store.
    assert rules.asked == [("Make", record.run_id, False), ("Copy", record.run_id, True)]


@BOTH
def test_neither_tfxs_launcher_nor_beams_default_runner_is_replaced(tmp_path, runner, monkeypatch):
    monkeypatch.setattr(StandardOptions, "DEFAULT_RUNNER", "none that there is")
    seen, original = [], launcher.Launcher

    class Looking(Listener):
        def node_started(self, node):
            seen.append((launcher.Launcher, StandardOptions.DEFAULT_RUNNER))

    RUNNERS[runner](Launches(Looking())).run(two_nodes(tmp_path))
    assert seen == [(original, "none that there is")] * 2


@BOTH
def test_partial_runs_are_refused(tmp_path, runner):
    with pytest.raises(ValueError, match="run_options: must be None"):
        RUNNERS[runner](Launches(Listener())).run_with_ir(compiled(tmp_path), run_options="some")


def compiled(root, run_id="run-1"):
    ir = compiler.Compiler().compile(two_nodes(root))
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return ir


def test_a_node_without_its_inputs_is_a_failure(tmp_path):
    launches = Launches(Listener())
    with pytest.raises(NodeNotRunError, match="Copy: the metadata store says FAILED"):
        launches.launch(compiled(tmp_path), "Copy")
    assert launches.record.states == {"Copy": "failed"}
    assert executed(tmp_path) == []


def test_a_node_that_was_killed_begins_with_an_empty_output_directory(tmp_path):
    class Killing(Rules):
        def before_execution(self, node, inputs):
            (tmp_path / "pipeline/Make/model/1").mkdir(parents=True)
            (tmp_path / "pipeline/Make/model/1/left").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Launches(Listener(), Killing()).launch(compiled(tmp_path), "Make")
    launches = Launches(Listener())
    launches.launch(compiled(tmp_path), "Make")
    assert launches.record.states == {"Make": "executed"}
    assert executed(tmp_path) == ["make"]  # the node would have named the file
    assert [path.name for path in (tmp_path / "pipeline/Make/model").rglob("*") if path.is_file()] == ["text"]
