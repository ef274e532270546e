"""A training in processes of its own, several at once: the workers of tf.distribute.

Collectives must be set up before TensorFlow computes anything, which a process that ran other steps did long ago.
Workers are therefore fresh processes. Where TF_CONFIG describes a cluster, one takes this machine's part in it; else
as many as configured are started here and meet on the loopback interface.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Listener
from pathlib import Path
from typing import IO

from components.errors import StepRefusedError
from components.trainer import worker
from components.trainer.job import TrainingJob
from components.training.progress import report_epoch

_ROOT = Path(__file__).resolve().parents[2]
_CLUSTER = "TF_CONFIG"
_POLL_SECONDS = 0.2
_LAST_LINES = 8


def run_in_workers(job: TrainingJob, module: str = worker.__name__) -> None:
    """Carries out a job in worker processes, and waits for them.

    Args:
        job: the training; only its chief writes artifacts.
        module: what a worker runs, with the file of the job as its argument.

    Raises:
        StepRefusedError: if a worker fails; the others are ended, and the message has its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="training-", dir=job.scratch) as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "job.json"
        path.write_text(job.model_dump_json())
        processes = [
            stack.enter_context(_Process(number, [sys.executable, "-m", module, str(path)], environment))
            for number, environment in enumerate(_environments(job.training.workers))
        ]
        while any(process.running for process in processes):
            for process in processes:
                process.require_health()
            time.sleep(_POLL_SECONDS)
        for process in processes:
            process.require_health()


class _Process:
    """One worker process, for as long as the context is open; what it reports is logged here."""

    def __init__(self, number: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._number = number
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the context)
        # It watches its input: when this process goes, however it does, the pipe closes and the worker ends.
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, env=dict(environment)
        )
        self._relay = threading.Thread(target=self._relay_progress, daemon=True)
        self._relay.start()

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._relay.join()
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            if stream:
                stream.close()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def require_health(self) -> None:
        """Raises StepRefusedError if the worker ended otherwise than by finishing."""
        if self._process.poll() in (None, 0):
            return
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise StepRefusedError(
            f"training: worker {self._number} ended with exit code {self._process.returncode}; the others were ended "
            "too. Its last lines:\n  " + "\n  ".join(lines or ["(none)"])
        )

    def _relay_progress(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith(b"{"):
                report_epoch(json.loads(line))


def _environments(workers: int) -> list[dict[str, str]]:
    """Returns the environment of each worker process on this machine."""
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
    if inherited.get(_CLUSTER):
        return [inherited]
    addresses = _free_addresses(workers)
    return [
        {
            **inherited,
            _CLUSTER: json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}),
            # Workers of one machine are not to be looked for through a proxy.
            "no_proxy": "127.0.0.1,localhost",
            "no_grpc_proxy": "127.0.0.1,localhost",
        }
        for number in range(workers)
    ]


def _free_addresses(count: int) -> list[str]:
    """Returns addresses on the loopback interface that the system gave out just now, all different."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(Listener(("127.0.0.1", 0))) for _ in range(count)]
        return [f"{listener.address[0]}:{listener.address[1]}" for listener in taken]
