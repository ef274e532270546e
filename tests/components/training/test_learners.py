"""Learners that are used again: what is learnt is what a fresh one learns, bit by bit."""

import dataclasses

import numpy as np
import pytest

from components.features.parameters import InputParameters
from components.models.parameters import LayerParameters
from components.models.secondary import build_secondary
from components.training.checkpoints import Checkpoint
from components.training.determinism import deterministic_operations
from components.training.learners import LearnerPool
from components.training.modules import train_head
from components.training.parameters import TrainingParameters
from components.training.training import Training
from tests.support.images import SMOOTH, STRIPES

INPUTS = InputParameters(representation="dct", size=32)
PARAMETERS = TrainingParameters(epochs=3, early_stopping=3, batch_size=32)


@pytest.fixture(scope="module")
def features(splits):
    draw = np.random.default_rng(5)
    return {name: draw.normal(size=(split.count, 8, 8, 16)).astype(np.float32) for name, split in splits.items()}


def untrained(side=8, seed=0):
    return build_secondary((side, side, 16), False, LayerParameters(), seed)


def head_of(source, features, splits, parameters=PARAMETERS, **options):
    return train_head(Training(splits, INPUTS, parameters, **options), source, features)


def assert_same(one, other):
    for mine, its in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    for name, scored in one.scores.items():
        np.testing.assert_array_equal(scored.scores, other.scores[name].scores)
    ours, theirs = (dataclasses.replace(module.history, seconds=[]) for module in (one, other))
    assert ours == theirs


def test_a_head_trained_by_a_used_learner_is_the_head_that_a_fresh_one_trains(features, splits):
    pool = LearnerPool()
    after_another = [head_of(source, features, splits, learners=pool) for source in (STRIPES, SMOOTH)][1]
    assert_same(after_another, head_of(SMOOTH, features, splits))


def test_a_trained_head_keeps_its_weights_when_its_learner_trains_the_next(features, splits):
    pool = LearnerPool()
    first = head_of(STRIPES, features, splits, learners=pool)
    before = [weight.copy() for weight in first.model.get_weights()]
    head_of(SMOOTH, features, splits, learners=pool)
    for weight, kept in zip(first.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_a_training_that_a_used_learner_takes_up_ends_as_one_that_was_not_interrupted(features, splits, tmp_path):
    pool = LearnerPool()
    begun = PARAMETERS.model_copy(update={"epochs": 2})
    head_of(STRIPES, features, splits, begun, checkpoint=Checkpoint(tmp_path / "state"))
    head_of(SMOOTH, features, splits, learners=pool)
    taken_up = head_of(STRIPES, features, splits, learners=pool, checkpoint=Checkpoint(tmp_path / "state"))
    assert_same(taken_up, head_of(STRIPES, features, splits))


def test_a_warm_start_reaches_the_model_of_a_used_learner(features, splits):
    pool = LearnerPool()
    start = head_of(STRIPES, features, splits, learners=pool).model
    warm = head_of(SMOOTH, features, splits, learners=pool, start=start)
    assert_same(warm, head_of(SMOOTH, features, splits, start=start))


def test_heads_of_one_shape_and_of_the_same_parameters_share_a_learner():
    pool = LearnerPool()
    lent = []
    for _ in range(2):
        with pool.borrow(untrained(), PARAMETERS) as learner:
            lent.append(learner)
    assert lent[0] is lent[1]


@pytest.mark.parametrize(
    ("side", "changed", "deterministic"),
    [(16, {}, False), (8, {"learning_rate": 1e-4}, False), (8, {"batch_size": 8}, False), (8, {}, True)],
    ids=["shape", "learning rate", "batch size", "deterministic operations"],
)
def test_heads_that_differ_share_none(side, changed, deterministic):
    pool = LearnerPool()
    with pool.borrow(untrained(), PARAMETERS) as first:
        pass
    with (
        deterministic_operations(deterministic),
        pool.borrow(untrained(side), PARAMETERS.model_copy(update=changed)) as other,
    ):
        assert other is not first


def test_two_trainings_at_once_share_none():
    pool = LearnerPool()
    with pool.borrow(untrained(), PARAMETERS) as first, pool.borrow(untrained(), PARAMETERS) as second:
        assert first is not second


def test_a_pool_keeps_no_more_than_the_newest():
    pool = LearnerPool(kept=1)
    lent = []
    for side in (8, 16, 8):
        with pool.borrow(untrained(side), PARAMETERS) as learner:
            lent.append(learner)
    assert lent[2] is not lent[0]


def test_the_learner_of_a_failed_training_is_not_used_again():
    pool = LearnerPool()
    with pytest.raises(FloatingPointError), pool.borrow(untrained(), PARAMETERS) as first:
        raise FloatingPointError
    with pool.borrow(untrained(), PARAMETERS) as second:
        assert second is not first
