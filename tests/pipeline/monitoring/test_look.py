"""One look at a log: what is compared with what, and what is said of what is not."""

from datetime import date

import pytest

from components.monitoring.parameters import MonitoringParameters
from components.monitoring.statistics import statistics_of, write_statistics
from pipeline.monitoring.look import NothingLoggedError, look
from pipeline.monitoring.reference import Reference, find_reference
from pipeline.monitoring.report import write_look
from serving import contract
from serving.errors import ServableError
from tests.support.request_logs import HEAD, entries, write_day

BEFORE, DAY = date(2026, 11, 24), date(2026, 11, 25)
PARAMETERS = MonitoringParameters()
NO_REFERENCE = Reference("none was given")


@pytest.fixture(scope="module")
def reference():
    statistics = statistics_of((entry.image, entry.answer) for entry in entries(1000, 9))
    return Reference("reference.pb", 3, statistics)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


def breached(found, kind):
    return {each.column for each in found.breaches if each.kind == kind}


def test_an_unshifted_log_breaches_nothing(folder, reference):
    write_day(folder, BEFORE, entries(600, 1, day=BEFORE))
    write_day(folder, DAY, entries(600, 2))
    found = look(folder, PARAMETERS, reference)
    assert found.breaches == []
    assert (found.day, found.rows, found.baseline, found.baseline_rows) == (DAY, 600, [BEFORE], 600)
    assert (found.model, found.version, found.reference_rows) == ("generator_attribution", 3, 1000)
    assert found.notes == []


def test_a_log_that_shifted_from_one_day_to_the_next_drifts_and_skews(folder, reference):
    write_day(folder, BEFORE, entries(600, 1, day=BEFORE))
    write_day(folder, DAY, entries(600, 2, jpegs=0.1))
    found = look(folder, PARAMETERS, reference)
    assert breached(found, "drift") == breached(found, "skew") == {"format", "jpeg_quality"}


def test_a_log_that_shifted_long_ago_skews_and_does_not_drift(folder, reference):
    for seed, day in enumerate((BEFORE, DAY)):
        write_day(folder, day, entries(600, seed, jpegs=0.1, day=day))
    found = look(folder, PARAMETERS, reference)
    assert breached(found, "skew") == {"format", "jpeg_quality"}
    assert breached(found, "drift") == set()


def test_an_earlier_day_can_be_looked_at(folder, reference):
    write_day(folder, BEFORE, entries(300, 1, day=BEFORE))
    write_day(folder, DAY, entries(300, 2, jpegs=0.0))
    found = look(folder, PARAMETERS, reference, BEFORE)
    assert (found.day, found.baseline, found.breaches) == (BEFORE, [], [])
    assert "drift is not measured: no earlier day is logged" in found.notes


def test_the_baseline_are_the_last_days_that_were_logged(folder):
    days = [date(2026, 11, number) for number in (1, 10, 20, 24)]
    for seed, day in enumerate([*days, DAY]):
        write_day(folder, day, entries(100, seed, day=day))
    found = look(folder, MonitoringParameters(baseline_days=3), NO_REFERENCE)
    assert (found.baseline, found.baseline_rows) == (days[1:], 300)


def test_scores_of_another_version_are_left_out_and_its_images_are_not(folder, reference):
    write_day(folder, BEFORE, entries(400, 1, day=BEFORE, version=2))
    write_day(folder, DAY, entries(500, 2, version=3), "host-1")
    write_day(folder, DAY, entries(100, 3, version=2), "host-2")
    found = look(folder, PARAMETERS, reference)
    rows = {(each.column, each.kind): each.rows for each in found.divergences}
    assert (rows["format", "skew"], rows["verdict", "skew"]) == (600, 500)
    assert ("format", "drift") in rows
    assert ("verdict", "drift") not in rows
    assert "scores of 100 rows are left out, which other versions answered" in found.notes


def test_a_reference_of_another_version_is_called_so(folder, reference):
    write_day(folder, DAY, entries(300, 2, version=4))
    assert any("the reference is that of version 3" in note for note in look(folder, PARAMETERS, reference).notes)


def test_malformed_lines_are_counted_and_shown(folder, reference):
    path = write_day(folder, DAY, entries(300, 2))
    with path.open("a") as stream:
        stream.write("nonsense\n" * 7)
    found = look(folder, PARAMETERS, reference)
    assert (found.rows, found.malformed) == (300, 7)
    assert f"{path.name}:301" in found.malformed_examples[0]


def test_without_rows_it_says_what_there_is(folder):
    folder.mkdir()
    with pytest.raises(NothingLoggedError, match="holds no request log yet"):
        look(folder, PARAMETERS, NO_REFERENCE)
    write_day(folder, BEFORE, entries(10, 1, day=BEFORE))
    with pytest.raises(NothingLoggedError, match=r"no rows on 2026-11-25. Logged are 2026-11-24 to 2026-11-24"):
        look(folder, PARAMETERS, NO_REFERENCE, DAY)
    with pytest.raises(NothingLoggedError, match="no rows of model 'other'"):
        look(folder, PARAMETERS, NO_REFERENCE, BEFORE, "other")


def test_the_reference_is_that_of_the_newest_version(tmp_path):
    for number in (2, 10):
        version = tmp_path / str(number)
        version.mkdir()
        (version / "saved_model.pb").write_bytes(b"")
        rows = ((entry.image, entry.answer) for entry in entries(number, 0))
        write_statistics(statistics_of(rows), version / contract.REFERENCE_STATISTICS)
    found = find_reference(tmp_path, None)
    assert (found.version, found.statistics.datasets[0].num_examples) == (10, 10)


def test_a_servable_without_a_reference_is_said_to_have_none_and_drift_is_measured_alone(tmp_path, folder):
    (tmp_path / "models" / "7").mkdir(parents=True)
    (tmp_path / "models" / "7" / "saved_model.pb").write_bytes(b"")
    for seed, day in enumerate((BEFORE, DAY)):
        write_day(folder, day, entries(300, seed, day=day))
    found = look(folder, PARAMETERS, find_reference(tmp_path / "models", None))
    assert {each.kind for each in found.divergences} == {"drift"}
    assert found.reference is None
    assert any("skew is not measured" in note and "models/7" in note for note in found.notes)


def test_a_servable_that_is_none_is_refused(tmp_path):
    with pytest.raises(ServableError, match="holds no version"):
        find_reference(tmp_path, None)


def test_the_report_shows_every_column_and_escapes_names(folder, reference, tmp_path):
    write_day(folder, BEFORE, entries(300, 1, day=BEFORE))
    path = write_day(folder, DAY, entries(300, 2, jpegs=0.0))
    path.write_text(path.read_text().replace('"verdict":"real"', '"verdict":"<script>x"'))
    write_look(look(folder, PARAMETERS, reference), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    for column in ("format", "log_dct_band_8", f"source_probability.{HEAD}"):
        assert f'<th scope="row">{column}</th>' in text
    assert '<span class="pill bad">breach</span>' in text
    assert "Content-Security-Policy" in text
    assert "<script>" not in text
    assert "&lt;script&gt;x" in text
