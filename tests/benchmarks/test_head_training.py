"""The yardstick of head training trains what the published method trains, and nothing else."""

import numpy as np
import pytest

from benchmarks.head_training import Experiment
from components.training.learners import LearnerPool


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path / "images", images=64, size=16, sources=2)


def test_neither_way_moves_a_weight_of_the_primary_module(experiment):
    before = [weight.copy() for weight in experiment.primary.get_weights()]
    experiment.published(epochs=1)()
    experiment.train(0, experiment.features(), epochs=1, pool=LearnerPool(), batch=64)
    for weight, kept in zip(experiment.primary.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_the_yardstick_trains_both_ways_targets_for_as_many_epochs(experiment):
    history = experiment.published(epochs=2)().history
    # Two losses, of the frozen module's output and of the head's: the first is what it was, the second moves.
    frozen, trained = (history[f"{name}_loss"] for name in ("dDecision", "secondary"))
    assert len(frozen) == len(trained) == 2
    assert frozen[0] == pytest.approx(frozen[1], rel=1e-5)
    assert trained[0] != pytest.approx(trained[1], rel=1e-5)
