"""Killed in the middle of a node, a run is taken up again: finished nodes are not repeated, nothing half is served."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import CONFIGURED, small_configuration, write_configuration

pytestmark = pytest.mark.e2e

# Kill points: the first in Beam work, the second in training, the third at the very end.
_KILLED_IN = ("Transform", "SecondaryTrainer.nearest_demo", "ServableValidator")
_PATIENCE = 240.0


def _start(configuration: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pipeline.cli.main", "run", str(configuration)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


def _kill_in(process: "subprocess.Popen[bytes]", node: str) -> str:
    """Kills the process, and what it started, half a second into a node; returns what it had printed."""
    printed, deadline = b"", time.monotonic() + _PATIENCE
    while f"  {node} ".encode() not in printed:
        assert process.poll() is None, printed.decode()
        assert time.monotonic() < deadline, printed.decode()
        printed += os.read(process.stdout.fileno(), 4096)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return printed.decode()


def _states(printed: str) -> dict[str, str]:
    return dict(re.findall(r"^  (\S+) +(executed|cached|failed) +[\d.]+ s$", printed, re.MULTILINE))


def test_a_run_killed_again_and_again_finishes_without_repeating_finished_nodes(dataset, tmp_path):
    root = tmp_path / "run"
    configuration = write_configuration(tmp_path / "small.yaml", small_configuration(dataset, root))
    finished: set[str] = set()
    for node in _KILLED_IN:
        states = _states(_kill_in(_start(configuration), node))
        assert node not in states, "the node ended before it could be killed"
        assert {name for name, state in states.items() if state == "cached"} == finished
        finished = set(states)
        assert not list((root / "serving").glob("*/*")), "nothing may be pushed before the end"
    process = _start(configuration)
    printed = process.communicate(timeout=_PATIENCE)[0].decode()
    assert process.returncode == 0, printed
    states = _states(printed)
    assert {name for name, state in states.items() if state == "cached"} == finished
    assert states["Pusher"] == "executed"
    (version,) = (root / "serving" / "generator_attribution").iterdir()
    assert version.name.isdigit()
    assert (version / "saved_model.pb").is_file()
    assert len(CONFIGURED) == sum(name.startswith("SecondaryTrainer") for name in states)


_HALF_A_PUSH = """
import os, shutil, signal, sys
from pathlib import Path
from components.pusher import push

def half_a_copy(source, target, **options):
    (Path(target) / "saved_model.pb").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copytree = half_a_copy
push.push_version(Path(sys.argv[1]), Path(sys.argv[2]), {"model_artifact": "1"})
"""


def test_a_push_killed_half_way_leaves_no_version_and_the_next_push_cleans_up(tmp_path):
    from components.pusher.push import push_version

    servable, base = tmp_path / "servable", tmp_path / "base"
    servable.mkdir()
    (servable / "saved_model.pb").write_bytes(b"whole")
    killed = subprocess.run([sys.executable, "-c", _HALF_A_PUSH, servable, base], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not [child for child in base.iterdir() if child.name.isdigit()]
    version = push_version(servable, base, {"model_artifact": "1"})
    assert [child.name for child in base.iterdir()] == [version.name]
    assert (version / "saved_model.pb").read_bytes() == b"whole"
