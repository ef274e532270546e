"""What a server logs of its requests: the same rows by both protocols, and nothing that hurts an answer."""

import re
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from serving import contract
from serving.client import open_predictor
from serving.request_log import writer
from serving.request_log.options import RequestLogOptions
from serving.request_log.reading import logged_days, read_days
from tests.support.servers import running_server
from tests.support.small_servable import COLOURS, GREEN, RED, VERSION

ROOT = Path(__file__).resolve().parents[4]


def logged(folder):
    read = read_days(folder, logged_days(folder))
    assert read.malformed == 0
    return read.entries


def outcomes(addresses):
    with urllib.request.urlopen(f"{addresses.rest}/monitoring/prometheus/metrics") as response:
        found = re.findall(r'request_log_rows_total\{outcome="(\w+)"\} (\d+)', response.read().decode())
    return {outcome: int(rows) for outcome, rows in found}


@pytest.fixture
def logging_options(options, tmp_path):
    return replace(options, request_log=RequestLogOptions(tmp_path / "log", share=1.0))


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_every_answered_row_is_logged_as_it_was_answered(logging_options, images, protocol, tmp_path):
    with (
        running_server(logging_options) as addresses,
        open_predictor(**{protocol: getattr(addresses, protocol)}) as predictor,
    ):
        answers = predictor.predict(images)
    entries = logged(tmp_path / "log")
    assert [entry.answer.verdict for entry in entries] == [verdict for _, verdict in COLOURS.values()]
    for entry, answer in zip(entries, answers, strict=True):
        assert (entry.answer.model, entry.answer.version) == (contract.DEFAULT_MODEL_NAME, VERSION)
        assert entry.answer.fake_probability == pytest.approx(answer.fake_probability, abs=1e-6)  # six digits
        assert entry.answer.source_probabilities == pytest.approx(answer.source_probabilities, abs=1e-6)
        assert (entry.image.format, entry.image.height, entry.image.width) == ("PNG", 16, 16)
    assert set(entries[0].answer.source_probabilities) == {RED, GREEN}


def test_heatmaps_are_logged_as_answers_are_and_refused_requests_are_not(
    logging_options, images, undecodable, tmp_path
):
    with running_server(logging_options) as addresses, open_predictor(rest=addresses.rest) as predictor:
        predictor.predict(images[:2], contract.SIGNATURE_EXPLAIN)
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            predictor.predict([undecodable])
    assert len(logged(tmp_path / "log")) == 2


def test_metrics_say_what_became_of_rows(logging_options, images):
    with running_server(logging_options) as addresses, open_predictor(rest=addresses.rest) as predictor:
        assert outcomes(addresses) == {"written": 0, "dropped": 0, "failed": 0}
        predictor.predict(images)
        while outcomes(addresses)["written"] < len(images):
            pass
        assert outcomes(addresses) == {"written": len(images), "dropped": 0, "failed": 0}


def test_a_log_that_cannot_keep_up_drops_rows_and_answers_go_on(logging_options, images, monkeypatch, tmp_path):
    import threading

    gate, measure = threading.Event(), writer.measure
    monkeypatch.setattr(writer, "measure", lambda encoded: gate.wait(30) and measure(encoded))
    tight = replace(logging_options, request_log=replace(logging_options.request_log, max_waiting_rows=1))
    with running_server(tight) as addresses, open_predictor(rest=addresses.rest) as predictor:
        for _ in range(4):
            assert len(predictor.predict(images)) == len(images)
        dropped = outcomes(addresses)["dropped"]
        assert dropped >= 4 * len(images) - 2  # one is being measured, one waits
        gate.set()
    assert len(logged(tmp_path / "log")) == 4 * len(images) - dropped


def test_two_servers_log_into_one_folder_at_once(logging_options, images, tmp_path):
    with (
        running_server(logging_options) as one,
        running_server(logging_options) as other,
        open_predictor(rest=one.rest) as first,
        open_predictor(grpc=other.grpc) as second,
    ):
        for _ in range(5):
            first.predict(images)
            second.predict(images)
    assert len(logged(tmp_path / "log")) == 10 * len(images)


def test_without_the_option_nothing_is_logged_and_no_metric_is_there(server, images):
    with open_predictor(rest=server.rest) as predictor:
        predictor.predict(images)
    assert outcomes(server) == {}


def test_a_folder_that_cannot_be_written_keeps_a_server_from_starting(model_base, tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(model_base), "--grpc-port", "0"]
    done = subprocess.run(
        [*command, "--rest-port", "0", "--request-log", str(tmp_path / "file" / "log")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--request-log-share", "0.5"], "--request-log-share: says how requests are logged, but not where"),
        (["--request-log-images"], "--request-log-images: says how"),
        (
            ["--request-log", "log", "--request-log-share", "2"],
            "^--request-log-share: must be above 0 and at most 1, got 2.0",
        ),
    ],
)
def test_words_that_make_no_sense_are_refused(words, reason):
    import argparse

    from serving.server.arguments import add_server_arguments, options_from

    parser = argparse.ArgumentParser()
    add_server_arguments(parser)
    with pytest.raises(ValueError, match=reason):
        options_from(parser.parse_args(words), Path("models"))
