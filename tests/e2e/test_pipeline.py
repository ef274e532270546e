"""Whole runs: from a folder of images to answers by gRPC and REST, again from the cache, and with a source more."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import CONFIGURED, LATER, SIZE, Recorder

pytestmark = pytest.mark.e2e


def _run(values, runner="beam"):
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    recorder = Recorder()
    return run_pipeline(validate_config(values, "test"), runner, recorder), recorder.ended


def test_a_first_run_executes_every_node_and_pushes_a_servable(first_run):
    _, outcome, states = first_run
    assert outcome.error is None, outcome.report.message
    assert set(states.values()) == {"executed"}
    version = Path(outcome.report.servable)
    assert version.name.isdigit()
    assert (version / "saved_model.pb").is_file()
    assert [child.name for child in version.parent.iterdir()] == [version.name]


def test_the_report_holds_every_model_and_stands_where_the_contract_says(first_run):
    values, outcome, _ = first_run
    assert outcome.report_path == Path(values["output_root"]) / "reports" / outcome.report.run_id / "report.html"
    text = outcome.report_path.read_text()
    for name in ("primary", *CONFIGURED):
        assert name in text


def test_tfma_and_our_own_metrics_agree_on_the_test_split(first_run):
    from components.metrics.scores import roc_auc

    _, outcome, _ = first_run
    for model in outcome.report.models:
        (scored,) = [scores for scores in model.scores if scores.split == "test"]
        # TFMA interpolates between 10,000 thresholds.
        assert model.metrics["roc_auc"] == pytest.approx(roc_auc(scored.labels, scored.scores), abs=2e-3)


def test_the_dct_statistics_of_the_served_graph_are_those_of_the_training_images(first_run, dataset):
    """Standardised with the train split's own statistics, its coefficients have mean 0 and variance 1."""
    import tensorflow as tf

    _, outcome, _ = first_run
    transform = tf.saved_model.load(outcome.report.servable).signatures["transform_features"]
    files = [str(path) for path in (dataset / "span-1" / "train").iterdir()]
    records = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    features = transform(examples=tf.constant(records))
    assert features["pixel"].shape == (len(records), SIZE, SIZE, 3)
    np.testing.assert_allclose(features["dct"].numpy().mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(features["dct"].numpy().var(axis=0), 1.0, atol=1e-2)


def test_a_second_run_on_the_local_runner_is_served_from_the_cache_whole(first_run):
    values, first, _ = first_run
    outcome, states = _run(values, "local")
    assert set(states.values()) == {"cached"}
    assert outcome.report.servable == first.report.servable


def test_adding_a_source_trains_exactly_one_model(first_run):
    from pipeline.config.schema import validate_config
    from pipeline.metadata.lineage import read_run
    from pipeline.metadata.store import open_store

    values, _, _ = first_run
    extended = {**values, "sources": [*CONFIGURED, LATER]}
    outcome, _ = _run(extended)
    assert outcome.error is None, outcome.report.message
    config = validate_config(extended, "test")
    records = read_run(open_store(config), config.name, outcome.report.run_id)
    trained = [node for node, record in records.items() if "Trainer" in node and record.state == "COMPLETE"]
    assert trained == [f"SecondaryTrainer.{LATER}"]
    reused = [node for node, record in records.items() if "Trainer" in node and record.state == "CACHED"]
    assert sorted(reused) == ["PrimaryTrainer", *(f"SecondaryTrainer.{source}" for source in CONFIGURED)]


def test_a_source_from_a_later_span_trains_one_model_and_leaves_the_others_alone(first_run, image_tree, dataset):
    """The promise to a growing list of generators: new images arrive, one head is trained on them."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    values, _, _ = first_run
    prepare(image_tree, dataset, PreparationParameters(size=SIZE, span=2, seed=1))
    pinned = {**values["data"], "span": 1}
    extended = {**values, "data": pinned, "sources": [*CONFIGURED, {"name": LATER, "span": 2}]}
    outcome, states = _run(extended)
    assert outcome.error is None, outcome.report.message
    trainers = {node: state for node, state in states.items() if "Trainer" in node}
    assert trainers.pop(f"SecondaryTrainer.{LATER}") == "executed"
    assert set(trainers.values()) == {"cached"}
    assert states["ImportExampleGen.span-2"] == "executed"


def test_an_unblessed_primary_stops_the_run_and_nothing_is_pushed(first_run, tmp_path):
    values, _, _ = first_run
    strict = {"detection": {"min_roc_auc": 0.0, "min_average_precision": 1.0}}
    hopeless = {**values, "output_root": str(tmp_path), "evaluation": strict, "sources": []}
    hopeless["primary"] = {**values["primary"], "epochs": 1, "learning_rate": 1e-6}
    outcome, states = _run(hopeless)
    assert outcome.report.outcome == "stopped"
    assert "primary module is not blessed" in outcome.report.message
    assert states["Assembler"] == "failed"
    assert not (tmp_path / "serving").exists()
    assert "primary module is not blessed" in outcome.report_path.read_text()


def test_a_dataset_without_real_images_in_a_split_stops_with_a_readable_message(first_run, dataset, tmp_path):
    import tensorflow as tf

    from components.examples import names

    one_sided = tmp_path / "one-sided"
    for split in ("train", "eval", "test", "testonly"):
        target = one_sided / "span-1" / split / "examples-00000-of-00001.tfrecord.gz"
        target.parent.mkdir(parents=True)
        files = [str(path) for path in (dataset / "span-1" / split).iterdir()]
        with tf.io.TFRecordWriter(str(target), options="GZIP") as writer:
            for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                if split != "eval" or example.features.feature[names.LABEL].int64_list.value[0]:
                    writer.write(record)
    (one_sided / "span-1" / "manifest.json").write_bytes((dataset / "span-1" / "manifest.json").read_bytes())
    values, _, _ = first_run
    outcome, states = _run({**values, "data": {"dataset": str(one_sided)}, "output_root": str(tmp_path / "run")})
    assert outcome.report.outcome == "stopped"
    assert "split 'eval': holds only fake images" in outcome.report.message
    assert states["ExampleValidator"] == "failed"
    assert "PrimaryTrainer" not in states


def test_predict_answers_alike_from_the_servable_by_grpc_and_by_rest(first_run, image_tree, tmp_path, capsys):
    from pipeline.cli.main import main
    from serving.server.configuration.options import ServerOptions
    from tests.support.servers import running_server

    values, _, _ = first_run
    base = Path(values["output_root"]) / "serving" / "generator_attribution"
    images = str(image_tree / "fake" / CONFIGURED[0])

    def predict(*where: str) -> list[dict]:
        assert main(["predict", images, "--format", "jsonl", *where]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    local = predict("--model", str(base))
    with running_server(ServerOptions(base, grpc_port=0, rest_port=0)) as addresses:
        by_grpc, by_rest = predict("--grpc", addresses.grpc), predict("--rest", addresses.rest)
    assert len(local) == len(list((image_tree / "fake" / CONFIGURED[0]).iterdir()))
    for ours, grpc_row, rest_row in zip(local, by_grpc, by_rest, strict=True):
        assert ours["path"] == grpc_row["path"] == rest_row["path"]
        assert ours["verdict"] == grpc_row["verdict"] == rest_row["verdict"]
        assert grpc_row["fake_probability"] == pytest.approx(ours["fake_probability"], abs=1e-6)
        assert rest_row["fake_probability"] == pytest.approx(ours["fake_probability"], abs=1e-6)
