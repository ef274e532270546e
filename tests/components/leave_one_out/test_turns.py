"""Leave-one-generator-out: who is trained on what, and that an unknown generator is found where it can be."""

import dataclasses

import numpy as np
import pytest

from components.features.parameters import InputParameters
from components.leave_one_out import turns as module
from components.leave_one_out.turns import leave_one_out
from components.metrics.open_set_turns import turn_figures
from components.models.parameters import LayerParameters
from components.models.secondary import build_secondary
from components.training.examples import Split
from components.training.learners import LearnerPool
from components.training.parameters import TrainingParameters
from components.training.targets import source_targets
from components.training.training import Training

REAL, OTHER = "real_camera", "other_a"
SOURCES = ("near_a", "near_b", "far_c")
SIDE, CHANNELS = 8, 16
INPUTS = InputParameters(representation="pixel", size=4 * SIDE)
TRAINING = TrainingParameters(epochs=3, early_stopping=3, batch_size=16, learning_rate=3e-3)


def make_split(name, each, sources=(REAL, OTHER, *SOURCES), copies=1):
    of_images = np.tile(np.repeat(list(sources), each), copies)
    paths = np.array([f"{source}/{name}_{number % each}" for number, source in enumerate(of_images)])
    return Split(name, (f"{name}.gz",), (of_images != REAL).astype(np.int32), of_images, paths)


def make_features(split, seed):
    """Noise, with one channel raised for each source."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(split.count, SIDE, SIDE, CHANNELS)).astype(np.float32)
    for channel, source in enumerate(SOURCES):
        features[split.sources == source, ..., channel] += 2.0
    return features


@pytest.fixture(scope="module")
def splits():
    return {"train": make_split("train", 16, copies=2), "eval": make_split("eval", 6), "test": make_split("test", 10)}


@pytest.fixture(scope="module")
def features(splits):
    return {name: make_features(split, seed) for seed, (name, split) in enumerate(splits.items())}


def carry_out(features, splits, sources=SOURCES, level="instance"):
    training = Training(splits, INPUTS, TRAINING, learners=LearnerPool())
    return leave_one_out(training, sources, features, "test", level)


@pytest.fixture
def trainings(monkeypatch):
    """What every training was given; heads stay untrained."""
    given = []

    def record(training, source, features, level):
        source_targets(source, training.splits, level)  # as a training does, refuses a source without images
        given.append((source, features, training.splits))
        head = build_secondary(features["eval"].shape[1:], INPUTS.pooled, LayerParameters(), len(given))
        return dataclasses.make_dataclass("Trained", ["model"])(head)

    monkeypatch.setattr(module, "train_head", record)
    return given


def test_no_training_is_given_any_image_of_the_left_out_source(features, splits, trainings):
    carry_out(features, splits)
    turns = [(left_out, source) for left_out in SOURCES for source in SOURCES if source != left_out]
    assert [source for source, _, _ in trainings] == [source for _, source in turns]
    for (left_out, _), (_, given_features, given_splits) in zip(turns, trainings, strict=True):
        assert set(given_splits) == set(given_features) == {"train", "eval"}
        for name, split in given_splits.items():
            assert left_out not in split.sources
            assert not any(path.startswith(left_out) for path in split.paths.tolist())
            assert split.images is None
            # Nothing else is missing, and features are those of the images beside them, copies included.
            kept = splits[name].sources != left_out
            np.testing.assert_array_equal(split.paths, splits[name].paths[kept])
            np.testing.assert_array_equal(split.labels, splits[name].labels[kept])
            np.testing.assert_array_equal(given_features[name], features[name][kept])


def test_a_left_out_source_has_no_say_in_what_its_turn_learns(features, splits):
    """Whatever its training images are: weights, and so all scores, stay the same to the last bit."""
    changed = {name: array.copy() for name, array in features.items()}
    for name in ("train", "eval"):
        changed[name][splits[name].sources == "far_c"] = 1e3
    before, after = (carry_out(given, splits, ("near_a", "far_c")).turns[1] for given in (features, changed))
    for score in before.scores:
        np.testing.assert_array_equal(before.scores[score], after.scores[score])


def test_an_unknown_unlike_all_that_heads_saw_is_found_by_its_distance(features, splits):
    """A known image with another, far stronger pattern on top: heads were never taught what that means."""
    strange = {name: array.copy() for name, array in features.items()}
    of_unknown = splits["test"].sources == "far_c"
    strange["test"][of_unknown] = 8 * features["test"][splits["test"].sources == "near_a"]
    evaluation = carry_out(strange, splits)
    (turn,) = [turn for turn in evaluation.turns if turn.left_out == "far_c"]
    figures = turn_figures([turn], "mahalanobis")
    assert figures.recall == 1.0
    assert figures.area == figures.accuracy > 0.9


def test_only_images_of_sources_that_take_turns_are_scored(features, splits, trainings):
    evaluation = carry_out(features, splits)
    assert [turn.left_out for turn in evaluation.turns] == list(SOURCES)
    for turn in evaluation.turns:
        assert (turn.sources.tolist(), turn.paths.tolist()) == tuple(
            column[np.isin(splits["test"].sources, SOURCES)].tolist()
            for column in (splits["test"].sources, splits["test"].paths)
        )
        assert turn.left_out not in turn.claimed
        assert set(turn.scores) == {"max_logit", "energy", "mahalanobis", "logit_per_head", "mahalanobis_per_head"}
        assert all(np.isfinite(values).all() for values in turn.scores.values())


def test_at_architecture_level_all_sources_of_an_architecture_are_left_out_together(features, splits, trainings):
    evaluation = carry_out(features, splits, ("near", "far"), level="architecture")
    assert [turn.left_out for turn in evaluation.turns] == ["near", "far"]
    assert evaluation.turns[0].unknown.sum() == 20
    for _, _, given_splits in trainings[:1]:
        assert not {"near_a", "near_b"} & set(given_splits["train"].sources)


def test_features_beyond_the_memory_budget_lie_in_a_file_and_are_the_same(features, splits, trainings, tmp_path):
    parameters = TRAINING.model_copy(update={"memory_budget_mb": 0})
    leave_one_out(Training(splits, INPUTS, parameters, scratch=tmp_path), SOURCES[:2], features, "test")
    _, given, _ = trainings[0]
    assert isinstance(given["train"], np.memmap)
    np.testing.assert_array_equal(given["train"], features["train"][splits["train"].sources != SOURCES[0]])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ((), "at least two, each once, got none"),
        (("near_a",), "at least two, each once, got near_a"),
        (("near_a", "near_a"), "at least two"),
        (("near_a", "nobody"), "'nobody' has no image in split 'train'"),
    ],
)
def test_sources_that_cannot_take_turns_are_refused(features, splits, trainings, sources, message):
    with pytest.raises(ValueError, match=message):
        carry_out(features, splits, sources)


def test_a_split_without_their_images_is_refused_before_anything_is_trained(features, splits, trainings):
    empty = {**splits, "test": make_split("test", 10, (REAL, OTHER))}
    with pytest.raises(ValueError, match="split 'test': holds no image of near_a, near_b, far_c"):
        carry_out(features, empty)
    assert not trainings
