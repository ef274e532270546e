"""What a client sees while versions change, the queue overflows, and the server is told to stop."""

import asyncio
import json
import shutil
import time
from collections import Counter

import numpy as np
import pytest
from tensorflow_serving.apis import get_model_status_pb2

from serving import contract
from tests.support.load import (
    CLOSED,
    REFUSED,
    REST_PREDICT,
    STATUS,
    Reply,
    Wire,
    closed_loop,
    encode_image,
    open_loop,
    open_wire,
    predict_body,
    predict_message,
    read_answers,
    server_process,
)

RATE = 200.0  # requests a second, half of them by each protocol
HEAD = b"progan_red"  # the name of the fixture's first head, as its graph holds it
POLL = ("--poll-seconds", "0.3")
SWAP_WITHIN = 60.0  # seconds
DRAIN = 30.0  # seconds, the server's default
# A call that arrives in the moment in which gRPC shuts down is cancelled; clients send it again.
REFUSALS = {"UNAVAILABLE", "CANCELLED", "503", REFUSED, CLOSED}


@pytest.fixture
def base(tmp_path):
    """An empty base directory."""
    base = tmp_path / contract.DEFAULT_MODEL_NAME
    base.mkdir()
    return base


@pytest.fixture
def push(base, model_base):
    """Puts version n in place as the Pusher does; its graph names its first head `progan_r<n>`."""

    def run(version, broken=False):
        aside = base / f".pushing-{version}"
        shutil.copytree(model_base / "3", aside)
        graph = aside / "saved_model.pb"
        renamed = graph.read_bytes().replace(HEAD, f"progan_r{version:02d}".encode())
        graph.write_bytes(renamed[: len(renamed) // 2] if broken else renamed)
        aside.rename(base / str(version))

    return run


@pytest.fixture
def ask(images):
    """Asks about the five known images: number i by gRPC if even, by REST if odd."""
    message, body = predict_message(images), predict_body(images)

    async def send(wire: Wire, number: int, due: float | None = None) -> Reply:
        return await (wire.rest(body, due=due) if number % 2 else wire.grpc(message, due=due))

    return send


@pytest.fixture
def slow_images():
    """Images of few bytes that take a tenth of a second or so to decode."""
    return [encode_image(np.full((3000, 3000, 3), grey, np.uint8), "PNG") for grey in (60, 120)]


def version_of(reply: Reply) -> int:
    """The version that answered: by the name of its head, and where the answer says it, by that too."""
    answers = read_answers(reply)
    version = int(answers.sources[0].removeprefix("progan_r"))
    assert answers.version in (None, version)
    return version


async def statuses(wire: Wire) -> dict[int, get_model_status_pb2.ModelVersionStatus]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = contract.DEFAULT_MODEL_NAME
    reply = await wire.grpc(request.SerializeToString(), STATUS)
    assert reply.code == "OK", reply
    response = get_model_status_pb2.GetModelStatusResponse.FromString(reply.body)
    return {status.version: status for status in response.model_version_status}


async def until_state(wire: Wire, version: int, state: str) -> dict[int, get_model_status_pb2.ModelVersionStatus]:
    wanted = get_model_status_pb2.ModelVersionStatus.State.Value(state)
    end = time.monotonic() + SWAP_WITHIN
    while time.monotonic() < end:
        found = await statuses(wire)
        if version in found and found[version].state == wanted:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"version {version} did not become {state}: {found}")


def report(name: str, replies: list[Reply]) -> None:
    """For `-s`."""
    asked = [reply.asked for reply in replies]
    late = sorted(reply.seconds for reply in replies)
    rate = len(replies) / (max(asked) - min(asked))
    print(
        f"\n{name}: {len(replies)} requests, {rate:.0f}/s; p50 {late[len(late) // 2] * 1e3:.1f} ms, "
        f"p99 {late[len(late) * 99 // 100] * 1e3:.1f} ms, longest {late[-1] * 1e3:.0f} ms; "
        f"{dict(Counter(reply.code for reply in replies))}"
    )


@pytest.mark.e2e
def test_a_hot_swap_under_load_loses_no_request(base, push, ask, tmp_path, verdicts):
    push(1)

    async def scenario(server):
        moments = {}  # version -> when it was complete on disk, and when it was served
        async with open_wire(server) as wire:
            stop = asyncio.Event()
            load = asyncio.create_task(open_loop(lambda number, due: ask(wire, number, due), RATE, stop))
            for version in (2, 3, 4, 5):
                await asyncio.sleep(2.0)
                pushed = time.monotonic()
                await asyncio.to_thread(push, version, broken=version == 4)
                if version == 4:
                    found = await until_state(wire, 4, "END")
                    assert found[4].status.error_code != 0
                    assert found[4].status.error_message
                    assert found[3].state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
                else:
                    await until_state(wire, version, "AVAILABLE")
                    moments[version] = (pushed, time.monotonic())
            await asyncio.sleep(3.0)
            settled = time.monotonic() - 1.0
            stop.set()
            return await load, moments, settled

    with server_process(base, tmp_path / "log", *POLL) as server:
        replies, moments, settled = asyncio.run(scenario(server))
    report("hot swap", replies)
    failed = [reply for reply in replies if not reply.answered]
    assert failed == []
    for reply in replies:
        answered = reply.asked + reply.seconds
        possible = {1} | {version for version, (pushed, _) in moments.items() if pushed <= answered}
        assert version_of(reply) in possible
        assert read_answers(reply).verdicts[0] == verdicts[0]
    assert {version_of(reply) for reply in replies} == {1, 2, 3, 5}
    assert {version_of(reply) for reply in replies if reply.asked > settled} == {5}
    assert len(replies) > 0.9 * RATE * (replies[-1].asked - replies[0].asked)


@pytest.mark.e2e
def test_sigterm_under_load_finishes_what_is_in_flight_and_refuses_the_rest(base, push, ask, slow_images, tmp_path):
    push(1)
    slow_message, slow_body = predict_message(slow_images), predict_body(slow_images)

    async def scenario(server):
        async with open_wire(server) as wire:
            await closed_loop(lambda number: ask(wire, number), 4, count=20)  # connections are there
            stop = asyncio.Event()
            load = asyncio.create_task(open_loop(lambda number, due: ask(wire, number, due), 50.0, stop))
            await asyncio.sleep(1.0)
            slow = [
                asyncio.create_task(wire.rest(slow_body) if number % 2 else wire.grpc(slow_message))
                for number in range(10)
            ]
            await asyncio.sleep(0.3)  # they have arrived
            in_flight = sum(not task.done() for task in slow)
            told = time.monotonic()
            server.terminate()
            code = await asyncio.to_thread(server.wait)
            ended = time.monotonic()
            await asyncio.sleep(0.5)
            stop.set()
            return await load, await asyncio.gather(*slow), in_flight, told, ended, code

    with server_process(base, tmp_path / "log") as server:
        replies, slow, in_flight, told, ended, code = asyncio.run(scenario(server))
    report("SIGTERM", replies)
    assert code == 0
    assert ended - told < DRAIN
    assert in_flight > 2, "nothing was in flight, so this showed nothing"
    assert [reply.code for reply in slow if not reply.answered] == []
    for reply in replies:
        # What was sent in the last moment before may have arrived after.
        if reply.asked < told - 0.1:
            assert reply.answered, reply
        else:
            assert reply.answered or reply.code in REFUSALS, reply
        if reply.answered:
            assert len(read_answers(reply).verdicts) == 5
    assert any(reply.code in REFUSALS for reply in replies)


@pytest.mark.e2e
def test_a_request_whose_body_is_still_arriving_at_sigterm_is_answered(base, push, images, tmp_path):
    push(1)
    body = predict_body(images)

    async def scenario(server):
        host, _, port = server.rest.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {REST_PREDICT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body[:100])
        await asyncio.sleep(0.5)  # the head has been read
        server.terminate()
        await asyncio.sleep(0.5)
        told = time.monotonic()
        writer.write(body[100:])
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return answer, time.monotonic() - told

    with server_process(base, tmp_path / "log") as server:
        answer, seconds = asyncio.run(scenario(server))
        assert server.wait() == 0
    assert answer.startswith(b"HTTP/1.1 200"), f"{answer[:200]} after {seconds:.1f} s"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]


