import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from serving import contract
from serving.client import ClientOptions, PredictionError, ServerError, ServerUnreachableError, open_predictor
from serving.client.answers import answers_from_outputs
from serving.client.rest_client import RestClient

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def ways(server, model_base):
    return {"model": {"model": model_base}, "grpc": {"grpc": server.grpc}, "rest": {"rest": server.rest}}


@pytest.fixture(params=["model", "grpc", "rest"])
def predictor(request, ways):
    with open_predictor(**ways[request.param]) as predictor:
        yield predictor


def test_grpc_rest_and_local_answers_are_equal(ways, images, verdicts):
    answers = []
    for way in ways.values():
        with open_predictor(**way) as predictor:
            answers.append(predictor.predict(images))
    assert answers[0] == answers[1] == answers[2]
    assert [answer.verdict for answer in answers[0]] == verdicts
    # The same float32 to the last bit, whichever way it came, and one that is written as a float32.
    (green,) = {answer[2].source_probabilities["stylegan_green"] for answer in answers}
    assert green == pytest.approx(200 / 255, abs=1e-5)
    assert green == float(str(np.float32(green)))


def test_explain_brings_heatmaps_by_source(predictor, images):
    heatmaps = predictor.predict(images[1:2], contract.SIGNATURE_EXPLAIN)[0].heatmaps
    np.testing.assert_array_equal(heatmaps.sources["progan_red"], [[0, 1], [0, 0]])
    assert heatmaps.detection.dtype == np.float32
    assert predictor.predict(images[1:2])[0].heatmaps is None


def test_the_bad_row_and_the_reason_are_known_whichever_way_was_asked(predictor, images, undecodable):
    with pytest.raises(PredictionError) as caught:
        predictor.predict([*images, undecodable])
    assert (caught.value.code, caught.value.bad_row) == ("INVALID_ARGUMENT", len(images))
    assert "image_bytes" not in caught.value.reason


def test_an_empty_batch_has_no_answers(predictor):
    assert predictor.predict([]) == []


def test_after_an_error_the_client_goes_on(predictor, images):
    with pytest.raises(PredictionError):
        predictor.predict([b"junk"])
    assert len(predictor.predict(images)) == len(images)


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_an_unknown_model_is_not_found(ways, images, way):
    with open_predictor(**ways[way], model_name="other") as predictor, pytest.raises(ServerError) as caught:
        predictor.predict(images)
    assert caught.value.code == "NOT_FOUND"


@pytest.mark.parametrize(("way", "protocol"), [("grpc", "gRPC"), ("rest", "REST")])
def test_refused_connection_says_which_address_and_what_to_start(images, way, protocol):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        open_predictor(**{way: address}) as predictor,
        pytest.raises(ServerUnreachableError, match=rf"{address}.*genattr serve MODEL_BASE_DIR` on {protocol} port"),
    ):
        predictor.predict(images)


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_silent_server_runs_into_the_deadline(images, way):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with open_predictor(**{way: address}, timeout=0.5) as predictor, pytest.raises(ServerError) as caught:
            predictor.predict(images)
    assert caught.value.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE")


@pytest.mark.parametrize(
    "url", ["http://a b", "http://a\nb", "ftp://host", "http://", "http://host:8501/v1/models/x:predict"]
)
def test_impossible_urls_are_refused(url):
    with pytest.raises(ValueError, match="url: must be like"):
        RestClient(url)


def test_impossible_addresses_are_refused():
    with pytest.raises(ValueError, match="HOST:PORT"), open_predictor(grpc="http://host:8500"):
        pass
    with pytest.raises(ValueError, match="exactly one"), open_predictor(grpc="a:1", rest="b:2"):
        pass


@pytest.fixture
def canned():
    """Starts a server that answers every request the same, keeps connections open in word, and closes them in deed."""
    started = []

    def start(status, body):
        class Canned(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, *args):
                pass

        other = http.server.HTTPServer(("127.0.0.1", 0), Canned)
        thread = threading.Thread(target=other.serve_forever, args=(0.02,))
        thread.start()
        started.append((other, thread))
        return f"http://127.0.0.1:{other.server_port}"

    yield start
    for other, thread in started:
        other.shutdown()
        thread.join()
        other.server_close()


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b"{}"), (502, b"Bad Gateway"), (500, b"[]")])
def test_answers_that_are_not_tf_servings_are_server_errors(canned, images, status, body):
    with RestClient(canned(status, body), ClientOptions(deadline=0.5)) as client, pytest.raises(ServerError):
        client.predict(images)


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(canned):
    outputs = {"fake_probability": [0.25], "source_probabilities": [[]], "source_names": [[]], "verdict": ["real"]}
    with RestClient(canned(200, json.dumps({"outputs": outputs}).encode())) as client:
        assert client.predict([b"image"]) == client.predict([b"image"]) == client.predict([b"image"])


def test_a_model_without_heads_is_answered():
    outputs = {"fake_probability": [0.25], "source_probabilities": [[]], "source_names": [[]], "verdict": ["real"]}
    (answer,) = answers_from_outputs(outputs, 1)
    assert (answer.fake_probability, answer.source_probabilities, answer.verdict) == (0.25, {}, "real")


@pytest.mark.parametrize(
    "change", [{"verdict": []}, {"source_names": [["a"]]}, {"fake_probability": 0.5}, {"fake_probability": ["x"]}]
)
def test_outputs_of_another_shape_are_refused(change):
    outputs = {"fake_probability": [0.25], "source_probabilities": [[]], "source_names": [[]], "verdict": ["real"]}
    with pytest.raises(ServerError, match="not of the contract's shape"):
        answers_from_outputs(outputs | change, 1)


def test_the_rest_client_and_predict_files_need_no_tensorflow_and_no_grpc(server, images, tmp_path):
    (tmp_path / "a.png").write_bytes(images[1])
    code = """
import json, sys
from pathlib import Path
from serving.client import open_predictor
from serving.client.file_search import find
from serving.client.predict import predict_files
from pipeline.cli.predictions import WRITERS
with open_predictor(rest=sys.argv[1]) as predictor:
    WRITERS["jsonl"](predict_files(predictor, find([Path(sys.argv[2])]).images), sys.stdout)
heavy = [name for name in ("tensorflow", "keras", "grpc", "aiohttp", "matplotlib") if name in sys.modules]
print(json.dumps(heavy))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, server.rest, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    row, heavy = map(json.loads, run.stdout.splitlines())
    assert row["verdict"] == "contradiction"
    assert heavy == []


def test_the_asyncio_rest_client_needs_no_tensorflow_and_no_grpc(server, images, tmp_path):
    (tmp_path / "a.png").write_bytes(images[1])
    code = """
import asyncio, json, sys
from pathlib import Path
from serving.client import async_client
async def ask():
    async with async_client(rest=sys.argv[1]) as client:
        return await client.is_ready(), (await client.predict([Path(sys.argv[2]).read_bytes()]))[0].verdict
answer = asyncio.run(ask())
print(json.dumps([answer, [name for name in ("tensorflow", "keras", "grpc", "matplotlib") if name in sys.modules]]))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, server.rest, str(tmp_path / "a.png")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(run.stdout) == [[True, "contradiction"], []]
