"""`genattr monitor`: exit codes, and what it prints."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from datetime import date

import pytest

from components.monitoring.statistics import statistics_of, write_statistics
from pipeline.cli.main import main
from pipeline.monitoring import trigger
from tests.support.request_logs import entries, write_day

BEFORE, DAY = date(2026, 11, 24), date(2026, 11, 25)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "reference_statistics.pb"
    write_statistics(statistics_of((entry.image, entry.answer) for entry in entries(800, 9)), path)
    return path


def log(folder, jpegs=0.7, rows=400):
    write_day(folder, BEFORE, entries(rows, 1, day=BEFORE))
    write_day(folder, DAY, entries(rows, 2, jpegs=jpegs))
    return str(folder)


def test_nothing_above_its_threshold_is_0(tmp_path, reference, capsys):
    assert main(["monitor", log(tmp_path / "log"), "--reference", str(reference)]) == 0
    said = capsys.readouterr().out
    assert "breaches   none" in said
    assert "log_dct_band_8" in said


def test_a_breach_is_1_and_named(tmp_path, reference, capsys):
    assert main(["monitor", log(tmp_path / "log", jpegs=0.0), "--reference", str(reference)]) == 1
    assert "breaches   format (skew), jpeg_quality (skew), format (drift)" in capsys.readouterr().out


def test_too_few_rows_are_0_and_said(tmp_path, capsys):
    assert main(["monitor", log(tmp_path / "log", jpegs=0.0, rows=50)]) == 0
    assert "too few rows" in capsys.readouterr().out


def test_json_has_everything(tmp_path, reference, capsys):
    report = tmp_path / "report.html"
    words = ["monitor", log(tmp_path / "log", jpegs=0.0), "--reference", str(reference), "--json"]
    assert main([*words, "--report", str(report)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["day"], document["rows"], document["breaches"]) == ("2026-11-25", 400, 4)
    assert {each["kind"] for each in document["divergences"]} == {"skew", "drift"}
    assert report.read_text().lower().startswith("<!doctype html>")


def test_no_log_at_all_is_1(tmp_path, capsys):
    assert main(["monitor", str(tmp_path / "nowhere")]) == 1
    assert "nowhere: is not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--every", "5"], "--every: says how to look again and again"),
        (["--listen", "0", "--json"], "--json: is about one look"),
        (["--listen", "0", "--day", "2026-11-25"], "--day: is about one look"),
        (["--listen", "0", "--every", "0"], "--every: must be a number of seconds above 0"),
        (["--listen", "70000"], "--listen: must be 0 (any free port) to 65535, got 70000"),
        (["--set", "monitoring.baseline_days=2"], "Add --config CONFIG"),
        (["--on-breach", "run"], "--on-breach: runs the pipeline of a configuration"),
        (["--config", "x.yaml", "--on-breach", "submit"], "Add --kubeflow URL"),
        (["--kubeflow", "http://x"], "--kubeflow: is for --on-breach submit"),
        (["--config", "absent.yaml"], "absent.yaml: cannot be read"),
    ],
)
def test_bad_usage_is_2(tmp_path, words, reason, capsys):
    assert main(["monitor", str(tmp_path), *words]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("words", [["--day", "yesterday"], ["--servable", "a", "--reference", "b"]])
def test_words_that_the_parser_refuses_are_2(tmp_path, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["monitor", str(tmp_path), *words])
    assert ended.value.code == 2


def configuration(folder, **monitoring):
    path = folder / "demo.yaml"
    values = {"name": "demo", "data": {"dataset": "x"}, "output_root": str(folder / "out"), "monitoring": monitoring}
    path.write_text(json.dumps(values))
    return str(path)


def test_thresholds_are_the_configurations(tmp_path, reference):
    words = ["monitor", log(tmp_path / "log", jpegs=0.0), "--reference", str(reference), "--config"]
    lenient = configuration(tmp_path, skew_threshold=1.0, drift_threshold=1.0)
    assert main([*words, lenient]) == 0
    assert main([*words, lenient, "--set", "monitoring.drift_threshold=0.1"]) == 1


def test_a_breach_starts_one_run(tmp_path, reference, monkeypatch, capsys):
    started = []

    class Process:
        returncode = 0

        def __init__(self, command):
            started.append(command)

        def wait(self):
            return 0

    monkeypatch.setattr(trigger.subprocess, "Popen", Process)
    words = ["monitor", log(tmp_path / "log", jpegs=0.0), "--reference", str(reference), "--on-breach", "run"]
    for _ in range(3):
        assert main([*words, "--config", configuration(tmp_path)]) == 1
    assert [command[3] for command in started] == ["run"]
    assert "cool-down" in capsys.readouterr().err


@pytest.fixture
def signals_afterwards():
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def test_listening_serves_what_it_found_and_ends_on_a_signal(tmp_path, reference, signals_afterwards):
    port, scraped = free_port(), []

    def scrape_and_stop():
        until = time.monotonic() + 60
        while not (scraped and "drift_breach" in scraped[-1]) and time.monotonic() < until:
            time.sleep(0.05)
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
                scraped.append(response.read().decode())
        os.kill(os.getpid(), signal.SIGTERM)

    scraper = threading.Thread(target=scrape_and_stop)
    words = ["monitor", log(tmp_path / "log", jpegs=0.0), "--reference", str(reference), "--listen", str(port)]
    # From before the first signal can come until after the last: one without a handler would end the tests.
    signal.signal(signal.SIGTERM, lambda *_: None)
    scraper.start()
    assert main([*words, "--every", "60"]) == 0
    scraper.join()
    assert 'generator_attribution_drift_breach{column="format",kind="drift"} 1' in scraped[-1]
