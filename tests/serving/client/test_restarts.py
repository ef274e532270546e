"""A folder is asked for while the server is restarted, or goes away for good."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from serving.client import ClientOptions, ServerUnreachableError, open_predictor
from serving.client.file_search import find
from serving.client.predict import predict_files
from serving.server.configuration.options import ServerOptions
from tests.support.servers import running_server
from tests.support.small_servable import COLOURS

BATCH, CONCURRENCY, FILES = 2, 2, 30
# What can have been asked when the first row is read: what is in flight, one more, and the first itself.
READ_AHEAD = BATCH * (CONCURRENCY + 2)
DOWN_SECONDS = 0.5


@pytest.fixture
def folder(tmp_path, make_image):
    """Colours in turn, so that an answer that went to another file would be seen."""
    colours = list(COLOURS.values())
    expected = []
    for number in range(FILES):
        colour, verdict = colours[number % len(colours)]
        (tmp_path / f"{number:02}.png").write_bytes(make_image(colour))
        expected.append((f"{number:02}.png", verdict))
    return tmp_path, expected


@pytest.fixture
def started(model_base):
    """A server that the test itself stops: its stack, its options on the ports that it got, its addresses."""
    options = ServerOptions(model_base, grpc_port=0, rest_port=0)
    with ExitStack() as stack:
        addresses = stack.enter_context(running_server(options))
        ports = {"grpc_port": int(addresses.grpc.split(":")[-1]), "rest_port": int(addresses.rest.split(":")[-1])}
        yield stack, replace(options, **ports), addresses


def asking(way, addresses, deadline):
    options = ClientOptions(concurrency=CONCURRENCY, deadline=deadline, max_backoff=0.5)
    return open_predictor(**{way: getattr(addresses, way)}, options=options)


@pytest.mark.e2e
@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_no_file_is_lost_when_the_server_is_restarted_meanwhile(way, folder, started):
    path, expected = folder
    stack, options, addresses = started

    def restart():
        time.sleep(DOWN_SECONDS)
        return stack.enter_context(running_server(options))

    with asking(way, addresses, deadline=60.0) as predictor, ThreadPoolExecutor(1) as restarting:
        rows = predict_files(predictor, find([path]).images, BATCH)
        answered = [next(rows)]
        stack.close()
        restarted = restarting.submit(restart)
        answered.extend(rows)
        assert restarted.result() == addresses
    assert [(row.path.name, row.verdict) for row in answered] == expected
    assert all(row.error is None for row in answered)


@pytest.mark.e2e
@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_server_that_never_comes_back_is_named_after_the_rows_that_it_answered(way, folder, started):
    path, expected = folder
    stack, _, addresses = started
    answered = []
    address = getattr(addresses, way)
    with asking(way, addresses, 2.0) as predictor, pytest.raises(ServerUnreachableError, match=f"answers at {address}"):
        for row in predict_files(predictor, find([path]).images, BATCH):
            answered.append((row.path.name, row.verdict))
            stack.close()
    assert BATCH <= len(answered) <= READ_AHEAD
    assert answered == expected[: len(answered)]
