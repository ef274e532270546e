import base64
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serving import contract
from serving.client import ServerError, ServerUnreachableError, open_predictor
from serving.errors import ServableError, ServerStartError
from serving.servable.model import Servable
from serving.server.__main__ import main
from serving.server.configuration.options import ServerOptions
from tests.support.servers import running_server

ROOT = Path(__file__).parents[3]


def ports_of(addresses):
    return [int(address.rpartition(":")[2]) for address in (addresses.grpc, addresses.rest)]


def test_port_zero_takes_free_ports_on_loopback_and_reports_them(server):
    grpc_port, rest_port = ports_of(server)
    assert 0 not in (grpc_port, rest_port)
    assert server.grpc == f"127.0.0.1:{grpc_port}"
    assert server.rest == f"http://127.0.0.1:{rest_port}"
    assert server.version == 3


def test_stopping_answers_the_requests_in_flight_and_refuses_new_ones(options, images, monkeypatch):
    run, computing = Servable.run, threading.Semaphore(0)

    def slow_run(self, *args):
        computing.release()
        time.sleep(1.5)
        return run(self, *args)

    monkeypatch.setattr(Servable, "run", slow_run)
    answers = {}

    def ask(way, address):
        with open_predictor(**{way: address}) as predictor:
            answers[way] = predictor.predict(images)

    with running_server(options) as addresses:
        threads = [threading.Thread(target=ask, args=(way, getattr(addresses, way))) for way in ("grpc", "rest")]
        for thread in threads:  # one after the other: together they might be merged into one batch
            thread.start()
            assert computing.acquire(timeout=30)
        started = time.monotonic()
    assert time.monotonic() - started < 15  # it waited for the requests, not for the whole drain time
    for thread in threads:
        thread.join(timeout=30)
    assert len(answers["grpc"]) == len(answers["rest"]) == len(images)
    with open_predictor(rest=addresses.rest) as predictor, pytest.raises(ServerUnreachableError):
        predictor.predict(images)


def test_the_event_loop_answers_while_a_prediction_computes(options, images, monkeypatch):
    release, computing = threading.Event(), threading.Event()
    run = Servable.run

    def blocked_run(self, *args):
        computing.set()
        assert release.wait(30)
        return run(self, *args)

    monkeypatch.setattr(Servable, "run", blocked_run)
    with running_server(options) as addresses, open_predictor(rest=addresses.rest) as predictor:
        thread = threading.Thread(target=predictor.predict, args=(images,))
        thread.start()
        assert computing.wait(30)
        other = open_predictor(rest=addresses.rest, model_name="other", timeout=5)
        with other as client, pytest.raises(ServerError, match="NOT_FOUND"):
            client.predict(images)
        release.set()
        thread.join(timeout=30)


@pytest.mark.parametrize(("name", "index"), [("grpc_port", 0), ("rest_port", 1)])
def test_a_taken_port_is_named(options, server, name, index):
    taken = replace(options, **{name: ports_of(server)[index]})
    with pytest.raises(ServerStartError, match=f"{name}: cannot listen on 127.0.0.1"), running_server(taken):
        pass


def test_a_base_directory_without_a_model_is_refused(tmp_path, capsys):
    with pytest.raises(ServableError, match="holds no version"), running_server(ServerOptions(tmp_path)):
        pass
    assert main(["--model-base-path", str(tmp_path), "--grpc-port", "0", "--rest-port", "0"]) == 1
    assert "holds no version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"grpc_port": 65_536}, "grpc_port: must be 0"),
        ({"rest_port": 8500}, "rest_port: must differ"),
        ({"model_name": "a/b"}, "model_name"),
        ({"max_batch_rows": 0}, "max_batch_rows"),
        ({"drain_seconds": -1.0}, "drain_seconds"),
    ],
)
def test_impossible_options_are_refused_by_name(tmp_path, change, part):
    with pytest.raises(ValueError, match=part):
        ServerOptions(tmp_path, **change)


@pytest.mark.e2e
def test_the_process_writes_one_ready_line_and_ends_cleanly_on_sigterm(model_base, images, tmp_path):
    shutil.copytree(model_base / "3", tmp_path / "7")
    command = [sys.executable, "-m", "serving.server", "--grpc-port", "0", "--rest-port", "0"]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [*command, "--model-base-path", str(tmp_path)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert select.select([process.stdout], [], [], 120)[0], "no ready line within two minutes"
            ready = json.loads(process.stdout.readline())
            assert ready["version"] == 7
            with socket.create_connection(tuple(ready["grpc"].split(":")), timeout=10):
                pass
            with open_predictor(rest=ready["rest"]) as predictor:
                assert len(predictor.predict(images)) == len(images)
            process.send_signal(signal.SIGTERM)
            rest_of_stdout, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        logged = log.read()
    assert process.returncode == 0, logged
    assert rest_of_stdout == ""
    assert '"protocol": "rest", "peer": "127.0.0.1"' in logged
    assert "stopped" in logged


@pytest.mark.e2e
def test_a_server_whose_starter_is_gone_stops_by_itself(model_base):
    """However the starter ended: its end of the pipe goes with it."""
    command = [sys.executable, "-m", "serving.server", "--grpc-port", "0", "--rest-port", "0", "--until-end-of-input"]
    process = subprocess.Popen(
        [*command, "--model-base-path", str(model_base)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert json.loads(process.stdout.readline())["version"]
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_beyond_its_limit_on_requests_in_flight_rest_refuses_before_it_reads_a_body(options, images):
    """One request whose body has not arrived is in flight; the next is refused, and answered once that one is."""
    body = json.dumps({"instances": [{"image_bytes": {"b64": base64.b64encode(images[0]).decode()}}]}).encode()
    path = f"/v1/models/{contract.DEFAULT_MODEL_NAME}:predict"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def ask(address):
        connection = http.client.HTTPConnection(*address, timeout=30)
        connection.request("POST", path, body)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    with running_server(replace(options, max_concurrent_requests=1)) as addresses:
        address = urlsplit(addresses.rest).netloc.split(":")
        with socket.create_connection(address, timeout=30) as first:
            first.sendall(head + body[:10])
            deadline = time.monotonic() + 20
            while (refused := ask(address))[0] == 200:  # until the first one's head has arrived
                assert time.monotonic() < deadline
            assert refused[0] == 429
            assert "the queue of requests by REST is full: 1 are in flight" in refused[1]["error"]
            first.sendall(body[10:])
            assert first.recv(65_536).startswith(b"HTTP/1.1 200")
        assert ask(address)[0] == 200
