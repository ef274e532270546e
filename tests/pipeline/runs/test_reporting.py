"""The run's report counts the verdicts that its servable gives, band included."""

from types import SimpleNamespace

import numpy as np
import pytest

from components.servable.assembly import Assembly
from components.training.trained import SplitScores
from pipeline.config.schema import validate_config
from pipeline.runs import reporting

SOURCES = np.array(["camera", "camera", "progan", "progan", "unseen"])
PATHS = np.array([f"{number}.png" for number in range(5)])
FAKE = np.array([0.2, 0.45, 0.6, 0.9, 0.8], np.float32)
CLAIM = np.array([0.0, 0.9, 0.9, 0.9, 0.1], np.float32)  # of the head of progan


@pytest.fixture
def confusion(monkeypatch):
    """Counts the verdicts on five images, with a threshold of 0.5 everywhere, by row and column."""
    labels = np.array([0, 0, 1, 1, 1])
    scored = {
        "primary": SplitScores(labels, FAKE, SOURCES, PATHS),
        "progan": SplitScores((SOURCES == "progan").astype(int), CLAIM, SOURCES, PATHS),
    }
    monkeypatch.setattr(reporting, "_output", lambda *given: SimpleNamespace(path=None))
    monkeypatch.setattr(reporting, "read_assembly", lambda path: Assembly("", {"progan": ""}, []))
    monkeypatch.setattr(reporting, "_test_scores", lambda records, name: scored[name])
    monkeypatch.setattr(reporting, "_threshold", lambda records, name: 0.5)

    def count(**verdict):
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
