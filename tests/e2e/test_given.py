"""A head for a new generator on the primary module of a servable that was pushed elsewhere: the whole pipeline."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import CONFIGURED, LATER, SIZE, Recorder, small_configuration

pytestmark = pytest.mark.e2e

TERMS = {"weights": "non-commercial", "sources": {"nearest_demo": "made here"}}


def run(values):
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    recorder = Recorder()
    outcome = run_pipeline(validate_config(values, "test"), "local", recorder)
    assert outcome.error is None, outcome.report.message
    return outcome, recorder.ended


@pytest.fixture(scope="module")
def given(dataset, tmp_path_factory):
    """Version directory of a model for residuals with two heads."""
    values = small_configuration(dataset, tmp_path_factory.mktemp("elsewhere") / "run")
    outcome, _ = run({**values, "input": {"representation": "residual", "size": SIZE}, "licences": TERMS})
    return Path(str(outcome.report.servable))


@pytest.fixture(scope="module")
def built_on(given, dataset, tmp_path_factory):
    """A run that adds one head to it: version directory, outcome, states of its nodes."""
    values = small_configuration(dataset, tmp_path_factory.mktemp("mine") / "run", (LATER,))
    values |= {"name": "mine", "input": {"representation": "residual", "size": SIZE}}
    values["primary"] = {**values["primary"], "model": str(given.parent)}
    outcome, states = run(values)
    return Path(str(outcome.report.servable)), outcome, states


@pytest.fixture(scope="module")
def answers(given, built_on, image_tree):
    """What both say of the same images."""
    from serving.client import open_predictor

    images = [path.read_bytes() for path in sorted(image_tree.glob("*/*/*[05].png"))]
    spoken = []
    for version in (given, built_on[0]):
        with open_predictor(model=version) as predictor:
            spoken.append(predictor.predict(images))
    return spoken


def test_detection_and_kept_heads_answer_as_the_given_model_does(answers):
    for before, after in zip(*answers, strict=True):
        assert list(after.source_probabilities) == [*CONFIGURED, LATER]
        assert after.fake_probability == before.fake_probability
        for source in CONFIGURED:
            np.testing.assert_allclose(
                after.source_probabilities[source], before.source_probabilities[source], atol=1e-5
            )


def test_thresholds_are_kept(given, built_on):
    before, after = (
        json.loads((version / "assets" / "operating_points.json").read_text()) for version in (given, built_on[0])
    )
    assert after["detection"] == before["detection"]
    assert {source: after["sources"][source] for source in CONFIGURED} == before["sources"]


def test_the_new_head_alone_is_judged(built_on):
    _, _, states = built_on
    assert states[f"Evaluator.{LATER}"] == "executed"
    assert not {f"Evaluator.{source}" for source in CONFIGURED} & states.keys()


def test_the_report_misses_nothing_but_the_verdicts(built_on):
    _, outcome, _ = built_on
    assert outcome.report.missing == []
    assert outcome.report.confusion is None
    assert [model.name for model in outcome.report.models] == ["primary", LATER]


def test_terms_and_images_of_the_given_model_go_with_what_is_pushed(given, built_on):
    from serving.servable.trained_on import read_trained_on

    before, after = read_trained_on(given), read_trained_on(built_on[0])
    assert after.licence == "non-commercial"
    assert {source.name for source in before.sources} <= {source.name for source in after.sources}
    card = json.loads((built_on[0] / "assets.extra" / "model_card.json").read_text())
    assert (card["origin"]["model"], card["origin"]["taken"]) == (str(given), True)
    assert [span["models"] for span in card["data"]] == [[LATER]]


def test_it_can_be_built_upon_again(built_on):
    from components.servable.modules_file import rebuild_modules
    from serving.servable.versions import find_version

    assert list(rebuild_modules(find_version(built_on[0]))[1]) == [*CONFIGURED, LATER]
