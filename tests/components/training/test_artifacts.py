"""Files of the Model and ModelRun artifacts, written and read again."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from components.metrics.operating_point import OperatingPoint
from components.training import artifacts
from components.training.history import History
from components.training.trained import SplitScores, TrainedModule
from tests.support.images import SMOOTH, STRIPES


@pytest.fixture(scope="module")
def scored_module(splits):
    """A module that was never trained, with made-up scores."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    rng = np.random.default_rng(0)
    scored = {
        name: SplitScores(
            splits[name].labels,
            rng.random(splits[name].count).astype(np.float32),
            splits[name].sources,
            splits[name].paths,
        )
        for name in ("eval", "test")
    }
    history = History([0.7, 0.5], [0.6, float("nan")], [0.5, 0.75], seconds=[1.0, 2.0], best_epoch=1)
    return TrainedModule(model, OperatingPoint(0.25, "fixed", "set in the configuration"), history, scored, 12.5)


def test_a_module_reads_back_with_the_same_weights_and_answers(scored_module, tmp_path):
    artifacts.write_module(tmp_path, scored_module)
    loaded = artifacts.read_model(tmp_path)
    for one, two in zip(loaded.get_weights(), scored_module.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    points = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(loaded(points), scored_module.model(points))


@pytest.mark.parametrize(("source", "task", "name"), [("", "detection", "primary"), (STRIPES, "attribution", STRIPES)])
def test_a_description_reads_back_without_the_model(scored_module, tmp_path, source, task, name):
    artifacts.write_module(tmp_path, scored_module, source)
    (tmp_path / artifacts.MODEL_FILE).unlink()
    description = artifacts.read_description(tmp_path)
    assert (description.task, description.source, description.name) == (task, source, name)
    assert description.operating_point == scored_module.operating_point
    assert (description.parameters, description.training_seconds) == (3, 12.5)


def test_what_a_baseline_is_reads_back(scored_module, tmp_path):
    module = dataclasses.replace(scored_module, classes=("real", SMOOTH), images_left_out={"test": 8})
    artifacts.write_module(tmp_path, module, architecture="postpool")
    description = artifacts.read_description(tmp_path)
    assert (description.architecture, description.task, description.name) == (
        "postpool",
        "multiclass",
        "postpool.multiclass",
    )
    assert (description.classes, description.images_left_out) == (("real", SMOOTH), {"test": 8})


def test_scores_read_back(scored_module, tmp_path):
    artifacts.write_run(tmp_path, scored_module)
    read = artifacts.read_scores(tmp_path)
    assert sorted(read) == ["eval", "test"]
    for part in ("labels", "scores", "sources", "paths"):
        np.testing.assert_array_equal(getattr(read["test"], part), getattr(scored_module.scores["test"], part))


def test_scores_hold_plain_arrays_only(scored_module, tmp_path):
    artifacts.write_run(tmp_path, scored_module)
    with np.load(tmp_path / artifacts.SCORES_FILE, allow_pickle=False) as arrays:
        parts = {key: arrays[key].dtype.kind for key in arrays.files}
    kinds = {"labels": "i", "scores": "f", "sources": "U", "paths": "U"}
    assert parts == {f"{split}/{part}": kind for split in ("eval", "test") for part, kind in kinds.items()}


def test_a_history_reads_back(scored_module, tmp_path):
    artifacts.write_run(tmp_path, scored_module)
    history = artifacts.read_history(tmp_path)
    assert (history["loss"], history["val_roc_auc"], history["best_epoch"]) == ([0.7, 0.5], [0.5, 0.75], 1)
    assert json.loads((tmp_path / artifacts.HISTORY_FILE).read_text()).keys() == history.keys()
