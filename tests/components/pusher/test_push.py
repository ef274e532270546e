import json
import shutil
from pathlib import Path

import pytest

from components.errors import StepRefusedError
from components.pusher import push
from components.pusher.push import push_version, read_lineage

LINEAGE = {"model_artifact": "17", "model_uri": "/pipeline/Assembler/model/17"}


@pytest.fixture
def servable(tmp_path) -> Path:
    folder = tmp_path / "servable"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    return folder


@pytest.fixture
def base(tmp_path) -> Path:
    return tmp_path / "serving" / "generator_attribution"


def visible(base: Path) -> list[str]:
    """The versions that a server sees: directories named by whole numbers."""
    return sorted(child.name for child in base.iterdir() if child.name.isdigit())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_version_holds_the_servable_and_where_it_comes_from(servable, base):
    version = push_version(servable, base, LINEAGE)
    pushed = contents(version)
    assert json.loads(pushed.pop("assets.extra/lineage.json")) == LINEAGE == read_lineage(version)
    assert pushed == contents(servable)
    assert version.parent == base


def test_a_version_is_named_by_the_seconds_of_its_push(servable, base, monkeypatch):
    monkeypatch.setattr(push.time, "time", lambda: 1_800_000_000.9)
    assert push_version(servable, base, LINEAGE).name == "1800000000"


@pytest.mark.parametrize("now", [1000.0, 999.0, 5.0], ids=["same second", "clock set back", "clock far back"])
def test_versions_increase_whatever_the_clock_says(servable, base, monkeypatch, now):
    monkeypatch.setattr(push.time, "time", lambda: 1000.0)
    push_version(servable, base, {"model_artifact": "1"})
    monkeypatch.setattr(push.time, "time", lambda: now)
    assert push_version(servable, base, {"model_artifact": "2"}).name == "1001"


def test_versions_are_compared_as_numbers(servable, base, monkeypatch):
    monkeypatch.setattr(push.time, "time", lambda: 5.0)
    for name in ("9", "10"):
        (base / name).mkdir(parents=True)
    assert push_version(servable, base, LINEAGE).name == "11"


def test_no_version_is_visible_before_its_copy_is_complete(servable, base, monkeypatch):
    seen = []
    copy = shutil.copytree

    def watched(*given, **options):  # it calls itself for each folder in the folder
        seen.extend(visible(base))
        copied = copy(*given, **options)
        seen.extend(visible(base))
        return copied

    monkeypatch.setattr(push.shutil, "copytree", watched)
    version = push_version(servable, base, LINEAGE)
    assert seen == []
    assert visible(base) == [version.name]


def break_off_copies(monkeypatch):
    def half_a_copy(source, target, **options):
        shutil.copy(source / "saved_model.pb", target)
        raise OSError("No space left on device")

    monkeypatch.setattr(push.shutil, "copytree", half_a_copy)


def test_a_push_that_breaks_off_leaves_the_served_versions_as_they_were(servable, base, monkeypatch):
    first = push_version(servable, base, {"model_artifact": "1"})
    break_off_copies(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        push_version(servable, base, {"model_artifact": "2"})
    assert [child.name for child in base.iterdir()] == [first.name]


def test_the_next_push_removes_what_a_killed_one_left(servable, base):
    (base / ".partial.17" / "variables").mkdir(parents=True)
    version = push_version(servable, base, LINEAGE)
    assert [child.name for child in base.iterdir()] == [version.name]


def test_the_same_servable_is_not_pushed_twice(servable, base):
    first = push_version(servable, base, LINEAGE)
    assert push_version(servable, base, dict(LINEAGE)) == first
    assert visible(base) == [first.name]


def test_an_older_version_is_pushed_again_as_a_new_one(servable, base):
    first = push_version(servable, base, LINEAGE)
    second = push_version(servable, base, {"model_artifact": "18"})
    again = push_version(servable, base, LINEAGE)
    assert int(first.name) < int(second.name) < int(again.name)


def test_a_version_from_elsewhere_has_no_lineage_and_is_left_alone(servable, base):
    (base / "4").mkdir(parents=True)
    assert read_lineage(base / "4") is None
    push_version(servable, base, LINEAGE)
    assert "4" in visible(base)


def test_what_is_no_saved_model_is_refused_before_anything_is_written(tmp_path, base):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: holds no saved_model\.pb"):
        push_version(tmp_path / "empty", base, LINEAGE)
    assert not base.exists()


def test_an_unblessed_servable_is_not_pushed(monkeypatch):
    from components.pusher import executor

    monkeypatch.setattr(executor.AtomicPusherExecutor, "CheckBlessing", lambda self, inputs: False)
    monkeypatch.setattr(executor, "push_version", lambda *given: pytest.fail("it was pushed"))
    with pytest.raises(StepRefusedError, match="not blessed by ServableValidator"):
        executor.AtomicPusherExecutor().Do({}, {}, {})


def test_what_is_pushed_beside_the_servable_is_there_when_the_version_is(servable, base, tmp_path):
    (tmp_path / "FeatureStats.pb").write_bytes(b"statistics")
    version = push_version(servable, base, LINEAGE, {"assets.extra/reference.pb": tmp_path / "FeatureStats.pb"})
    assert (version / "assets.extra" / "reference.pb").read_bytes() == b"statistics"
    assert not (servable / "assets.extra" / "reference.pb").exists()


def test_a_push_without_the_file_beside_it_leaves_no_version(servable, base, tmp_path):
    with pytest.raises(FileNotFoundError):
        push_version(servable, base, LINEAGE, {"assets.extra/reference.pb": tmp_path / "absent"})
    assert visible(base) == []


def test_the_reference_statistics_of_a_run_are_pushed_where_the_monitor_looks(tmp_path):
    from tfx.types import standard_artifacts

    from components.pusher.executor import REFERENCE_KEY, _beside

    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri, statistics.split_names = str(tmp_path), '["test"]'
    (tmp_path / "Split-test").mkdir()
    expected = {"assets.extra/reference_statistics.pb": tmp_path / "Split-test" / "FeatureStats.pb"}
    assert _beside({REFERENCE_KEY: [statistics]}) == expected
    assert _beside({}) == {}
