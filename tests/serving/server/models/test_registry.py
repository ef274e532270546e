"""Versions that come and go, with stand-ins for SavedModels: a version is a folder whose text says how it loads."""

import threading
import time
from pathlib import Path

import pytest

from serving.errors import (
    InvalidArgumentError,
    LabelNotAvailableError,
    ModelNotFoundError,
    ModelsNotAvailableError,
    ServableError,
    UnavailableError,
)
from serving.server.configuration.files import ModelConfig, VersionPolicy
from serving.server.models.registry import Registry
from serving.server.models.requests import ModelRequest
from serving.server.models.watcher import Watcher

NAME = "detector"


class StandIn:
    """What a version is in memory; remembers when it was closed, and that nobody held it then."""

    def __init__(self, number, story):
        self.number = number
        self.servable = None
        self.closed = False
        self._story = story

    def close(self):
        self.closed = True
        self._story.append(f"close {self.number}")


@pytest.fixture
def story():
    return []


@pytest.fixture
def registry(story):
    def load(name, version):
        text = (version.path / "saved_model.pb").read_text()
        story.append(f"load {version.number}")
        if text == "broken":
            raise ServableError(f"{version.path}: is damaged")
        return StandIn(version.number, story)

    made = Registry(load, lambda name, versions: story.append(f"{name} has {versions}"))
    yield made
    made.close()


def push(base: Path, number: int, text: str = "whole") -> None:
    """As a pusher does: written aside, then renamed."""
    aside = base / f".pushing-{number}"
    aside.mkdir(parents=True)
    (aside / "saved_model.pb").write_text(text)
    aside.rename(base / str(number))


def config(base, **changes):
    return ModelConfig(**{"name": NAME, "base_path": base} | changes)


def answering(registry, **asked):
    with registry.lease(ModelRequest(NAME, **asked)) as loaded:
        assert not loaded.closed
        return loaded.number


def states(registry):
    return {status.version: status.state for status in registry.status(ModelRequest(NAME))}