@pytest.mark.e2e
def test_a_full_queue_refuses_and_then_serves_on(base, push, ask, slow_images, tmp_path):
    push(1)
    message, body = predict_message(slow_images), predict_body(slow_images)
    small = ("--max-enqueued-batches", "1", "--max-batch-size", "4", "--num-batch-threads", "1")

    async def scenario(server):
        async with open_wire(server) as wire:
            burst = await asyncio.gather(
                *(wire.rest(body, timeout=60) if number % 2 else wire.grpc(message, timeout=60) for number in range(60))
            )
            return burst, await closed_loop(lambda number: ask(wire, number), 1, count=20)

    with server_process(base, tmp_path / "log", *small) as server:
        burst, after = asyncio.run(scenario(server))
        assert server.is_running()
    report("full queue", burst)
    grpc_codes = {reply.code for reply in burst[::2]}
    rest_codes = {reply.code for reply in burst[1::2]}
    assert grpc_codes | rest_codes <= {"OK", "200", "RESOURCE_EXHAUSTED", "429"}
    assert "RESOURCE_EXHAUSTED" in grpc_codes
    assert "429" in rest_codes
    assert any(reply.answered for reply in burst)
    assert all(reply.body for reply in burst if not reply.answered), "a refusal must give its reason"
    assert [reply.code for reply in after if not reply.answered] == []


@pytest.mark.e2e
def test_memory_stays_flat_over_requests_and_swaps(base, push, ask, tmp_path):
    """In small; benchmarks/serving.py measures it over 50,000 requests."""
    push(1)
    swaps, requests = 5, 2_000

    async def scenario(server):
        megabytes = []
        async with open_wire(server) as wire:
            for version in range(2, swaps + 4):  # the first two swaps warm up
                replies = await closed_loop(lambda number: ask(wire, number), 8, count=requests // swaps)
                assert all(reply.answered for reply in replies)
                await asyncio.to_thread(push, version)
                await until_state(wire, version, "AVAILABLE")
                await asyncio.sleep(0.5)  # the old version goes
                megabytes.append(server.megabytes())
        return megabytes

    with server_process(base, tmp_path / "log", *POLL) as server:
        megabytes = asyncio.run(scenario(server))
    print(f"\nmemory after each swap: {[round(value) for value in megabytes]} MB")
    assert megabytes[-1] < 1.1 * megabytes[1] + 20, megabytes


def test_versions_of_the_fixture_can_be_told_apart(base, push, model_base):
    push(7)
    graph = (base / "7" / "saved_model.pb").read_bytes()
    assert graph.count(b"progan_r07") == (model_base / "3" / "saved_model.pb").read_bytes().count(HEAD) > 0
    assert [entry.name for entry in base.iterdir()] == ["7"]
