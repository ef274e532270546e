"""Figures over turns: against counting by hand, and a bootstrap written a second time, image by image."""

import json

import numpy as np
import pytest

from components.metrics.open_set import open_set_area, open_set_curve, unknown_recall
from components.metrics.open_set_turns import (
    KNOWN_REJECTION,
    OpenSetEvaluation,
    OpenSetTurn,
    best_score,
    pooled_curve,
    recall_interval,
    to_document,
    turn_figures,
)

SOURCES = ("a", "b", "c")


def turn_of(left_out, seed=0, each=30, apart=1.5, sources=SOURCES):
    """Scores "good" lie `apart` higher for known images; "poor" ones say nothing. One known image in ten goes wrong."""
    draw = np.random.default_rng((seed, ord(left_out)))
    of_images = np.repeat(list(sources), each)
    heads = [source for source in SOURCES if source != left_out]
    right = (of_images != left_out) & (draw.random(len(of_images)) < 0.9)
    claimed = np.where(right, of_images, draw.choice(heads, len(of_images)))
    paths = np.array([f"{source}/{number % each}" for number, source in enumerate(of_images)])
    good = draw.normal(size=len(of_images)) + apart * (of_images != left_out)
    return OpenSetTurn(left_out, of_images, paths, claimed, {"poor": draw.normal(size=len(of_images)), "good": good})


@pytest.fixture(scope="module")
def evaluation():
    return OpenSetEvaluation("test", [turn_of(source) for source in SOURCES])


def test_a_turns_figures_are_those_of_its_own_images(evaluation):
    turn = evaluation.turns[1]
    unknown = turn.sources == "b"
    figures = turn_figures([turn], "good")
    expected = unknown_recall(turn.scores["good"][~unknown], turn.scores["good"][unknown], KNOWN_REJECTION)
    correct = (turn.claimed == turn.sources)[~unknown]
    curve = open_set_curve(correct, turn.scores["good"][~unknown], turn.scores["good"][unknown])
    assert (figures.recall, figures.known_rejection, figures.threshold) == expected
    assert (figures.known, figures.unknown) == (60, 30)
    assert figures.area == open_set_area(curve) <= figures.accuracy == correct.mean()


def test_pooled_figures_have_one_threshold_for_all_turns(evaluation):
    known = np.concatenate([turn.scores["good"][turn.sources != turn.left_out] for turn in evaluation.turns])
    unknown = np.concatenate([turn.scores["good"][turn.sources == turn.left_out] for turn in evaluation.turns])
    figures = turn_figures(evaluation.turns, "good")
    assert (figures.known, figures.unknown) == (180, 90)
    assert figures.recall == (unknown < figures.threshold).mean()
    assert (known < figures.threshold).mean() <= KNOWN_REJECTION
    assert pooled_curve(evaluation.turns, "good").correct_rate[-1] == figures.accuracy


def test_the_score_that_tells_them_apart_is_the_best(evaluation):
    assert best_score(evaluation) == "good"


def test_without_unknown_images_recall_and_area_are_not_numbers_and_the_document_is_still_json():
    turns = [turn_of("a", sources=("b", "c")), turn_of("b")]
    figures = turn_figures(turns[:1], "good")
    assert np.isnan([figures.recall, figures.area]).all()
    assert figures.known == 60
    document = json.loads(json.dumps(to_document(OpenSetEvaluation("test", turns)), allow_nan=False))
    assert document["turns"]["a"]["good"]["recall"] is None
    assert document["pooled"]["good"]["recall"] == turn_figures(turns, "good").recall


def test_without_known_images_nothing_is_a_number():
    figures = turn_figures([turn_of("a", sources=("a",))], "good")
    assert np.isnan([figures.recall, figures.area, figures.accuracy, figures.threshold]).all()
    assert np.isnan(recall_interval([turn_of("a", sources=("a",))], "good")).all()


def test_the_interval_holds_the_recall_and_that_of_a_bootstrap_written_image_by_image(evaluation):
    low, high = recall_interval(evaluation.turns, "good")
    assert low < turn_figures(evaluation.turns, "good").recall < high
    draw, recalls = np.random.default_rng(7), []
    for _ in range(500):
        drawn = {source: draw.integers(0, 30, 30) for source in SOURCES}
        known, unknown = [], []
        for turn in evaluation.turns:
            by_path = dict(zip(turn.paths, turn.scores["good"], strict=True))
            for source, numbers in drawn.items():
                scores = [by_path[f"{source}/{number}"] for number in numbers]
                (unknown if source == turn.left_out else known).extend(scores)
        recalls.append(unknown_recall(np.array(known), np.array(unknown), KNOWN_REJECTION).recall)
    np.testing.assert_allclose((low, high), np.percentile(recalls, [2.5, 97.5]), atol=0.05)


def test_the_interval_treats_equal_scores_as_the_recall_does():
    turn = turn_of("a")
    rounded = OpenSetTurn("a", turn.sources, turn.paths, turn.claimed, {"good": np.round(turn.scores["good"])})
    low, high = recall_interval([rounded], "good")
    assert low <= turn_figures([rounded], "good").recall <= high


def test_more_images_make_the_interval_narrower():
    few, many = (recall_interval([turn_of("a", each=each)], "good") for each in (20, 400))
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_no_turn_has_no_best_score():
    with pytest.raises(ValueError, match="at least one turn"):
        best_score(OpenSetEvaluation("test", []))
