"""A killed training goes on at the next epoch and ends with the weights of one that was not killed."""

import logging
import signal

import numpy as np
import pytest

from components.trainer.job import run_job
from components.training import artifacts
from components.training.checkpoints import Checkpoint, TrainingState
from components.training.parameters import TrainingParameters
from components.training.strategies import Replicas
from tests.support.training_jobs import finish, make_job, start_job

TRAINING = TrainingParameters(epochs=4, early_stopping=10, batch_size=16, learning_rate=3e-3, seed=4)

# SIGKILL at the third batch of the third epoch.
KILLED = """
import os, signal
from components.training import inputs, learners
order, batches = learners.epoch_order, inputs.KeptInputs.batches

def dying_batches(self, indices):
    for number, batch in enumerate(batches(self, indices)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

def spied_order(targets, sampling, seed, epoch, *rest):
    if epoch == 2:
        inputs.KeptInputs.batches = dying_batches
    return order(targets, sampling, seed, epoch, *rest)

learners.epoch_order = spied_order
"""

LOGGED = "import logging; logging.basicConfig(level=logging.INFO)"


def weights_of(folder, execution="1"):
    return artifacts.read_model(folder / "model" / execution).get_weights()


def next_execution(job):
    """The job as a second execution of its node sees it: the same, but for the folders of its outputs."""
    folders = {"model_folder": job.model_folder, "run_folder": job.run_folder}
    return job.model_copy(update={key: folder[:-1] + "2" for key, folder in folders.items()})


@pytest.fixture(scope="module")
def killed(tmp_path_factory, splits, transform_graph):
    """A job that was killed in its third epoch, and the folder of one that was not: each in a process of its own."""
    killed_folder, whole_folder = (tmp_path_factory.mktemp(name) for name in ("killed", "whole"))
    job = make_job(killed_folder, splits, transform_graph, TRAINING)
    whole = start_job(make_job(whole_folder, splits, transform_graph, TRAINING), whole_folder)
    process = start_job(job, killed_folder, KILLED)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    finish(whole)
    return job, killed_folder, whole_folder


@pytest.mark.e2e
def test_a_killed_training_leaves_its_state_and_no_other_file(killed):
    _, folder, whole_folder = killed
    assert [path.name for path in (folder / "checkpoints").rglob("*") if path.is_file()] == ["state.npz"]
    assert list((folder / "scratch").iterdir()) == []
    assert not (whole_folder / "checkpoints").exists()


@pytest.mark.e2e
def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(killed):
    job, folder, whole_folder = killed
    said = finish(start_job(next_execution(job), folder, LOGGED))
    assert "primary: continues after epoch 2" in said
    assert "epoch 3/4" in said
    assert "epoch 2/4" not in said
    for one, two in zip(weights_of(folder, "2"), weights_of(whole_folder), strict=True):
        np.testing.assert_array_equal(one, two)
    histories = [
        artifacts.read_history(folder / "model_run" / execution) | {"seconds": None}
        for folder, execution in ((folder, "2"), (whole_folder, "1"))
    ]
    assert histories[0] == histories[1]
    assert not (folder / "checkpoints").exists()


@pytest.mark.e2e
def test_whatever_decides_the_training_decides_where_its_state_is_kept(killed, tmp_path):
    job = killed[0]
    other_start = tmp_path / "start"
    other_start.mkdir()
    (other_start / artifacts.MODEL_FILE).write_bytes(b"weights")
    others = [
        job.model_copy(update={"training": TRAINING.model_copy(update={"seed": 5})}),
        job.model_copy(update={"source_digest": "edited"}),
        job.model_copy(update={"transform_graph": "other"}),
        job.model_copy(update={"splits": {**job.splits, "train": ("other",)}}),
        job.model_copy(update={"warm_start": str(other_start)}),
    ]
    identities = {other.identity for other in others}
    (other_start / artifacts.MODEL_FILE).write_bytes(b"other weights")
    identities.add(others[-1].identity)
    assert len(identities) == len(others) + 1
    assert job.identity not in identities
    assert next_execution(job).identity == job.identity


