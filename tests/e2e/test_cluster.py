"""A compiled package, run task by task as separate processes against MariaDB, with one folder as the shared volume."""

import itertools
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import CONFIGURED, small_configuration
from tests.support.kubeflow_harness import Package, Run
from tests.support.mariadb import DATABASE, PASSWORD, USER, mariadb_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_SECRETS = {("generator-attribution-metadata", "password"): PASSWORD}
_KILLED = "secondarytrainer-nearest-demo"


@pytest.fixture(scope="module")
def volume(dataset, tmp_path_factory):
    """The shared volume: holds the dataset under a folder of its own."""
    mount = tmp_path_factory.mktemp("volume")
    shutil.copytree(dataset / "span-1", mount / "data" / "small" / "span-1")
    return mount


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with mariadb_server(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


def cluster_configuration(volume, database):
    return small_configuration(volume / "data" / "small", volume / "runs" / "small") | {
        "metadata": {"kind": "mysql", "host": "127.0.0.1", "port": database.port, "database": DATABASE, "user": USER},
        "kubeflow": {"volume_mount": str(volume)},
    }


def compiled(values, path):
    from pipeline.config.schema import validate_config
    from pipeline.kubeflow.compilation import compile_package

    compile_package(validate_config(values, "test"), path)
    return Package.load(path)


@pytest.fixture(scope="module")
def package(volume, database, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "small.yaml"
    made = compiled(cluster_configuration(volume, database), path)
    assert PASSWORD not in path.read_text()
    return made


_RUNNING = f"""
SELECT COUNT(*) FROM {DATABASE}.Execution AS execution
JOIN {DATABASE}.Association AS association ON association.execution_id = execution.id
JOIN {DATABASE}.Context AS context ON context.id = association.context_id
WHERE context.name = 'small.SecondaryTrainer.nearest_demo' AND execution.last_known_state = 2
"""


def kill_at_work(database, process):
    """Kills a process as soon as it has told the metadata store that its node runs."""
    deadline = time.monotonic() + 240
    while database.query(_RUNNING).strip() != "1":
        if process.poll() is not None or time.monotonic() > deadline:
            return
        time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster_run(package, database, tmp_path_factory):
    """A run of the whole package in which one task is killed once."""

    def watch(name, attempt, process):
        if name == _KILLED and attempt == 0:
            threading.Thread(target=kill_at_work, args=(database, process), daemon=True).start()

    return Run(package, "run-1", tmp_path_factory.mktemp("kubeflow"), _SECRETS, watch=watch).run()


def servable_of(volume):
    (version,) = [
        path for path in (volume / "runs/small/serving/generator_attribution").iterdir() if path.name.isdigit()
    ]
    return version


def logs(run):
    return "\n\n".join(
        f"{name} {task.exit_codes}\n{task.output}" for name, task in run.tasks.items() if not task.succeeded
    )


def test_every_task_ends_well_and_a_servable_is_pushed(cluster_run, volume):
    assert cluster_run.succeeded, logs(cluster_run)
    assert (servable_of(volume) / "saved_model.pb").is_file()


def test_a_killed_task_is_tried_again_and_finishes_the_run(cluster_run):
    assert cluster_run.tasks[_KILLED].exit_codes == [-signal.SIGKILL, 0]
    others = {name: task.exit_codes for name, task in cluster_run.tasks.items() if name != _KILLED}
    assert set(map(tuple, others.values())) == {(0,)}, logs(cluster_run)


def test_tasks_wait_for_what_they_need_and_heads_train_side_by_side(cluster_run):
    order = [
        "plan",
        "importexamplegen",
        "statisticsgen",
        "schemagen",
        "examplevalidator",
        "transform",
        "primarytrainer",
    ]
    order += [_KILLED, "evaluator-nearest-demo", "assembler", "servablevalidator", "pusher", "report"]
    for before, after in itertools.pairwise(order):
        assert cluster_run.tasks[before].ended <= cluster_run.tasks[after].started, (before, after)
    one, other = (cluster_run.tasks[f"secondarytrainer-{source.replace('_', '-')}"] for source in CONFIGURED)
    assert one.started < other.ended and other.started < one.ended


def records_of(volume, database, monkeypatch, run_id):
    from pipeline.config.schema import validate_config
    from pipeline.metadata.lineage import read_run
    from pipeline.metadata.store import open_store

    monkeypatch.setenv("GENATTR_METADATA_PASSWORD", PASSWORD)
    config = validate_config(cluster_configuration(volume, database), "test")
    return read_run(open_store(config), config.name, run_id)


def test_models_and_blessings_are_those_of_a_local_run(cluster_run, first_run, volume, database, monkeypatch):
    import numpy as np

    from components.training import artifacts
    from pipeline.config.schema import validate_config
    from pipeline.metadata.lineage import read_run
    from pipeline.metadata.store import open_store

    values, outcome, _ = first_run
    config = validate_config(values, "test")
    local = read_run(open_store(config), config.name, outcome.report.run_id)
    remote = records_of(volume, database, monkeypatch, "run-1")
    assert set(remote) == set(local)
    assert {node: record.state for node, record in remote.items()} == dict.fromkeys(local, "COMPLETE")
    for name in ("primary", *CONFIGURED):
        blessings = [
            records[f"Evaluator.{name}"].output("blessing").properties["blessed"] for records in (local, remote)
        ]
        assert blessings == [1, 1]
        trainer = "PrimaryTrainer" if name == "primary" else f"SecondaryTrainer.{name}"
        one, other = (artifacts.read_model(records[trainer].output("model").path) for records in (local, remote))
        for here, there in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(here, there)


def test_metrics_curves_and_report_are_declared_as_kubeflow_shows_them(cluster_run, volume):
    shown = cluster_run.tasks["evaluator-primary"].declared["artifacts"]
    metrics = shown["metrics"]["artifacts"][0]["metadata"]
    assert 0.0 <= metrics["roc_auc"] <= 1.0 and metrics["blessed"] == 1.0
    points = shown["roc"]["artifacts"][0]["metadata"]["confidenceMetrics"]
    assert (points[0]["falsePositiveRate"], points[0]["recall"]) == (0.0, 0.0)
    assert (points[-1]["falsePositiveRate"], points[-1]["recall"]) == (1.0, 1.0)
    ended = cluster_run.tasks["report"].declared["artifacts"]
    summary = ended["metrics"]["artifacts"][0]["metadata"]
    assert (summary["outcome"], summary["cause"], summary["blessed_models"]) == ("pushed", "", 3)
    assert summary["servable"] == str(servable_of(volume))
    matrix = ended["confusion"]["artifacts"][0]["metadata"]["confusionMatrix"]
    assert len(matrix["rows"]) == len(matrix["annotationSpecs"])
    assert sum(map(sum, (row["row"] for row in matrix["rows"]))) > 0
    text = Path(ended["page"]["artifacts"][0]["uri"]).read_text()
    assert "pushed" in text and "PrimaryTrainer" in text
    assert (volume / "runs/small/reports/run-1/report.html").read_text() == text


def test_the_password_is_in_no_file_of_the_volume(cluster_run, volume):
    for path in volume.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_a_failing_node_ends_the_run_and_says_why(cluster_run, package, volume, database, tmp_path, monkeypatch):
    """The newest span is damaged: the node that reads it must fail, and the report must say so."""
    damaged = volume / "data/small/span-2"
    shutil.copytree(volume / "data/small/span-1", damaged)
    for path in damaged.glob("train/*.tfrecord.gz"):
        path.write_bytes(b"no tfrecord")
    run = Run(package, "run-2", tmp_path, _SECRETS, most_attempts=1).run()
    assert not run.succeeded
    failed = run.tasks["importexamplegen"]
    assert failed.exit_codes == [1]
    assert failed.output.strip().splitlines()[-1].startswith("genattr: ")
    assert set(run.tasks) == {"plan", "importexamplegen", "report"}, "nothing behind a failed node may start"
    assert run.tasks["plan"].succeeded and run.tasks["report"].succeeded
    summary = run.tasks["report"].declared["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert summary["outcome"] == "failed"
    assert summary["cause"].startswith("ImportExampleGen: ")
    assert json.loads((volume / "runs/small/plans/run-2/plan.json").read_text())["configuration"]["data"]["span"] == 2


def test_a_run_for_a_span_that_is_not_there_stops_at_its_plan(package, tmp_path):
    run = Run(package, "run-3", tmp_path, _SECRETS, {"span": "9"}, most_attempts=1).run()
    assert run.tasks["plan"].exit_codes == [2]
    assert "data.span" in run.tasks["plan"].output.strip().splitlines()[-1]
    assert run.tasks["report"].exit_codes == [1], "without a plan there is nothing to report on"
    assert set(run.tasks) == {"plan", "report"}


def test_nodes_come_from_the_cache_when_the_same_span_is_run_again(
    cluster_run, package, volume, database, tmp_path, monkeypatch
):
    wanted = {"plan", "importexamplegen", "statisticsgen"}
    run = Run(package, "run-4", tmp_path, _SECRETS, {"span": "1"}, most_attempts=1, only=wanted).run()
    assert set(run.tasks) == wanted and all(task.succeeded for task in run.tasks.values()), logs(run)
    states = {node: record.state for node, record in records_of(volume, database, monkeypatch, "run-4").items()}
    assert states == {"ImportExampleGen": "CACHED", "StatisticsGen": "CACHED"}
