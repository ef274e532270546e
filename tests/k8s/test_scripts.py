"""Scripts as the ConfigMaps hold them, run for real: starting, draining, seeding models.config, backing up."""

import gzip
import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tests.support.kustomize_builds import K8S, container, documents

DEFAULT = K8S / "base" / "config" / "models.config"


def script(config, name):
    (found,) = [each for each in documents(("gpu",)) if each["metadata"]["name"].startswith(f"{config}-")]
    return found["data"][name]


@pytest.fixture
def scripts(tmp_path):
    """A folder with all of them."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for config in ("serving-scripts", "metadata-backup-scripts"):
        (found,) = [each for each in documents(("gpu",)) if each["metadata"]["name"].startswith(f"{config}-")]
        for name, text in found["data"].items():
            (folder / name).write_text(text)
    return folder


def run(*words, **variables):
    environment = {"PATH": os.environ["PATH"], **{key: str(value) for key, value in variables.items()}}
    return subprocess.run(
        [str(word) for word in words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def program(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_every_script_stands_where_the_manifests_look_for_it():
    objects = documents(("gpu",))
    server = container(objects, "Deployment", "generator-attribution-serving", "tensorflow-serving")
    seed = container(objects, "Deployment", "generator-attribution-serving", "seed-models-config")
    backup = container(objects, "CronJob", "metadata-backup", "mariadb-dump")
    probes = [server[name]["exec"]["command"] for name in ("startupProbe", "readinessProbe")]
    serving = [server["command"], seed["command"], server["lifecycle"]["preStop"]["exec"]["command"], *probes]
    for command, config in [
        *((each, "serving-scripts") for each in serving),
        (backup["command"], "metadata-backup-scripts"),
    ]:
        folder, name = command[1].rsplit("/", 1)
        assert folder == "/scripts"
        # The interpreter of the first line is the one that the manifest names.
        assert script(config, name).splitlines()[0].split("/")[-1].split()[-1] == command[0]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_seeding_makes_the_folder_and_the_default(scripts, tmp_path, shell):
    serving = tmp_path / "runs" / "ganfp" / "serving"
    done = run(shell, scripts / "seed-models-config.sh", serving, DEFAULT)
    assert done.returncode == 0, done.stderr
    assert (serving / "models.config").read_bytes() == DEFAULT.read_bytes()
    assert (serving / "generator_attribution").is_dir()
    assert sorted(path.name for path in serving.iterdir()) == ["generator_attribution", "models.config"]


def test_seeding_never_touches_a_file_that_was_edited(scripts, tmp_path):
    edited = DEFAULT.read_text().replace("# version_labels", "version_labels")
    (tmp_path / "models.config").write_text(edited)
    assert run("sh", scripts / "seed-models-config.sh", tmp_path, DEFAULT).returncode == 0
    assert (tmp_path / "models.config").read_text() == edited


def test_pods_that_seed_at_the_same_time_leave_one_whole_file(scripts, tmp_path):
    script_path, serving = shlex.quote(str(scripts / "seed-models-config.sh")), shlex.quote(str(tmp_path / "serving"))
    one = f"HOSTNAME=pod-$i sh {script_path} {serving} {DEFAULT} || echo failed"
    done = run("bash", "-c", f"for i in $(seq 20); do ({one}) & done; wait")
    assert "failed" not in done.stdout
    text_format.Parse((tmp_path / "serving" / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    assert not list((tmp_path / "serving").glob(".models.config*"))


def test_seeding_a_volume_that_cannot_be_written_fails_by_name(scripts, tmp_path):
    (tmp_path / "serving").write_text("a file where the folder should be")
    done = run("sh", scripts / "seed-models-config.sh", tmp_path / "serving", DEFAULT)
    assert done.returncode != 0
    assert str(tmp_path / "serving") in done.stderr


def test_a_server_that_starts_again_in_its_pod_is_not_draining(scripts, tmp_path):
    mark = tmp_path / "draining"
    mark.touch()
    path = program(tmp_path / "bin", "tensorflow_model_server", 'echo "$@"')
    done = run("bash", scripts / "serve.sh", "--port=8500", "--x=a b", PATH=path, DRAIN_MARK=mark)
    assert done.stdout == "--port=8500 --x=a b\n"
    assert not mark.exists()


def test_a_server_takes_the_place_of_its_shell_so_that_it_gets_the_signals(scripts, tmp_path):
    path = program(tmp_path / "bin", "tensorflow_model_server", "exec sleep 30")
    environment = {"PATH": path, "DRAIN_MARK": str(tmp_path / "draining")}
    with subprocess.Popen(["bash", str(scripts / "serve.sh")], env=environment) as process:
        try:
            until = time.monotonic() + 10
            name = ""
            while name != "sleep" and time.monotonic() < until:
                name = (Path("/proc") / str(process.pid) / "comm").read_text().strip()
                time.sleep(0.02)
            assert name == "sleep"
        finally:
            process.kill()


def test_draining_leaves_the_mark_and_waits(scripts, tmp_path):
    started = time.monotonic()
    done = run("bash", scripts / "drain.sh", "1", DRAIN_MARK=tmp_path / "draining")
    assert done.returncode == 0
    assert (tmp_path / "draining").exists()
    assert time.monotonic() - started >= 1


DUMP = "echo 'CREATE TABLE Artifact (id INT);'; echo '-- Dump completed on 2026-11-25  1:17:02'"


def back_up(scripts, folder, tmp_path, dump, keep="7"):
    path = program(tmp_path / "bin", "mariadb-dump", f'echo "$@" >{tmp_path}/arguments\n{dump}')
    return run("bash", scripts / "backup-metadata.sh", folder, keep, PATH=path, MYSQL_PWD="hunter2")


def test_a_backup_is_a_whole_compressed_dump_that_nobody_else_can_read(scripts, tmp_path):
    done = back_up(scripts, tmp_path / "backups", tmp_path, DUMP)
    assert done.returncode == 0, done.stderr
    (dump,) = (tmp_path / "backups").iterdir()
    assert gzip.decompress(dump.read_bytes()).startswith(b"CREATE TABLE")
    assert dump.stat().st_mode & 0o077 == 0
    arguments = (tmp_path / "arguments").read_text().split()
    assert {"--host=metadata-store", "--user=pipeline", "--single-transaction", "metadata"} <= set(arguments)
    assert "hunter2" not in "".join(arguments)


def test_the_last_seven_backups_are_kept(scripts, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 11):
        (folder / f"metadata-202611{day:02}T011700Z.sql.gz").touch()
    (folder / "notes.txt").touch()
    assert back_up(scripts, folder, tmp_path, DUMP).returncode == 0
    names = sorted(path.name for path in folder.glob("metadata-*"))
    assert len(names) == 7
    assert names[0] == "metadata-20261105T011700Z.sql.gz"
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize(
    "dump",
    [
        pytest.param("exit 2", id="the store does not answer"),
        pytest.param(f"{DUMP}; exit 2", id="fails after the last line"),
        pytest.param("echo 'CREATE TABLE Artifact (id INT);'", id="ends early"),
    ],
)
def test_a_dump_that_fails_leaves_nothing_and_removes_nothing(scripts, tmp_path, dump):
    folder = tmp_path / "backups"
    folder.mkdir()
    before = [f"metadata-202611{day:02}T011700Z.sql.gz" for day in range(1, 10)]
    for name in before:
        (folder / name).touch()
    assert back_up(scripts, folder, tmp_path, dump).returncode != 0
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("keep", ["0", "-1", "all"])
def test_a_number_of_backups_that_would_remove_all_is_refused(scripts, tmp_path, keep):
    done = back_up(scripts, tmp_path / "backups", tmp_path, DUMP, keep)
    assert done.returncode == 2
    assert f"got '{keep}'" in done.stderr


def restore(tmp_path, folder, **variables):
    """Runs the job's own script with a client that writes down what it is given."""
    (job,) = documents(("job", "restore-metadata"))
    (each,) = job["spec"]["template"]["spec"]["containers"]
    path = program(tmp_path / "bin", "mariadb", f"cat >{tmp_path}/restored")
    return run(*each["command"], *each["args"], PATH=path, FOLDER=folder, MYSQL_PWD="hunter2", **variables)


@pytest.mark.parametrize(("named", "expected"), [("", b"newest"), ("metadata-20261101T011700Z.sql.gz", b"older")])
def test_the_newest_dump_or_the_one_that_is_named_is_restored(tmp_path, named, expected):
    for day, text in ((1, b"older"), (2, b"newest")):
        (tmp_path / f"metadata-202611{day:02}T011700Z.sql.gz").write_bytes(gzip.compress(text))
    done = restore(tmp_path, tmp_path, DUMP=f"{tmp_path}/{named}" if named else "")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "restored").read_bytes() == expected


def test_a_damaged_dump_is_not_restored_in_part(tmp_path):
    (tmp_path / "metadata-20261101T011700Z.sql.gz").write_bytes(gzip.compress(os.urandom(100_000))[:50_000])
    assert restore(tmp_path, tmp_path, DUMP="").returncode != 0
    assert not (tmp_path / "restored").exists()
