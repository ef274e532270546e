"""`python -m pipeline.cluster`: its exit codes and its last line, in processes of their own."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.cluster.plan import compile_ir, graph_digest
from pipeline.config.schema import validate_config
from tests.support.images import REAL, SMOOTH
from tests.support.repository import REPOSITORY
from tests.support.small_dataset import prepare_small

pytestmark = pytest.mark.e2e


def node(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cluster", *map(str, words)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def last_line(done):
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    root = tmp_path_factory.mktemp("node")
    return {
        "name": "small",
        "data": {"dataset": str(prepare_small(root, {1: (REAL, SMOOTH)}))},
        "output_root": str(root / "runs"),
        "input": {"size": 32},
    }


def plan_words(values, run_id, **changed):
    graph = graph_digest(compile_ir(validate_config(values, "test")))
    words = ["plan", "--output-root", values["output_root"], "--run-id", run_id, "--graph", graph]
    return [*words, "--configuration", json.dumps(values | changed)]


@pytest.fixture(scope="module")
def planned(values):
    done = node(*plan_words(values, "run-1"))
    assert done.returncode == 0, done.stderr
    return done


def run_words(values, node_id, run_id="run-1"):
    return ["run", "--output-root", values["output_root"], "--run-id", run_id, "--node", node_id]


def test_a_plan_says_what_it_settled(planned):
    assert planned.stdout == "plan of run run-1: span 1, 11 nodes\n"


def test_a_node_runs_and_a_second_attempt_does_not_run_it_again(planned, values):
    first = node(*run_words(values, "ImportExampleGen"))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("ImportExampleGen: executed in ")
    (examples,) = (path for path in os.scandir(f"{values['output_root']}/pipeline/ImportExampleGen/examples"))
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(f"{examples.path}/Split-train")}
    again = node(*run_words(values, "ImportExampleGen"))
    assert again.returncode == 0, again.stderr
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(f"{examples.path}/Split-train")} == before


def test_a_node_whose_inputs_are_not_there_fails_with_a_readable_cause(planned, values):
    done = node(*run_words(values, "PrimaryTrainer"))
    assert done.returncode == 1
    assert last_line(done).startswith("genattr: NodeNotRunError: PrimaryTrainer: ")


def test_an_unknown_node_is_bad_usage(planned, values):
    done = node(*run_words(values, "PrimaryTrainr"))
    assert done.returncode == 2
    assert last_line(done).startswith(
        "genattr: node: 'PrimaryTrainr' is none of this run. Nodes there: ImportExampleGen"
    )


def test_without_a_plan_no_node_runs(values):
    done = node(*run_words(values, "ImportExampleGen", "run-9"))
    assert done.returncode == 1
    assert "run-9/plan.json: is not there" in last_line(done)


def test_a_metadata_store_that_does_not_answer_is_named_with_what_to_check(values):
    server = {"kind": "mysql", "host": "127.0.0.1", "port": 1}
    done = node(*plan_words(values, "run-2", metadata=server), GENATTR_METADATA_PASSWORD="not-in-any-log")
    assert done.returncode == 1
    assert "the metadata store at 127.0.0.1:1 does not answer user 'pipeline'" in last_line(done)
    assert "not-in-any-log" not in done.stdout + done.stderr


def test_a_missing_password_is_bad_usage_and_names_its_variable(values):
    server = {"kind": "mysql", "host": "127.0.0.1", "port": 1}
    done = node(*plan_words(values, "run-3", metadata=server))
    assert done.returncode == 2
    assert "the environment variable GENATTR_METADATA_PASSWORD is not set" in last_line(done)


@pytest.mark.parametrize(("span", "said"), [("7", "data.span: "), ("newest", "--span: must be the number of a span")])
def test_a_span_that_cannot_be_is_refused(values, span, said):
    done = node(*plan_words(values, "run-4"), "--span", span)
    assert done.returncode == 2
    assert said in last_line(done)


def test_help_says_what_the_parts_are():
    done = node("--help")
    assert done.returncode == 0
    assert "settle what the run reads" in done.stdout
