"""The plan of a run: what it settles, that it is settled once, and what it refuses."""

import json

import pytest
from google.protobuf import json_format

from components.errors import StepRefusedError
from pipeline.cluster import plan as plans
from pipeline.cluster.plan import compile_ir, graph_digest, make_plan, plan_file, read_plan, run_folder, upstream_nodes
from pipeline.config.schema import ConfigurationError, validate_config
from tests.support.images import REAL, SMOOTH, STRIPES
from tests.support.small_dataset import prepare_small

ALL = (REAL, SMOOTH, STRIPES)


@pytest.fixture
def dataset(tmp_path):
    return prepare_small(tmp_path / "data", {1: ALL, 2: ALL})


def configured(dataset, tmp_path, **changed):
    values = {
        "name": "small",
        "data": {"dataset": str(dataset)},
        "output_root": str(tmp_path / "runs"),
        "input": {"size": 32},
        "sources": ["smooth_a"],
    }
    return validate_config(values | changed, "test")


def planned(config, run_id="run-1", span=None):
    return make_plan(config, run_id, span, graph_digest(compile_ir(config)))


def test_the_newest_span_is_written_out_and_stays_whatever_is_prepared_later(dataset, tmp_path):
    config = configured(dataset, tmp_path)
    assert planned(config).config.data.span == 2
    prepare_small(dataset.parent, {3: ALL})
    assert planned(config).config.data.span == 2, "a second attempt of the same run reads what the first settled"
    assert planned(config, "run-2").config.data.span == 3


def test_a_span_that_is_asked_for_wins_over_the_configuration(dataset, tmp_path):
    assert (
        planned(configured(dataset, tmp_path, data={"dataset": str(dataset), "span": 2}), span=1).config.data.span == 1
    )


def test_what_is_read_is_what_was_written(dataset, tmp_path):
    config = configured(dataset, tmp_path)
    written, read = planned(config), read_plan(config.root, "run-1")
    assert (read.run_id, read.config) == ("run-1", written.config)
    assert json_format.MessageToDict(read.ir) == json_format.MessageToDict(written.ir)
    assert read.node_ids == list(upstream_nodes(written.ir))


def test_the_nodes_read_the_span_that_was_settled(dataset, tmp_path):
    plan = planned(configured(dataset, tmp_path))
    (reader,) = [node.pipeline_node for node in plan.ir.nodes if node.pipeline_node.node_info.id == "ImportExampleGen"]
    given = json.loads(reader.parameters.parameters["range_config"].field_value.string_value)
    assert given == {"static_range": {"start_span_number": 2, "end_span_number": 2}}


def test_no_password_is_in_a_plan(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("GENATTR_METADATA_PASSWORD", "not-in-any-file")
    monkeypatch.setattr(plans, "create_store", lambda config: None)
    config = configured(dataset, tmp_path, metadata={"kind": "mysql", "host": "nowhere.invalid"})
    planned(config)
    text = plan_file(config.root, "run-1").read_text()
    assert "nowhere.invalid" in text
    assert "not-in-any-file" not in text


def test_nodes_that_the_package_has_no_tasks_for_are_refused(dataset, tmp_path):
    config = configured(dataset, tmp_path)
    package = graph_digest(compile_ir(configured(dataset, tmp_path, sources=["smooth_a", "stripes_b"])))
    with pytest.raises(StepRefusedError, match="compiled for other nodes than those of this run"):
        make_plan(config, "run-1", None, package)
    assert not plan_file(config.root, "run-1").exists()


def test_a_source_whose_own_span_has_become_the_newest_is_refused_by_name(dataset, tmp_path):
    config = configured(dataset, tmp_path, sources=["smooth_a", {"name": "stripes_b", "span": 2}])
    with pytest.raises(StepRefusedError, match="a source has span 2 of its own, which is the run's own span now"):
        planned(config)


def test_the_digest_is_of_nodes_and_edges_alone(dataset, tmp_path):
    digests = [
        graph_digest(compile_ir(configured(dataset, tmp_path, **changed)))
        for changed in ({}, {"primary": {"epochs": 7}}, {"sources": ["stripes_b"]})
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_missing_plan_names_the_task_that_writes_it(tmp_path):
    with pytest.raises(StepRefusedError, match=r"plan\.json: is not there. The run's first task, plan, writes it"):
        read_plan(tmp_path, "run-1")


@pytest.mark.parametrize("run_id", ["", "../other", "a/b", "-a", "a b", "a" * 129])
def test_a_run_id_that_leads_elsewhere_is_refused(tmp_path, run_id):
    with pytest.raises(ConfigurationError, match=r"^run_id: must be up to 128"):
        run_folder(tmp_path, run_id)
