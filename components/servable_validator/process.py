"""A server in a process of its own, which has seen nothing of this one."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from components.errors import StepRefusedError

_ROOT = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT = 20.0


@contextmanager
def server_process(base: Path, start_timeout: float) -> Iterator[dict[str, str]]:
    """Serves the newest version below a base directory while the context is open.

    Args:
        base: model base directory.
        start_timeout: seconds until the server must have answered.

    Yields:
        The addresses that the server printed: "grpc" (host:port) and "rest" (URL).

    Raises:
        StepRefusedError: if the server does not come up; the message ends with what it said last.
    """
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(base), "--grpc-port", "0"]
    # A killed run must not leave a server behind: its end of the pipe goes with it, and the server stops.
    command += ["--rest-port", "0", "--until-end-of-input"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, env=environment
        )
        try:
            yield _ready(process, start_timeout, complaints)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()


def _ready(process: "subprocess.Popen[bytes]", timeout: float, complaints: IO[bytes]) -> dict[str, str]:
    """Waits for the line in which the server says where it listens."""
    output = process.stdout
    if output is None:
        raise ValueError("process: must be started with its standard output in a pipe.")
    deadline, line = time.monotonic() + timeout, b""
    while not line.endswith(b"\n") and time.monotonic() < deadline:
        if select.select([output], [], [], 0.2)[0]:
            part = output.readline()
            if not part:
                break
            line += part
    if line.endswith(b"\n"):
        return json.loads(line)
    complaints.seek(0)
    said = complaints.read().decode(errors="replace").strip().splitlines()[-5:]
    state = f"ended with exit code {process.poll()}" if process.poll() is not None else f"was silent for {timeout:g} s"
    raise StepRefusedError("the servable does not start in a fresh process: it " + state + "\n  " + "\n  ".join(said))
