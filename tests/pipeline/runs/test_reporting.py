"""The run's report counts the verdicts that its servable gives, band included."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from components.servable.assembly import Assembly
from components.training import artifacts
from components.training.trained import SplitScores
from pipeline.config.schema import validate_config
from pipeline.runs import reporting
from serving import contract
from serving.servable.acceptance import Acceptance

SOURCES = np.array(["camera", "camera", "progan", "progan", "unseen"])
PATHS = np.array([f"{number}.png" for number in range(5)])
FAKE = np.array([0.2, 0.45, 0.6, 0.9, 0.8], np.float32)
CLAIM = np.array([0.0, 0.9, 0.9, 0.9, 0.1], np.float32)  # of the head of progan


@pytest.fixture
def confusion(monkeypatch, tmp_path):
    """Counts the verdicts on five images, with a threshold of 0.5 everywhere, by row and column."""
    labels = np.array([0, 0, 1, 1, 1])
    scored = {
        "primary": SplitScores(labels, FAKE, SOURCES, PATHS),
        "progan": SplitScores((SOURCES == "progan").astype(int), CLAIM, SOURCES, PATHS),
    }
    monkeypatch.setattr(reporting, "_output", lambda *given: SimpleNamespace(path=tmp_path))
    monkeypatch.setattr(reporting, "read_assembly", lambda path: Assembly("", {"progan": ""}, []))
    monkeypatch.setattr(reporting, "_test_scores", lambda records, name: scored[name])
    monkeypatch.setattr(reporting, "_threshold", lambda records, name: 0.5)

    points = tmp_path / artifacts.SERVING_FOLDER / contract.ASSET_OPERATING_POINTS
    points.parent.mkdir(parents=True)

    def count(acceptance=None, **verdict):
        points.write_text(json.dumps({"acceptance": acceptance.to_json()} if acceptance else {}))
        values = {"name": "demo", "data": {"dataset": "d"}, "output_root": "r", "sources": ["progan"]}
        rows, columns, counts = reporting._confusion(validate_config({**values, "verdict": verdict}, "test"), {})
        return columns, {
            (row, column): int(counts[r, c])
            for r, row in enumerate(rows)
            for c, column in enumerate(columns)
            if counts[r, c]
        }

    return count


def test_without_a_band_every_image_is_decided(confusion):
    columns, counts = confusion()
    assert "uncertain" not in columns
    assert counts == {
        ("real", "real"): 1,
        ("real", "contradiction"): 1,
        ("progan", "progan"): 2,
        ("unseen", "unknown_generator"): 1,
    }


def test_images_in_the_band_are_uncertain(confusion):
    columns, counts = confusion(uncertain_band=[0.4, 0.7])
    assert columns[-1] == "uncertain"
    assert counts == {
        ("real", "real"): 1,
        ("real", "uncertain"): 1,
        ("progan", "uncertain"): 1,
        ("progan", "progan"): 1,
        ("unseen", "unknown_generator"): 1,
    }


def test_a_band_that_no_image_lies_in_still_has_its_column(confusion):
    columns, counts = confusion(uncertain_band=[0.46, 0.5])
    assert columns[-1] == "uncertain"
    assert not any(column == "uncertain" for _, column in counts)


@pytest.mark.parametrize(
    "acceptance",
    [Acceptance("highest_head", 0.95), Acceptance("max_logit", 2.9, 0.05), Acceptance("energy", 2.9, 0.05)],
)
def test_fakes_below_the_acceptance_threshold_of_the_servable_are_of_unknown_generators(confusion, acceptance):
    _, counts = confusion(acceptance)  # the head is sure by a logit of 2.2
    assert counts == {
        ("real", "real"): 1,
        ("real", "contradiction"): 1,
        ("progan", "unknown_generator"): 2,
        ("unseen", "unknown_generator"): 1,
    }


def test_a_servable_without_a_threshold_decides_as_its_heads_do(confusion):
    assert confusion(Acceptance("energy", None, 0.05, "too few images")) == confusion()
