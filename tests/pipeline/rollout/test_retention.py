"""Which versions go and which stay, and that nothing goes when nobody can say what is served."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.rollout.edit import Place
from pipeline.rollout.labels import promote
from pipeline.rollout.models_file import ModelsFileError
from pipeline.rollout.retention import RetentionParameters, retain

ROOT = Path(__file__).resolve().parents[3]
HOUR = 3600
NOW = 1_800_000_000
PUSHED = tuple(NOW - hours * HOUR for hours in (400, 300, 200, 100, 10))


@pytest.fixture
def folder(tmp_path):
    """Five versions, pushed 400, 300, 200, 100 and 10 hours ago, copied from folders that are older still."""
    folder = tmp_path / "serving" / "generator_attribution"
    for version in PUSHED:
        push(folder, version)
    return folder


def push(folder, version, modified=NOW - 1000 * HOUR):
    (folder / str(version) / "variables").mkdir(parents=True)
    (folder / str(version) / "saved_model.pb").touch()
    (folder / str(version) / "variables" / "data").write_bytes(b"weights")
    os.utime(folder / str(version), (modified, modified))


def seed(folder, policy, name="generator_attribution"):
    path = folder.parent / "models.config"
    path.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "/models/{name}" model_platform: "tensorflow" '
        f"model_version_policy {{ {policy} }} }} }}"
    )
    return path


def apply(folder, keep, dry_run=False, **parameters):
    return retain(folder, RetentionParameters(keep, **parameters), dry_run, now=lambda: NOW)


def there(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit())


@pytest.mark.parametrize(("keep", "removed"), [(1, PUSHED[:4]), (2, PUSHED[:3]), (4, PUSHED[:1]), (5, ()), (99, ())])
def test_the_oldest_beyond_the_newest_n_go(folder, keep, removed):
    done = apply(folder, keep)
    assert done.removed == removed
    assert there(folder) == [version for version in PUSHED if version not in removed]
    assert not list(folder.glob(".removing-*"))


def test_a_dry_run_says_the_same_and_touches_nothing(folder):
    (folder / ".removing-1").mkdir()
    before = sorted(folder.rglob("*"))
    told = apply(folder, 2, dry_run=True)
    assert sorted(folder.rglob("*")) == before
    done = apply(folder, 2)
    assert (told.removed, told.kept, told.leftovers) == (done.removed, done.kept, done.leftovers)


def test_a_young_version_stays(folder):
    done = apply(folder, 1, min_age_hours=250)
    assert done.removed == PUSHED[:2]
    assert [version for version, reason in done.kept.items() if reason == "young"] == list(PUSHED[2:4])


@pytest.mark.parametrize(("modified", "removed"), [(NOW - 23 * HOUR, ()), (NOW - 25 * HOUR, (3,))])
def test_a_number_that_is_no_time_leaves_the_age_to_the_folders_time(tmp_path, modified, removed):
    folder = tmp_path / "generator_attribution"
    push(folder, 3, modified)
    push(folder, 4)
    assert apply(folder, 1).removed == removed


@pytest.mark.parametrize(
    ("policy", "removed"),
    [
        ("latest { num_versions: 1 }", PUSHED[:4]),
        ("latest { num_versions: 3 }", PUSHED[:2]),
        ("latest {}", PUSHED[:4]),
        ("", PUSHED[:4]),
        ("all {}", ()),
        (f"specific {{ versions: {PUSHED[0]} versions: {PUSHED[2]} }}", (PUSHED[1], PUSHED[3])),
        (f'latest {{}} }} version_labels {{ key: "x" value: {PUSHED[1]}', (PUSHED[0], PUSHED[2], PUSHED[3])),
    ],
)
def test_what_models_config_serves_or_labels_stays(folder, policy, removed):
    seed(folder, policy)
    assert apply(folder, 1).removed == removed


def test_a_file_named_elsewhere_counts_instead(folder, tmp_path):
    seed(folder, "all {}").rename(tmp_path / "served.config")
    assert apply(folder, 1, models_config=tmp_path / "served.config").removed == ()
    assert apply(folder, 1).removed == PUSHED[:4]


def test_what_was_promoted_and_what_a_rollback_needs_stays(folder):
    seed(folder, "latest {}")
    for version in PUSHED[:2]:
        promote(Place(folder.parent, model="m"), str(version))
    assert apply(folder, 1).removed == PUSHED[2:4]


def refusal(folder, **parameters):
    with pytest.raises(ModelsFileError) as refused:
        apply(folder, 1, **parameters)
    assert there(folder) == list(PUSHED)
    return str(refused.value)


def test_nothing_goes_if_the_file_is_named_and_missing(folder, tmp_path):
    assert f"{tmp_path / 'gone.config'}: is no file" in refusal(folder, models_config=tmp_path / "gone.config")


def test_nothing_goes_if_the_file_is_damaged_or_leads_nowhere(folder):
    path = seed(folder, "newest {}")
    assert "line 1:" in refusal(folder)
    path.unlink()
    path.symlink_to(folder / "gone.config")
    assert "is missing" in refusal(folder)


def test_nothing_goes_if_the_file_serves_another_folder(folder):
    seed(folder, "latest {}", name="other")
    assert "no model has a base path that ends in generator_attribution" in refusal(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelsFileError, match="is no folder of versions"):
        apply(tmp_path / "gone", 1)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [({"keep": 0}, "keep"), ({"keep": -1}, "keep"), ({"keep": 1, "min_age_hours": -1}, "min_age_hours")],
)
def test_what_would_keep_nothing_is_refused(parameters, named):
    with pytest.raises(ValueError, match=f"{named}: must be at least"):
        RetentionParameters(**parameters)


def test_what_is_no_complete_version_stays_and_does_not_count(folder):
    foreign = ["5/variables", "notes", ".partial.99", f"{PUSHED[0]}.old", "٣"]
    for name in foreign:
        (folder / name).mkdir(parents=True)
    (folder / "README").touch()
    (folder / ".removing-7").touch()  # a file of that name is not ours
    (folder / ".removing-this").mkdir()
    apply(folder, 1)
    assert there(folder) == [5, PUSHED[4]]
    assert all((folder / name).exists() for name in [*foreign, "README", ".removing-7", ".removing-this"])


def test_a_version_that_is_a_link_goes_and_what_it_leads_to_stays(folder, tmp_path):
    (folder / str(PUSHED[0])).rename(tmp_path / "elsewhere")
    (folder / str(PUSHED[0])).symlink_to(tmp_path / "elsewhere")
    apply(folder, 1)
    assert not (folder / str(PUSHED[0])).is_symlink()
    assert (tmp_path / "elsewhere" / "saved_model.pb").is_file()


def test_what_cannot_be_deleted_is_out_of_servers_sight_and_the_next_call_goes_on(folder, monkeypatch):
    real, calls = shutil.rmtree, []

    def failing(path):
        calls.append(path)
        raise OSError(39, "Directory not empty", str(path))

    monkeypatch.setattr(shutil, "rmtree", failing)
    with pytest.raises(OSError, match="not empty"):
        apply(folder, 1)
    assert there(folder) == list(PUSHED[1:])
    monkeypatch.setattr(shutil, "rmtree", real)
    done = apply(folder, 1)
    assert done.leftovers == (f".removing-{PUSHED[0]}",)
    assert [path.name for path in folder.iterdir()] == [str(PUSHED[4])]


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from pipeline.rollout.retention import RetentionParameters, retain
def half(path):
    (Path(path) / "saved_model.pb").unlink()
    os.kill(os.getpid(), signal.SIGKILL)
shutil.rmtree = half
retain(Path(sys.argv[1]), RetentionParameters(1), now=lambda: float(sys.argv[2]))
"""


def test_a_kill_in_the_middle_leaves_no_half_version_and_the_next_call_finishes(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(folder), str(NOW)]
    killed = subprocess.run(command, check=False, env=environment, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert all((folder / str(version) / "saved_model.pb").is_file() for version in there(folder))
    assert (folder / f".removing-{PUSHED[0]}").is_dir()
    assert apply(folder, 1).leftovers == (f".removing-{PUSHED[0]}",)
    assert [path.name for path in folder.iterdir()] == [str(PUSHED[4])]
