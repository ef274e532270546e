"""What Prometheus scrapes."""

import re
import threading
import time
import urllib.error
import urllib.request
from datetime import date

import pytest

from components.monitoring.parameters import MonitoringParameters
from components.monitoring.statistics import statistics_of
from pipeline.monitoring.exporter import look_repeatedly, metrics_server
from pipeline.monitoring.gauges import Gauges
from pipeline.monitoring.look import NothingLoggedError, look
from pipeline.monitoring.reference import Reference
from tests.support.request_logs import entries, write_day

DAY = date(2026, 11, 25)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Skewed in format and quality."""
    folder = tmp_path_factory.mktemp("log")
    write_day(folder, DAY, entries(500, 2, jpegs=0.1))
    statistics = statistics_of((entry.image, entry.answer) for entry in entries(800, 9))
    return look(folder, MonitoringParameters(), Reference("reference.pb", 3, statistics))


def metric(gauges, start):
    lines = gauges.render().decode().splitlines()
    (line,) = [each for each in lines if each.startswith(start)]
    return float(line.rpartition(" ")[2])


def test_gauges_hold_what_was_found(found):
    gauges = Gauges()
    started = time.time()
    gauges.looked(found)
    (width,) = [each for each in found.divergences if each.column == "width"]
    assert metric(gauges, 'generator_attribution_skew_divergence{column="width"}') == pytest.approx(width.bits)
    assert metric(gauges, 'generator_attribution_drift_breach{column="format",kind="skew"}') == 1
    assert metric(gauges, 'generator_attribution_drift_breach{column="width",kind="skew"}') == 0
    assert metric(gauges, 'generator_attribution_monitor_rows{of="day"}') == 500
    assert metric(gauges, 'generator_attribution_monitor_rows{of="reference"}') == 800
    assert metric(gauges, "generator_attribution_monitor_last_success_timestamp_seconds ") >= started


def test_columns_that_are_not_judged_are_measured_and_no_breach(found):
    gauges = Gauges()
    gauges.looked(found)
    text = gauges.render().decode()
    assert 'skew_divergence{column="verdict"}' in text
    assert 'breach{column="verdict"' not in text


def test_every_metric_is_described_once_and_has_no_series_twice(found):
    gauges = Gauges()
    for _ in range(2):
        gauges.looked(found)
        gauges.failed()
        gauges.run_started()
    text = gauges.render().decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names)) == len(re.findall(r"^# HELP ", text, re.MULTILINE))
    series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))


def test_a_failed_look_leaves_what_was_found_and_is_counted(found):
    gauges = Gauges()
    gauges.looked(found)
    gauges.failed()
    assert metric(gauges, 'generator_attribution_monitor_rows{of="day"}') == 500
    assert metric(gauges, 'generator_attribution_monitor_looks_total{outcome="failed"}') == 1


def test_when_nothing_is_logged_any_more_no_divergence_stays(found):
    gauges = Gauges()
    gauges.looked(found)
    gauges.nothing_logged()
    assert metric(gauges, 'generator_attribution_monitor_rows{of="day"}') == 0
    assert "divergence{" not in gauges.render().decode()


def get(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.status, response.headers["Content-Type"], response.read()


def test_metrics_and_health_are_served_on_the_loopback_address(found):
    gauges = Gauges()
    gauges.looked(found)
    with metrics_server("127.0.0.1", 0, gauges) as port:
        status, kind, content = get(f"http://127.0.0.1:{port}/metrics")
        assert (status, content) == (200, gauges.render())
        assert kind.startswith("text/plain; version=0.0.4")
        assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"http://127.0.0.1:{port}/other")


def test_a_port_that_is_taken_is_refused_by_name():
    with (
        metrics_server("127.0.0.1", 0, Gauges()) as port,
        pytest.raises(OSError, match=f"port: cannot listen on .*:{port}"),
        metrics_server("127.0.0.1", port, Gauges()),
    ):
        pass


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(ValueError, match=f"got {port}"), metrics_server("127.0.0.1", port, Gauges()):
        pass


def test_looks_go_on_after_one_that_failed(found):
    outcomes = iter([OSError("the volume is away"), NothingLoggedError("no rows"), found])
    gauges, stop, told, shown = Gauges(), threading.Event(), [], []

    def look_once():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        stop.set()
        return outcome

    look_repeatedly(look_once, gauges, 0.001, shown.append, told.append, stop)
    assert told == ["the volume is away", "no rows"]
    assert shown == [found]
    assert metric(gauges, 'generator_attribution_monitor_looks_total{outcome="done"}') == 2
    assert metric(gauges, 'generator_attribution_monitor_looks_total{outcome="failed"}') == 1
