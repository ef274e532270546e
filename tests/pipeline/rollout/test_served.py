"""The way of a version from canary to stable and back, on a server that follows models.config, under requests."""

import shutil
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from pipeline.rollout.edit import Place
from pipeline.rollout.labels import promote, roll_back
from pipeline.rollout.models_file import ModelsFileError
from pipeline.rollout.server_status import Servers
from serving import contract
from serving.client import ClientOptions, open_predictor
from serving.errors import ServableError
from serving.server.configuration.options import ServerOptions
from tests.support.images import encode, noise
from tests.support.servers import running_server
from tests.support.small_servable import export_servable

HEAD = b"progan_red"  # the name of the fixture's first head, as its graph holds it
IMAGE = encode(noise(1))


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servable") / "1"
    export_servable(folder)
    return folder


@pytest.fixture
def serving(tmp_path, servable):
    """Versions 1, 2 and 3, whose first heads are called progan_r01 and so on; 4 cannot be loaded."""
    folder = tmp_path / "serving"
    for version in (1, 2, 3, 4):
        path = folder / contract.DEFAULT_MODEL_NAME / str(version)
        shutil.copytree(servable, path)
        graph = path / "saved_model.pb"
        renamed = graph.read_bytes().replace(HEAD, f"progan_r{version:02d}".encode())
        graph.write_bytes(renamed if version < 4 else renamed[: len(renamed) // 2])
    (folder / "models.config").write_text(
        f"""model_config_list {{ config {{
          name: "{contract.DEFAULT_MODEL_NAME}" base_path: "{folder / contract.DEFAULT_MODEL_NAME}"
          model_platform: "tensorflow" model_version_policy {{ specific {{ versions: 1 }} }}
          version_labels {{ key: "stable" value: 1 }} }} }}"""
    )
    return folder


@contextmanager
def served(folder):
    """A server of the folder's models.config, which it looks at five times a second."""
    options = ServerOptions(
        None, model_config_file=folder / "models.config", grpc_port=0, rest_port=0, poll_seconds=0.2, drain_seconds=5
    )
    with running_server(options) as addresses:
        yield addresses


def answering(addresses, label):
    """The version that answers a request for a label, or without one."""
    with open_predictor(rest=addresses.rest, options=ClientOptions(label=label)) as predictor:
        return version_of(predictor.predict([IMAGE])[0])


def version_of(answer):
    return int(next(iter(answer.source_probabilities)).removeprefix("progan_r"))


@contextmanager
def asked_all_the_time(addresses):
    """Asks for label stable, and without a label, one request after the other; yields what came back for each."""
    stop, answers = threading.Event(), {"stable": Counter(), None: Counter()}

    def ask(label):
        with open_predictor(grpc=addresses.grpc, options=ClientOptions(label=label)) as predictor:
            while not stop.is_set():
                try:
                    answers[label][version_of(predictor.predict([IMAGE])[0])] += 1
                except Exception as error:
                    answers[label][f"{type(error).__name__}: {error}"] += 1

    threads = [threading.Thread(target=ask, args=(label,)) for label in answers]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=60)


def wait_until(seen):
    last = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < last, "not within a minute"
        time.sleep(0.05)


def test_a_canary_becomes_stable_and_is_taken_back_without_a_request_lost(serving):
    with served(serving) as addresses, asked_all_the_time(addresses) as answers:
        servers, place = Servers([addresses.rest], seconds=60, poll_seconds=0.1), Place(serving)
        assert promote(place, "2", "canary", servers).edits == 2
        assert [answering(addresses, label) for label in ("stable", "canary", None)] == [1, 2, 2]
        assert promote(place, "canary", servers=servers).edits == 1  # it is loaded already
        assert [answering(addresses, label) for label in ("stable", "canary", None)] == [2, 2, 2]
        roll_back(place, servers=servers)
        assert [answering(addresses, label) for label in ("stable", "canary", None)] == [1, 2, 2]
        promote(place, "1", "canary", servers)
        wait_until(lambda: answering(addresses, None) == 1)
        seen = dict(answers["stable"])
        wait_until(lambda: answers["stable"][1] > seen.get(1, 0))
    assert set(answers["stable"]) == {1, 2}
    assert set(answers[None]) == {1, 2}


def test_one_edit_without_waiting_comes_into_force_by_itself(serving):
    with served(serving) as addresses, asked_all_the_time(addresses) as answers:
        assert promote(Place(serving), "3").edits == 1
        wait_until(lambda: answers["stable"][3])
        roll_back(Place(serving))
        wait_until(lambda: answering(addresses, "stable") == 1 and answering(addresses, None) == 1)
    assert set(answers["stable"]) == set(answers[None]) == {1, 3}


def test_a_version_that_does_not_load_is_refused_and_everything_is_as_before(serving):
    with served(serving) as addresses:
        before = (serving / "models.config").read_bytes()
        with pytest.raises(ModelsFileError, match="version 4 of model generator_attribution fails to load"):
            promote(Place(serving), "4", servers=Servers([addresses.rest], seconds=60, poll_seconds=0.1))
        assert (serving / "models.config").read_bytes() == before
        assert answering(addresses, "stable") == answering(addresses, None) == 1
        promote(Place(serving), "2", servers=Servers([addresses.rest], seconds=60, poll_seconds=0.1))
        assert answering(addresses, "stable") == 2
        roll_back(Place(serving))
        wait_until(lambda: answering(addresses, "stable") == 1)


def test_a_server_that_does_not_look_at_the_file_is_noticed(serving, servable):
    other = ServerOptions(serving / contract.DEFAULT_MODEL_NAME / "1", grpc_port=0, rest_port=0, poll_seconds=0)
    before = (serving / "models.config").read_bytes()
    with running_server(other) as addresses, pytest.raises(ModelsFileError, match=r"not available after 0\.5 s"):
        promote(Place(serving), "2", servers=Servers([addresses.rest], seconds=0.5, poll_seconds=0.1))
    assert (serving / "models.config").read_bytes() == before


def test_a_server_that_cannot_be_asked_is_refused_before_anything_is_written(serving):
    before = (serving / "models.config").read_bytes()
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ModelsFileError, match="cannot be asked"):
            promote(Place(serving), "2", servers=Servers([address], seconds=1))
    assert (serving / "models.config").read_bytes() == before
    assert not (serving / "models.history.json").exists()


@pytest.mark.parametrize(("address", "seconds"), [("127.0.0.1:8501", 1), ("file:///etc/passwd", 1), ("http://a", 0)])
def test_what_is_no_server_or_no_time_is_refused(address, seconds):
    with pytest.raises(ValueError, match=r"^(addresses|seconds): "):
        Servers([address], seconds=seconds)


def test_the_embedded_server_starts_with_what_promote_wrote(serving):
    promote(Place(serving), "3")
    promote(Place(serving), "2", "canary")
    with served(serving) as addresses:
        assert [answering(addresses, label) for label in ("stable", "canary", None)] == [3, 2, 3]
    shutil.rmtree(serving / contract.DEFAULT_MODEL_NAME / "3")
    with pytest.raises(ServableError, match="3"), served(serving):
        pass
