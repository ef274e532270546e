"""SIGTERM at the first process of a container: a real one, in a namespace of its own."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import REPOSITORY

_WAITS = """
import sys, time
from pipeline.signals import end_when_told
end_when_told()
sys.stdout.write("ready\\n"); sys.stdout.flush()
time.sleep(60)
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a process namespace needs root, unshare")
def test_process_1_ends_on_sigterm():
    words = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", _WAITS]
    process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
