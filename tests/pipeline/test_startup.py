"""Start-up of a process: logs, postponed imports, and SIGTERM at the first process of a container."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.startup import POSTPONED, importing
from tests.support.repository import REPOSITORY

_LOGS = """
from absl import logging
from pipeline.startup import quiet_libraries
quiet_libraries(verbose=True)
for what in ("deployment", "connection"):
    logging.info("Using %s config:\\n %s" % (what, "not-in-any-log"))
    logging.info(f"Using {what} config:\\n %s", "not-in-any-log")
logging.info("Component %s is running.", "Transform")
"""

_WAITS = """
import sys, time
from pipeline.startup import end_on_sigterm
end_on_sigterm()
sys.stdout.write("ready\\n"); sys.stdout.flush()
time.sleep(60)
"""

# Module -> an expression that uses it as its users do, true if it works.
USES = {
    "IPython": "sys.modules['IPython'].get_ipython() is None",
    "keras.wrappers": "callable(sys.modules['keras'].wrappers.SKLearnClassifier)",
    "matplotlib.pyplot": "sys.modules['matplotlib'].pyplot.figure().add_subplot() is not None",
    "tfx.components.infra_validator.model_server_runners.kubernetes_runner": (
        "callable(__import__(name, fromlist=['KubernetesRunner']).KubernetesRunner)"
    ),
}


def test_the_metadata_stores_password_is_not_logged_by_tfx_runners():
    done = subprocess.run([sys.executable, "-c", _LOGS], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "Component Transform is running." in done.stderr
    assert "not-in-any-log" not in done.stderr + done.stdout


def in_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_postponed_module_waits_through_our_imports_and_works_on_first_use():
    uses = "".join(f"name = {name!r}\ncheck(name, lambda: {use})\n" for name, use in USES.items())
    code = (
        "import importlib.util, sys\n"
        "from pipeline.startup import import_tensorflow, settle_environment\n"
        "def check(name, use):\n"
        "    if name.startswith('tfx.'):\n        import tfx.components\n"
        "    assert type(sys.modules[name]) is importlib.util._LazyModule, f'{name} is loaded before its use'\n"
        "    assert use(), f'{name} does not work'\n"
        "    assert type(sys.modules[name]) is not importlib.util._LazyModule, f'{name} was not what was used'\n"
        "settle_environment()\n"
        "import_tensorflow(verbose=False)\n"
    )
    in_new_process(code + uses)


@pytest.mark.parametrize("width", ["0", ""])
def test_a_terminal_whose_width_is_not_known_still_shows_errors(width, tmp_path):  # TPC-Council/HammerDB#289
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "prepare", str(tmp_path / "gone"), str(tmp_path / "out")],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": width, "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "gone: is not a directory" in done.stderr


def test_of_many_threads_that_use_a_module_at_once_all_get_the_whole():
    code = (
        "import threading\n"
        "from pipeline.startup import postpone_unused\n"
        "postpone_unused()\n"
        "import matplotlib.pyplot as plt\n"
        "seen, gate = [], threading.Barrier(8)\n"
        "def use():\n    gate.wait()\n    seen.append(plt.figure)\n"
        "threads = [threading.Thread(target=use) for _ in range(8)]\n"
        "[one.start() for one in threads]\n[one.join() for one in threads]\n"
        "print(len(seen), len(set(seen)))\n"
    )
    assert in_new_process(code).split() == ["8", "1"]


def test_what_is_not_installed_is_still_reported_as_such():
    code = (
        "from pipeline import startup\n"
        "startup.POSTPONED['no_such_module'] = 'nobody'\n"
        "startup.postpone_unused()\n"
        "try:\n    import no_such_module\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    assert in_new_process(code).strip() == "No module named 'no_such_module'"


def test_every_postponed_module_is_tried():
    assert set(USES) == set(POSTPONED)


def test_garbage_is_collected_again_after_imports_that_fail(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    with pytest.raises(ModuleNotFoundError), importing():
        assert not gc.isenabled()
        import no_such_module  # noqa: F401
    assert gc.isenabled()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a process namespace needs root, unshare")
def test_process_1_ends_on_sigterm():
    words = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", _WAITS]
    process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
