"""Descriptions of servables, from assets alone: the directories here hold no graph that could be loaded."""

import json

import pytest

from serving import contract
from serving.errors import ServableError
from serving.servable.acceptance import Acceptance
from serving.servable.description import describe

POINTS = {"detection": 0.5, "sources": {"progan_celeba": 0.25, "sngan_celeba": 0.75}}


@pytest.fixture
def write(tmp_path):
    def write(text):
        assets = tmp_path / "7" / "assets"
        assets.mkdir(parents=True)
        (tmp_path / "7" / "saved_model.pb").write_bytes(b"none")
        (tmp_path / "7" / contract.ASSET_OPERATING_POINTS).write_text(text)
        return tmp_path

    return write


def test_everything_that_the_asset_holds_is_described(write):
    inputs = {"size": 128, "representation": "dct"}
    base = write(json.dumps({**POINTS, "level": "architecture", "input": inputs, "uncertain_band": [0.4, 0.6]}))
    described = describe(base)
    assert (described.version.number, described.detection, described.sources) == (7, 0.5, POINTS["sources"])
    assert (described.level, described.size, described.representation) == ("architecture", 128, "dct")
    assert described.in_words() == (
        "Version 7: dct input, a window of 128 x 128 pixels, heads: progan_celeba, sngan_celeba; uncertain from 0.4 to "
        "0.6."
    )


def test_an_acceptance_threshold_is_described(write):
    described = describe(write(json.dumps({**POINTS, "acceptance": 0.25})))
    assert described.acceptance == Acceptance("highest_head", 0.25)
    assert described.in_words().endswith("sngan_celeba; unknown generator below 0.25 of every head.")


@pytest.mark.parametrize(
    ("acceptance", "words"),
    [
        (
            Acceptance("max_logit", -1.5, 0.05),
            "unknown generator below -1.5 of max_logit, the highest head logit (known rejection 0.05)",
        ),
        (
            Acceptance("energy", 2.25, 0.1),
            "unknown generator below 2.25 of energy, the energy of heads (known rejection 0.1)",
        ),
        (Acceptance("max_logit", None, 0.05, "too few images"), "no acceptance threshold (too few images)"),
        (Acceptance("highest_head", None, 0.05, "too few images"), "no acceptance threshold (too few images)"),
    ],
)
def test_an_acceptance_threshold_of_any_score_or_its_absence_is_described(write, acceptance, words):
    described = describe(write(json.dumps({**POINTS, "acceptance": acceptance.to_json()})))
    assert described.acceptance == acceptance
    assert described.in_words().endswith(f"sngan_celeba; {words}.")


def test_a_servable_of_an_older_release_is_described_by_what_it_holds(write):
    described = describe(write(json.dumps(POINTS)))
    assert (described.level, described.size, described.representation) == ("instance", None, "")
    assert described.uncertain_band is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is damaged"),
        (json.dumps({"detection": 0.5}), "is damaged: 'sources'"),
        (json.dumps({**POINTS, "uncertain_band": [0.6, 0.4]}), "is damaged: uncertain_band must be two probabilities"),
        (json.dumps({**POINTS, "acceptance": 1.5}), "is damaged: acceptance must be a probability"),
        (json.dumps({**POINTS, "acceptance": {"score": "energy"}}), "is damaged: 'threshold'"),
        (
            json.dumps({**POINTS, "acceptance": {"score": "odds", "threshold": 1.0, "known_rejection": 0.05}}),
            "is damaged: acceptance score must be one of highest_head, max_logit, energy, got 'odds'",
        ),
        (
            json.dumps({**POINTS, "acceptance": {"score": "energy", "threshold": 1.0, "known_rejection": 5}}),
            "is damaged: acceptance known_rejection must lie between 0 and 1, got 5",
        ),
        (
            json.dumps(
                {**POINTS, "acceptance": {"score": "energy", "threshold": float("nan"), "known_rejection": 0.05}}
            ),
            "is damaged: acceptance threshold must be finite, got nan",
        ),
        (json.dumps({**POINTS, "detection": 1.5}), "the operating point of 'detection' must lie in 0..1"),
    ],
)
def test_a_damaged_asset_is_refused_by_name(write, text, reason):
    with pytest.raises(ServableError, match=rf"operating_points\.json: {reason}"):
        describe(write(text))
