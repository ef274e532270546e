"""The report's section on unknown generators: figures, cautions, curve, and nothing from outside as markup."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest

from components.metrics.open_set_turns import OpenSetEvaluation, OpenSetTurn, turn_figures
from pipeline.report.data import RunReport
from pipeline.report.open_set_view import open_set_view
from pipeline.report.run import render
from pipeline.report.text import MISSING

SOURCES = ("near_a", "near_b", "far_c")


def turn_of(left_out, each=120, sources=SOURCES):
    draw = np.random.default_rng(ord(left_out[-1]))
    of_images = np.repeat(list(sources), each)
    unknown = of_images == left_out
    claimed = np.where(unknown, next(source for source in SOURCES if source != left_out), of_images)
    paths = np.array([f"{source}/{number % each}" for number, source in enumerate(of_images)])
    scores = {name: draw.normal(size=len(of_images)) - apart * unknown for name, apart in (
        ("max_logit", 0.5), ("energy", 1.0), ("mahalanobis", 3.0)
    )}  # fmt: skip
    return OpenSetTurn(left_out, of_images, paths, claimed, scores)


def report_with(evaluation, **changes):
    nothing = {"nodes": [], "data": None, "models": [], "confusion": None, "versions": {}, "digests": {}}
    created = datetime(2025, 1, 2, tzinfo=UTC)
    return RunReport(
        pipeline="faces", run_id="1", created=created, outcome="pushed", message="", servable=None,
        configuration="", open_set=evaluation, **{**nothing, **changes},
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluation():
    return OpenSetEvaluation("test", [turn_of(source) for source in SOURCES])


def test_every_source_has_a_row_and_all_turns_one_with_intervals(evaluation):
    view = open_set_view(evaluation)
    assert [row.left_out for row in view.turns] == list(SOURCES)
    for row, turn in zip(view.turns, evaluation.turns, strict=True):
        figures = [turn_figures([turn], name) for name in evaluation.score_names]
        assert [(cell.recall, cell.area) for cell in row.cells] == [(one.recall, one.area) for one in figures]
        assert (row.known, row.unknown, row.accuracy) == (240, 120, 1.0)
    assert (view.pooled.known, view.pooled.unknown) == (720, 360)
    for cell in view.pooled.cells:
        assert cell.interval[0] <= cell.recall <= cell.interval[1]


def test_the_score_with_the_highest_recall_stands_out(evaluation):
    view = open_set_view(evaluation)
    assert view.best == "Mahalanobis"
    assert [cell.best for cell in view.pooled.cells] == [False, False, True]


def test_few_images_are_called_rough_and_many_are_not(evaluation):
    few = OpenSetEvaluation("test", [turn_of("near_a", each=20), turn_of("far_c")])
    (note,) = [note for note in open_set_view(few).cautions if note.startswith("Rough")]
    assert "near_a (20 unknown, 40 known)" in note
    assert "far_c" not in note
    assert not [note for note in open_set_view(evaluation).cautions if note.startswith("Rough")]


def test_without_unknown_images_there_is_no_curve_and_the_page_says_dashes():
    evaluation = OpenSetEvaluation("test", [turn_of("far_c", sources=("near_a", "near_b"))])
    view = open_set_view(evaluation)
    assert view.curve is None
    assert not any(cell.best for cell in view.pooled.cells)
    assert f'<td class="n">{MISSING}</td>' in render(report_with(evaluation))


def test_the_page_has_a_section_with_the_curve_and_says_what_the_primary_module_has_seen(evaluation):
    page = render(report_with(evaluation))
    (section,) = re.findall(r'<section id="unknown">.*?</section>', page, re.DOTALL)
    assert 'href="#unknown"' in page
    assert "has seen the left-out source" in section
    assert "<svg" in section
    for heading in ("highest logit", "energy", "Mahalanobis"):
        assert heading in section
    assert "\\mathdefault" not in section  # matplotlib's own labels of a logarithmic axis


def test_a_run_that_did_not_measure_it_has_no_such_section():
    page = render(report_with(None))
    assert 'id="unknown"' not in page
    assert 'href="#unknown"' not in page
    assert open_set_view(OpenSetEvaluation("test", [])) is None


def test_names_of_sources_do_not_become_markup():
    turn = turn_of("far_c")
    hostile = OpenSetTurn("<script>x</script>", turn.sources, turn.paths, turn.claimed, turn.scores)
    assert "<script>" not in render(report_with(OpenSetEvaluation("test", [hostile])))
