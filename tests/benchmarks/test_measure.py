"""How benchmarks measure: what counts, what is shown, and that a failing one does not pass for a result."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import measure, run
from benchmarks.measure import Measurement, Row


def _row(**values):
    return Row(**{"name": "a row", "ratio": 2.0, "goal": 1.5, "of": "images a CPU-second", **values})


@pytest.mark.parametrize(
    ("ratio", "goal", "at_most", "reached"),
    [
        (2.0, 1.5, False, True),
        (1.4, 1.5, False, False),
        (2.6, 2.5, True, False),
        (2.5, 2.5, True, True),
        (1, None, False, None),
    ],
)
def test_a_goal_is_a_lower_bound_unless_it_is_an_upper_one(ratio, goal, at_most, reached):
    assert _row(ratio=ratio, goal=goal, at_most=at_most).reached is reached


def test_a_row_survives_json():
    row = _row(
        ours=Measurement(10, 1.0, 2.0, 3, 4), yardstick=Measurement(10, 2.0, 4.0, 5), limit={"matrix products": 0.5}
    )
    assert measure.from_dict(json.loads(json.dumps(measure.to_dict(row)))) == row


def test_peak_memory_is_that_of_the_measurement_alone():
    earlier = np.ones(2**26, np.uint8)
    del earlier
    with measure.measured(1) as small:
        pass
    with measure.measured(1) as large:
        np.ones(2**26, np.uint8)
    assert large.peak_bytes - small.peak_bytes == pytest.approx(2**26, rel=0.1)


def test_processor_time_counts_children_and_not_sleep():
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    with measure.measured(1) as working:
        subprocess.run([sys.executable, "-S", "-c", busy], check=True)
    with measure.measured(1) as sleeping:
        time.sleep(0.3)
    assert working.cpu_seconds >= 0.29
    assert sleeping.cpu_seconds < 0.2 < 0.3 <= sleeping.wall_seconds


def test_ways_take_turns_after_a_call_that_does_not_count():
    calls = []
    totals = measure.by_turns({name: lambda name=name: calls.append(name) for name in ("ours", "theirs")}, 7, rounds=2)
    assert calls == ["ours", "theirs"] * 3
    assert {name: one.images for name, one in totals.items()} == {"ours": 14, "theirs": 14}


def test_disk_is_the_size_of_all_files(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "inner" / "b").write_bytes(b"123")
    with measure.measured(1, tmp_path) as one:
        pass
    assert one.disk_bytes == 8


def test_the_table_marks_what_was_missed():
    hit, missed = measure.table([_row(), _row(ratio=1.0)]).splitlines()[2:]
    assert "missed" in missed
    assert "missed" not in hit


def test_a_result_comes_back_from_the_forked_process():
    assert run.in_own_process(sorted, [3, 1, 2]) == [1, 2, 3]


def test_a_failing_benchmark_raises_with_its_traceback():
    with pytest.raises(run.BenchmarkError, match="ZeroDivisionError"):
        run.in_own_process(divmod, 1, 0)


def test_a_benchmark_that_dies_raises():
    with pytest.raises(run.BenchmarkError, match="ended with 3"):
        run.in_own_process(os_exit, 3)


def os_exit(code):
    """Ends the process at once, as a crash of native code does."""
    import os

    os._exit(code)


def test_a_result_is_kept_under_its_day_and_mode(tmp_path):
    path = run.write_result(tmp_path, {"date": "2026-01-02T03:04:05+00:00", "short": True})
    assert path == tmp_path / "2026-01-02-short.json"
    assert json.loads(path.read_text())["short"] is True
