"""Divergences against SciPy, the noise floor against simulation, and what is a breach."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from components.monitoring.classes import classes_of
from components.monitoring.divergence import compare, noise_floor, threshold_of
from components.monitoring.parameters import ColumnThresholds, MonitoringParameters
from components.monitoring.statistics import class_counts, read_statistics, row_count, statistics_of, write_statistics
from tests.support.request_logs import HEAD, entries

PARAMETERS = MonitoringParameters()


def statistics(count, seed, **world):
    return statistics_of((entry.image, entry.answer) for entry in entries(count, seed, **world))


@pytest.fixture(scope="module")
def reference():
    return statistics(2000, seed=0)


@pytest.fixture(scope="module")
def same_world():
    return statistics(1000, seed=1)


@pytest.fixture(scope="module")
def shifted():
    """A standard deviation in the bands, and three times fewer JPEG files."""
    return statistics(1000, seed=2, shift=1.0, jpegs=0.2)


def scipys(now, then):
    """SciPy's is the square root of the divergence."""
    names = sorted({*now, *then})
    return jensenshannon([now.get(name, 0) for name in names], [then.get(name, 0) for name in names], base=2) ** 2


@pytest.mark.parametrize("kind", ["skew", "drift"])
def test_divergences_are_scipys(reference, shifted, kind):
    now, then = class_counts(shifted), class_counts(reference)
    found = compare(shifted, reference, kind, PARAMETERS)
    assert [each.column for each in found] == list(now)
    for each in found:
        assert each.bits == pytest.approx(scipys(now[each.column], then[each.column]), abs=1e-9), each.column


def test_classes_are_counted_as_they_are_named():
    rows = list(entries(300, 0))
    counts = class_counts(statistics_of((row.image, row.answer) for row in rows))
    for column in ("format", "width", "jpeg_quality", "log_dct_band_3", f"source_probability.{HEAD}"):
        named = [classes_of(row.image, row.answer)[column] for row in rows]
        assert counts[column] == {name: named.count(name) for name in set(named)}


def test_equal_statistics_do_not_diverge_and_disjoint_ones_do_by_one_bit(reference):
    assert {each.bits for each in compare(reference, reference, "drift", PARAMETERS)} == {0.0}
    png, jpeg = (statistics(50, 0, jpegs=share) for share in (0.0, 1.0))
    (formats,) = [each for each in compare(png, jpeg, "drift", PARAMETERS) if each.column == "format"]
    assert formats.bits == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["skew", "drift"])
def test_the_same_world_breaches_nothing(reference, same_world, kind):
    assert {each.state for each in compare(same_world, reference, kind, PARAMETERS)} <= {"ok", "not judged"}


@pytest.mark.parametrize("kind", ["skew", "drift"])
def test_another_world_breaches_the_columns_that_changed_and_no_others(reference, shifted, kind):
    breached = {each.column for each in compare(shifted, reference, kind, PARAMETERS) if each.state == "breach"}
    assert breached == {"format", "jpeg_quality", *(f"log_dct_band_{number}" for number in range(1, 9))}


def test_too_few_rows_raise_no_alarm_and_are_called_so(reference):
    few = statistics(PARAMETERS.minimum_rows - 1, seed=3, shift=3.0)
    assert {each.state for each in compare(few, reference, "drift", PARAMETERS)} == {"too few rows"}


def test_rows_that_chance_alone_could_bring_above_the_threshold_are_too_few(reference, same_world):
    strict = MonitoringParameters(drift_threshold=0.001, minimum_rows=20)
    for each in compare(same_world, reference, "drift", strict):
        assert each.noise > 0.001
        assert each.state == "too few rows"


@pytest.mark.parametrize(
    ("rows", "others", "shares"),
    [
        (200, 2000, [0.5, 0.5]),
        (500, 500, [0.4, 0.3, 0.2, 0.1]),
        (1000, 2000, [0.1] * 10),
        (1000, 1000, [0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.04, 0.03, 0.02, 0.01]),
    ],
)
def test_samples_of_one_world_exceed_the_noise_floor_as_often_as_promised(rows, others, shares):
    rng = np.random.default_rng(0)
    level, draws = 0.05, 4000
    floor = noise_floor(rows, others, len(shares), level)
    first, second = rng.multinomial(rows, shares, draws) / rows, rng.multinomial(others, shares, draws) / others
    exceeded = np.mean(jensenshannon(first, second, base=2, axis=1) ** 2 > floor)
    # Three standard deviations of the count are 0.0103; the rest is left to the expansion's own error.
    assert exceeded == pytest.approx(level, abs=0.015)


