"""Leave-one-generator-out as part of a run: everything else from the cache, and a section of the report."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import CONFIGURED, Recorder

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def measured(first_run):
    """The pipeline of the first run, whose own nodes come from the cache, with every source taking its turn."""
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    values, _, _ = first_run
    recorder = Recorder()
    # Another test may have prepared a later span meanwhile.
    data = {**values["data"], "span": 1}
    config = validate_config({**values, "data": data, "open_set": {"leave_one_out": True}}, "test")
    return config, run_pipeline(config, "local", recorder), recorder.ended


def test_it_costs_no_other_node_and_comes_after_the_push(measured):
    _, outcome, states = measured
    assert outcome.error is None, outcome.report.message
    assert [node for node, state in states.items() if state != "cached"] == ["LeaveOneOut"]
    assert list(states)[-1] == "LeaveOneOut"


def test_every_source_is_a_turn_in_the_artifact_and_a_row_of_the_report(measured):
    from pipeline.metadata.lineage import read_run
    from pipeline.metadata.store import open_store

    config, outcome, _ = measured
    record = read_run(open_store(config), config.name, outcome.report.run_id)["LeaveOneOut"]
    figures = json.loads((record.output("evaluation").path / "open_set.json").read_text())
    assert set(figures["turns"]) == set(CONFIGURED)
    assert all(turn["energy"]["unknown"] > 0 for turn in figures["turns"].values())
    assert [turn.left_out for turn in outcome.report.open_set.turns] == list(CONFIGURED)
    assert "<h2>Unknown generators</h2>" in Path(outcome.report_path).read_text()