def test_a_heads_primary_module_decides_where_its_state_is_kept(tmp_path, splits):
    job = make_job(tmp_path, splits, "graph", TRAINING, source="stripes_b", primary=str(tmp_path))
    identities = set()
    for content in (b"weights", b"other weights"):
        (tmp_path / artifacts.MODEL_FILE).write_bytes(content)
        identities |= {job.identity, next_execution(job).identity}
    assert len(identities) == 2


def state_of(value):
    return TrainingState(
        [np.full((2, 3), value, np.float32), np.full(2, value, np.float32)],
        [np.array(value, np.int64)],
        [np.zeros((2, 3), np.float32), np.zeros(2, np.float32)],
        {"loss": [float(value)], "val_roc_auc": [float("nan")], "best_epoch": 0},
    )


def test_a_state_reads_back(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoints" / "state")
    assert checkpoint.read(state_of(0)) is None
    checkpoint.write(state_of(1))
    checkpoint.write(state_of(2))
    state = checkpoint.read(state_of(0))
    np.testing.assert_array_equal(state.weights[0], np.full((2, 3), 2.0))
    assert state.weights[0].dtype == np.float32
    assert (state.optimizer[0].dtype, int(state.optimizer[0])) == (np.int64, 2)
    assert state.history["loss"] == [2.0]
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_one_who_only_reads_writes_and_removes_nothing(tmp_path):
    Checkpoint(tmp_path / "state").write(state_of(1))
    reader = Checkpoint(tmp_path / "state", writes=False)
    reader.write(state_of(2))
    reader.remove()
    assert reader.read(state_of(0)).history["loss"] == [1.0]


def _truncated(file):
    file.write_bytes(file.read_bytes()[:-40])


def _flipped(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    file.write_bytes(bytes(content))


def _of_another_model(file):
    other = state_of(1)
    other.weights[0] = np.zeros((9, 9), np.float32)
    Checkpoint(file.parent).write(other)


def _with_one_more_layer(file):
    other = state_of(1)
    other.weights.append(np.zeros(1, np.float32))
    Checkpoint(file.parent).write(other)


def _of_another_type(file):
    other = state_of(1)
    other.weights[0] = other.weights[0].astype(np.float64)
    Checkpoint(file.parent).write(other)


def _with_another_history(file):
    other = state_of(1)
    other.history["accuracy"] = [0.5]
    Checkpoint(file.parent).write(other)


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        _flipped,
        lambda file: file.write_bytes(b""),
        _of_another_model,
        _with_one_more_layer,
        _of_another_type,
        _with_another_history,
    ],
)
def test_a_state_that_cannot_be_used_is_reported_and_training_starts_anew(tmp_path, caplog, damage):
    checkpoint = Checkpoint(tmp_path / "state")
    checkpoint.write(state_of(1))
    damage(tmp_path / "state" / "state.npz")
    with caplog.at_level(logging.ERROR):
        assert checkpoint.read(state_of(0)) is None
    assert "the checkpoint cannot be used" in caplog.text
    assert "training starts anew" in caplog.text


def test_a_failed_write_leaves_the_state_before(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state")
    checkpoint.write(state_of(1))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write(state_of(2))
    assert checkpoint.read(state_of(0)).history["loss"] == [1.0]


def test_a_finished_training_whose_node_is_run_again_starts_anew(tmp_path, splits, transform_graph):
    job = make_job(tmp_path, splits, transform_graph, TRAINING.model_copy(update={"epochs": 1}))
    run_job(job, Replicas())
    assert not (tmp_path / "checkpoints").exists()
    assert len(artifacts.read_history(tmp_path / "model_run" / "1")["loss"]) == 1
