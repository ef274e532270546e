"""The four clients against small servers that fail in ways a real one cannot be made to."""

import http.server
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client import PredictionError, ServerError
from serving.client.grpc_messages import server_error
from serving.client.retries import is_passing
from tests.support.clients import KINDS, opened_client

HTTP = {"UNAVAILABLE": 503, "INVALID_ARGUMENT": 400, "RESOURCE_EXHAUSTED": 429, "NOT_FOUND": 404}


class Script:
    """What both fake servers do: `failures` are (code, message), one a request; an image b"<n>" is answered n / 100."""

    def __init__(self):
        self.failures, self.requests, self.hang = [], 0, threading.Event()
        self.hanging, self.slow_first, self.bad = False, False, None
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    def answer(self, images):
        with self.lock:
            self.requests += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            failure = self.failures.pop(0) if self.failures else None
        try:
            if self.hanging:
                self.hang.wait(20)
            if self.slow_first:
                time.sleep(0.2 if images[0] == b"0" else 0.05)
            if self.bad in images:
                failure = ("INVALID_ARGUMENT", f"image_bytes[{images.index(self.bad)}]: is bad")
            return failure, [np.float32(int(image)) / 100 for image in images]
        finally:
            with self.lock:
                self.in_flight -= 1


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, script):
        self.script = script

    def Predict(self, request, context):
        images = list(request.inputs["image_bytes"].string_val)
        failure, fakes = self.script.answer(images)
        if failure:
            context.abort(grpc.StatusCode[failure[0]], failure[1])
        response = predict_pb2.PredictResponse()
        rows = len(fakes)
        for name, value in {
            "fake_probability": np.array(fakes, np.float32),
            "source_probabilities": np.zeros((rows, 0), np.float32),
            "source_names": np.zeros((rows, 0), object),
            "verdict": np.array([b"real"] * rows, object),
        }.items():
            dtype = tf.string if value.dtype == object else tf.float32
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value, dtype, value.shape))
        return response


class Models(model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request, context):
        versions = [{"version": 4, "state": 20}, {"version": 3, "state": 30}]
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=versions[:1] if request.model_spec.version.value == 4 else versions
        )


def serve_grpc(script):
    server = grpc.server(ThreadPoolExecutor(16))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(script), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return f"127.0.0.1:{port}", lambda: server.stop(0).wait()


def serve_rest(script):
    import base64

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            images = [base64.b64decode(row["b64"]) for row in body["inputs"]["image_bytes"]]
            failure, fakes = script.answer(images)
            rows = len(fakes)
            outputs = {
                "fake_probability": list(map(float, fakes)),
                "source_probabilities": [[]] * rows,
                "source_names": [[]] * rows,
                "verdict": ["real"] * rows,
            }
            self.say(HTTP[failure[0]] if failure else 200, {"error": failure[1]} if failure else {"outputs": outputs})

        def do_GET(self):
            versions = [{"version": "4", "state": "LOADING"}, {"version": "3", "state": "AVAILABLE"}]
            if self.path.endswith("/versions/4"):
                versions = versions[:1]
            self.say(200, {"model_version_status": versions})

        def say(self, status, document):
            body = json.dumps(document).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def stop():
        server.shutdown()
        thread.join()
        server.server_close()

    return f"http://127.0.0.1:{server.server_port}", stop


@pytest.fixture
def script():
    return Script()


@pytest.fixture(params=KINDS)
def open_client(request, script):
    protocol = request.param.split()[-1]
    address, stop = (serve_grpc if protocol == "grpc" else serve_rest)(script)
    with ExitStack() as clients:

        def opening(**options):
            client = opened_client(request.param, first_backoff=0.01, **{protocol: address}, **options)
            return clients.enter_context(client)

        yield opening
        script.hang.set()
    stop()


IMAGES = [str(number).encode() for number in range(20)]
IN_ORDER = [number / 100 for number in range(20)]


def asked(client, images=None):
    return [answer.fake_probability for answer in client.predict(IMAGES if images is None else images)]


@pytest.mark.parametrize(
    "failure",
    [("UNAVAILABLE", "loading"), ("RESOURCE_EXHAUSTED", "the queue holds 8 of 8 rows, and 1 more do not fit")],
)
def test_what_passes_by_itself_is_asked_again(open_client, script, failure):
    script.failures = [failure] * 3
    assert asked(open_client(), IMAGES[:2]) == IN_ORDER[:2]
    assert script.requests == 4


@pytest.mark.parametrize("failure", [("NOT_FOUND", "no such model"), ("RESOURCE_EXHAUSTED", "larger than max")])
def test_what_does_not_pass_is_asked_once(open_client, script, failure):
    script.failures = [failure] * 3
    with pytest.raises(ServerError, match=failure[1]):
        asked(open_client(), IMAGES[:2])
    assert script.requests == 1


def test_answers_that_come_out_of_order_are_put_in_order(open_client, script):
    script.slow_first = True
    assert asked(open_client(batch_size=3)) == IN_ORDER
    assert script.requests == 7


def test_no_more_requests_are_in_flight_than_allowed(open_client, script):
    script.slow_first = True
    asked(open_client(batch_size=1, concurrency=3))
    assert script.most_in_flight == 3


def test_a_bad_row_is_named_by_its_place_in_the_callers_list(open_client, script):
    script.bad = b"13"
    with pytest.raises(PredictionError) as caught:
        asked(open_client(batch_size=5, concurrency=1))
    assert (caught.value.bad_row, caught.value.reason) == (13, "is bad")
    assert script.requests == 3  # what came after it was never sent


def test_a_server_that_hangs_ends_in_deadline_exceeded_after_the_whole_time(open_client, script):
    script.hanging = True
    start = time.monotonic()
    with pytest.raises(ServerError) as caught:
        asked(open_client(batch_size=2, concurrency=2, deadline=0.5))
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 2 * 0.5 + 1


def test_the_versions_and_whether_the_model_is_ready(open_client):
    client = open_client()
    assert client.versions() == [(4, "LOADING"), (3, "AVAILABLE")]
    assert client.is_ready()


def test_a_version_that_is_still_loading_is_not_ready(open_client):
    client = open_client(version=4)
    assert client.versions() == [(4, "LOADING")]
    assert not client.is_ready()


def test_a_grpc_request_that_a_stopping_server_ends_is_sent_again():
    error = server_error(grpc.StatusCode.CANCELLED, "CANCELLED", "host:1", 60.0)
    assert is_passing(error)
    assert "host:1 ended the request" in error.message