def test_false_alarms_of_a_whole_look_stay_below_the_rate():
    """No threshold but the noise floor's own: the strictest case."""
    parameters = MonitoringParameters(drift_threshold=1e-9, skew_threshold=1e-9, false_alarm_rate=0.05, minimum_rows=20)
    alarms = 0
    for seed in range(20):
        now, then = statistics(400, seed=1000 + seed), statistics(400, seed=2000 + seed)
        alarms += any(each.bits > each.noise for each in compare(now, then, "drift", parameters))
    assert alarms <= 4  # of 20 at 5 %: more than 4 happen in 0.3 % of all cases


def test_a_column_with_one_class_has_no_noise():
    assert noise_floor(10, 10, 1, 0.01) == 0.0


@pytest.mark.parametrize(
    ("column", "kind", "thresholds", "expected"),
    [
        ("width", "skew", {}, 0.1),
        ("width", "drift", {"width": ColumnThresholds(drift=0.3)}, 0.3),
        ("width", "skew", {"width": ColumnThresholds(drift=0.3)}, 0.1),
        ("width", "drift", {"width": ColumnThresholds(drift=None)}, None),
        ("verdict", "skew", {}, None),
        ("verdict", "drift", {}, 0.1),
        ("verdict", "skew", {"verdict": ColumnThresholds(skew=0.2)}, 0.2),
        (f"source_probability.{HEAD}", "skew", {}, None),
        (f"source_probability.{HEAD}", "drift", {"source_probability": ColumnThresholds(drift=0.4)}, 0.4),
        (
            f"source_probability.{HEAD}",
            "drift",
            {
                "source_probability": ColumnThresholds(drift=0.4),
                f"source_probability.{HEAD}": ColumnThresholds(drift=0.5),
            },
            0.5,
        ),
    ],
)
def test_thresholds_of_a_column_go_before_general_ones(column, kind, thresholds, expected):
    assert threshold_of(column, kind, MonitoringParameters(thresholds=thresholds)) == expected


def test_skew_of_scores_is_judged_if_asked_for():
    assert threshold_of("fake_probability", "skew", MonitoringParameters(skew_of_scores=True)) == 0.1


def test_columns_that_only_one_side_has_are_left_out(reference):
    without_bytes = statistics_of((replace(entry.image, bytes=None), None) for entry in entries(300, 5))
    columns = {each.column for each in compare(reference, without_bytes, "skew", PARAMETERS)}
    assert columns == {
        "format",
        "height",
        "width",
        "jpeg_quality",
        *(f"log_dct_band_{number}" for number in range(1, 9)),
    }


def test_one_huge_image_moves_nothing(reference):
    """What bins that follow the range of the data would do."""
    rows = [(entry.image, entry.answer) for entry in entries(1000, 1)]
    rows.append((replace(rows[0][0], width=40_000, height=30_000, bytes=30_000_000), rows[0][1]))
    assert not [each for each in compare(statistics_of(rows), reference, "drift", PARAMETERS) if each.state == "breach"]


def test_statistics_read_back_and_are_tfdvs(reference, tmp_path):
    import tensorflow_data_validation as tfdv

    path = tmp_path / "assets.extra" / "reference_statistics.pb"
    write_statistics(reference, path)
    assert read_statistics(path) == reference == tfdv.load_stats_binary(str(path))
    assert row_count(reference) == 2000


@pytest.mark.parametrize("content", [b"", b"not a protobuf at all", b"\x0a\x00"])
def test_a_file_of_something_else_is_refused_by_name(content, tmp_path):
    path = tmp_path / "reference_statistics.pb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"reference_statistics\.pb: holds no reference statistics"):
        read_statistics(path)


def test_no_rows_have_no_statistics():
    with pytest.raises(ValueError, match="at least one"):
        statistics_of([])
