"""Training in several processes, and on several devices of one: the same as on one."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from components.errors import StepRefusedError
from components.trainer.job import run_job
from components.trainer.processes import run_in_workers
from components.training import artifacts
from components.training.parameters import AuxiliaryParameters, TrainingParameters
from components.training.strategies import Replicas
from tests.support.training_jobs import finish, make_job, start_job

# 72 images in batches of 16 and one of 8; 17 of a batch would leave the last share of a worker empty.
TRAINING = TrainingParameters(epochs=2, batch_size=16, learning_rate=1e-3, seed=4)


def history_of(folder):
    return artifacts.read_history(folder / "model_run" / "1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory, splits, transform_graph):
    """The training on one device, in this process."""
    folder = tmp_path_factory.mktemp("alone")
    run_job(make_job(folder, splits, transform_graph, TRAINING), Replicas())
    return folder


def assert_same_training(one: Path, other: Path):
    """Sums over shares are rounded otherwise than sums over a batch, by about 1e-7; ten steps of Adam make it more."""
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(history_of(one)[name], history_of(other)[name], rtol=1e-3, err_msg=name)
    first, second = (artifacts.read_model(folder / "model" / "1") for folder in (one, other))
    for mine, theirs in zip(first.weights, second.weights, strict=True):
        if mine.name == "moving_variance":  # no step of Adam's: it follows what the weights came to
            np.testing.assert_allclose(mine, theirs, rtol=1e-2, err_msg=mine.path)
        elif mine.name in ("kernel", "gamma", "beta"):
            difference = np.abs(np.asarray(mine) - np.asarray(theirs))
            assert np.quantile(difference, 0.95) < 0.2e-3, mine.path  # a fifth of one step


@pytest.mark.e2e
def test_two_workers_train_what_one_does(alone, tmp_path, splits, transform_graph, caplog):
    two = TRAINING.model_copy(update={"strategy": "multi_worker", "workers": 2})
    with caplog.at_level(logging.INFO, "components.training.loop"):
        run_in_workers(make_job(tmp_path, splits, transform_graph, two))
    assert_same_training(alone, tmp_path)
    progress = [record.training_progress for record in caplog.records if hasattr(record, "training_progress")]
    assert [figures["epoch"] for figures in progress] == [1, 2]
    assert progress[-1]["loss"] == history_of(tmp_path)["loss"][-1]
    assert (tmp_path / "model" / "1" / artifacts.SERVING_FOLDER / "saved_model.pb").is_file()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.e2e
@pytest.mark.parametrize("auxiliary", [None, AuxiliaryParameters()], ids=["detection", "with an auxiliary task"])
def test_two_devices_of_one_process_train_what_one_does(auxiliary, alone, tmp_path, splits, transform_graph):
    mirrored = TRAINING.model_copy(update={"strategy": "mirrored", "auxiliary": auxiliary})
    if auxiliary:
        alone = tmp_path / "alone"
        on_one = mirrored.model_copy(update={"strategy": "single"})
        run_job(make_job(alone, splits, transform_graph, on_one), Replicas())
    two_devices = (
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
    )
    finish(start_job(make_job(tmp_path, splits, transform_graph, mirrored), tmp_path, two_devices))
    assert_same_training(alone, tmp_path)


FAILING = """
import json, os, sys, time
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
    sys.exit("disk full")
open(sys.argv[1] + ".pid", "w").write(str(os.getpid()))
time.sleep(60)
"""


def test_a_worker_that_dies_ends_the_others_and_fails_the_node_with_its_last_lines(
    tmp_path, splits, transform_graph, monkeypatch
):
    (tmp_path / "failing_worker.py").write_text(FAILING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    two = TRAINING.model_copy(update={"strategy": "multi_worker", "workers": 2})
    started = time.monotonic()
    with pytest.raises(StepRefusedError, match=r"worker 1 ended with exit code 1[^§]*disk full"):
        run_in_workers(make_job(tmp_path, splits, transform_graph, two), module="failing_worker")
    assert time.monotonic() - started < 30
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_worker_ends_when_whoever_started_it_is_gone(tmp_path):
    code = "import sys, time\nfrom components.trainer import worker\nimport threading\n"
    code += "threading.Thread(target=worker._end_with_input, daemon=True).start()\ntime.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 3


def test_in_a_cluster_one_worker_takes_this_machines_part(tmp_path, splits, transform_graph, monkeypatch):
    part = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(part))
    (tmp_path / "recording_worker.py").write_text(
        "import os, sys\nopen(os.environ['RECORD'], 'a').write(os.environ['TF_CONFIG'] + '\\n')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    two = TRAINING.model_copy(update={"strategy": "multi_worker", "workers": 2})
    run_in_workers(make_job(tmp_path, splits, transform_graph, two), module="recording_worker")
    assert [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()] == [part]