def eventually(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 30 s"
        time.sleep(0.01)


@pytest.fixture
def base(tmp_path):
    push(tmp_path / "base", 1)
    return tmp_path / "base"


def test_a_new_version_answers_before_the_old_one_goes(registry, base, story):
    registry.apply([config(base)])
    push(base, 2)
    registry.poll()
    assert answering(registry) == 2
    eventually(lambda: states(registry) == {2: "AVAILABLE", 1: "END"})
    assert story.index("load 2") < story.index("close 1")
    assert f"{NAME} has [2]" in story


def test_versions_are_compared_as_numbers(registry, base):
    push(base, 9)
    push(base, 10)
    registry.apply([config(base)])
    assert answering(registry) == 10


def test_a_broken_version_is_reported_and_the_old_one_goes_on(registry, base):
    registry.apply([config(base)])
    push(base, 2, "broken")
    registry.poll()
    assert answering(registry) == 1
    newest = registry.status(ModelRequest(NAME))[0]
    assert (newest.version, newest.state, newest.error_code) == (2, "END", "UNKNOWN")
    assert newest.error_message.endswith("2: is damaged")


def test_a_broken_version_is_tried_again_only_when_its_files_change(registry, base, story):
    registry.apply([config(base)])
    push(base, 2, "broken")
    for _ in range(3):
        registry.poll()
    assert story.count("load 2") == 1
    (base / "2" / "saved_model.pb").write_text("whole now")
    registry.poll()
    assert answering(registry) == 2


def test_a_version_newer_than_a_broken_one_is_taken(registry, base):
    registry.apply([config(base)])
    push(base, 2, "broken")
    registry.poll()
    push(base, 3)
    registry.poll()
    assert answering(registry) == 3


def test_an_emptied_directory_stops_nothing(registry, base, tmp_path):
    registry.apply([config(base)])
    base.rename(tmp_path / "elsewhere")
    registry.poll()
    assert answering(registry) == 1


def test_a_version_goes_only_after_its_last_request(registry, base, story):
    registry.apply([config(base)])
    push(base, 2)
    with registry.lease(ModelRequest(NAME)) as old:
        registry.poll()
        assert states(registry) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert not old.closed
        assert answering(registry) == 2
        with pytest.raises(ModelNotFoundError):
            answering(registry, version=1)
    eventually(lambda: old.closed)


def test_policies_say_which_versions_are_served(registry, base):
    for number in (2, 3):
        push(base, number)
    registry.apply([config(base, policy=VersionPolicy("latest", 2))])
    assert registry.available(NAME) == [2, 3]
    registry.apply([config(base, policy=VersionPolicy("all"))])
    assert registry.available(NAME) == [1, 2, 3]
    registry.apply([config(base, policy=VersionPolicy("specific", versions=(1, 7)))])
    assert registry.available(NAME) == [1]


def test_labels_lead_to_their_versions_and_can_be_moved(registry, base):
    push(base, 2)
    both = VersionPolicy("all")
    registry.apply([config(base, policy=both, labels={"stable": 1, "canary": 2})])
    assert (answering(registry, label="stable"), answering(registry, label="canary")) == (1, 2)
    registry.apply([config(base, policy=both, labels={"stable": 2})])
    assert answering(registry, label="stable") == 2
    with pytest.raises(InvalidArgumentError, match="Unrecognized servable version label: canary"):
        answering(registry, label="canary")


def test_a_label_for_a_version_that_does_not_answer_changes_nothing(registry, base):
    registry.apply([config(base, labels={"stable": 1})])
    push(base, 2)
    with pytest.raises(LabelNotAvailableError, match="version 7 of model detector, which is not currently available"):
        registry.apply([config(base, labels={"stable": 7})])
    assert answering(registry, label="stable") == 1
    assert registry.available(NAME) == [1]


def test_a_model_without_any_version_leaves_everything_as_it_was(registry, base, tmp_path, story):
    registry.apply([config(base)])
    (tmp_path / "empty").mkdir()
    push(tmp_path / "fine", 5)
    wanted = [config(tmp_path / "fine", name="fine"), config(tmp_path / "empty", name="empty")]
    with pytest.raises(ModelsNotAvailableError, match=r"1 model\(s\) did not become available.*empty"):
        registry.apply(wanted)
    assert answering(registry) == 1
    with pytest.raises(ModelNotFoundError):
        registry.status(ModelRequest("fine"))
    eventually(lambda: "close 5" in story)


def test_models_that_are_no_longer_listed_go(registry, base, tmp_path, story):
    push(tmp_path / "other", 4)
    registry.apply([config(base)])
    registry.apply([config(tmp_path / "other", name="other")])
    with pytest.raises(ModelNotFoundError, match=r"Servable not found for request: Latest\(detector\)"):
        answering(registry)
    assert story[-1] == f"{NAME} has []" or story[-2] == f"{NAME} has []"
    eventually(lambda: "close 1" in story)


def test_a_versions_own_directory_can_be_served(registry, base):
    registry.apply([config(base / "1")])
    assert answering(registry) == 1


def test_what_is_not_there_is_said_in_tf_servings_words(registry, base):
    registry.apply([config(base)])
    with pytest.raises(ModelNotFoundError, match=r"^Servable not found for request: Specific\(detector, 7\)$"):
        answering(registry, version=7)
    with pytest.raises(ModelNotFoundError, match=r"^Could not find version 7 of model detector$"):
        registry.status(ModelRequest(NAME, 7))
    with pytest.raises(ModelNotFoundError, match=r"^Could not find any versions of model nobody$"):
        registry.status(ModelRequest("nobody"))


def test_versions_that_ended_are_remembered_in_bounds(registry, base):
    registry.apply([config(base)])
    for number in range(2, 40):
        push(base, number)
        registry.poll()
    eventually(lambda: set(states(registry).values()) == {"AVAILABLE", "END"})
    registry.poll()
    assert len(states(registry)) == 17
    assert max(states(registry)) == 39


def test_swaps_under_load_lose_no_request(registry, base):
    registry.apply([config(base)])
    failures, stop, served = [], threading.Event(), set()

    def client():
        while not stop.is_set():
            try:
                with registry.lease(ModelRequest(NAME)) as loaded:
                    time.sleep(0.0002)
                    if loaded.closed:
                        failures.append(f"{loaded.number} closed while in use")
                    served.add(loaded.number)
            except Exception as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(2, 42):
        push(base, number)
        registry.poll()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(served) > 20


def test_a_reload_that_asks_for_a_broken_version_alone_changes_nothing(registry, base):
    registry.apply([config(base)])
    push(base, 4, "broken")
    with pytest.raises(ModelsNotAvailableError, match=r"version 4: .* is damaged"):
        registry.apply([config(base, policy=VersionPolicy("specific", versions=(4,)))])
    assert answering(registry) == 1


def test_a_reload_while_the_directory_is_empty_for_a_moment_stops_nothing(registry, base, tmp_path):
    registry.apply([config(base)])
    (base / "1").rename(tmp_path / "aside")
    registry.apply([config(base)])
    assert answering(registry) == 1


def test_a_model_that_moves_to_another_directory_leaves_nothing_in_memory(registry, base, tmp_path, story):
    registry.apply([config(base)])
    push(tmp_path / "other", 2)
    registry.apply([config(tmp_path / "other")])
    assert answering(registry) == 2
    eventually(lambda: "close 1" in story)


def test_a_label_cannot_be_given_to_a_version_that_the_same_change_retires(registry, base):
    push(base, 2)
    registry.apply([config(base, policy=VersionPolicy("all"))])
    with pytest.raises(LabelNotAvailableError):
        registry.apply([config(base, labels={"stable": 1})])
    assert registry.available(NAME) == [1, 2]


def test_after_closing_nothing_is_loaded_any_more(registry, base, story):
    registry.apply([config(base)])
    registry.close()
    assert story[-1] == "close 1"
    registry.poll()
    with pytest.raises(UnavailableError):
        registry.apply([config(base)])
    assert story.count("load 1") == 1


def test_closing_waits_for_requests_no_longer_than_it_is_told(registry, base):
    registry.apply([config(base)])
    with registry.lease(ModelRequest(NAME)) as held:
        registry.close(seconds=0.05)
        assert not held.closed
    eventually(lambda: held.closed)


def test_a_request_that_takes_long_keeps_no_newer_version_waiting(registry, base):
    registry.apply([config(base)])
    with registry.lease(ModelRequest(NAME)):
        for number in (2, 3):
            push(base, number)
            registry.poll()
        assert answering(registry) == 3


# --- the watcher ---


@pytest.fixture
def watch():
    started = []

    def start(*arguments):
        watcher = Watcher(*arguments)
        started.append(watcher)
        watcher.start()

    yield start
    for watcher in started:
        watcher.close()


def test_the_watcher_finds_new_versions(registry, base, watch):
    registry.apply([config(base)])
    watch(registry, 0.02)
    push(base, 2)
    eventually(lambda: registry.available(NAME) == [2])


def test_the_watcher_outlives_failures(registry, base, watch, monkeypatch):
    registry.apply([config(base)])
    polls = []
    poll = registry.poll

    def failing_first():
        polls.append(1)
        if len(polls) == 1:
            raise OSError("the disk is away")
        poll()

    monkeypatch.setattr(registry, "poll", failing_first)
    push(base, 2)
    watch(registry, 0.02)
    eventually(lambda: registry.available(NAME) == [2])


def test_the_watcher_takes_a_changed_file_and_keeps_what_was_served_when_it_is_broken(registry, base, tmp_path, watch):
    push(base, 2)
    file = tmp_path / "models.config"

    def write(text):
        (tmp_path / "aside").write_text(text)
        (tmp_path / "aside").rename(file)

    entry = 'config {{ name: "detector" base_path: "{}" model_platform: "tensorflow" model_version_policy {{ {} }} }}'
    write("model_config_list {" + entry.format(base, "specific { versions: 1 }") + "}")
    registry.apply([config(base, policy=VersionPolicy("specific", versions=(1,)))])
    watch(registry, 0.02, file)
    write("model_config_list { config { nonsense: 1 } }")
    push(base, 3)
    time.sleep(0.2)
    assert registry.available(NAME) == [1]
    write("model_config_list {" + entry.format(base, "all {}") + "}")
    eventually(lambda: registry.available(NAME) == [1, 2, 3])
