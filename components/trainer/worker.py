"""One worker of a training in several processes: python -m components.trainer.worker JOB.json

TF_CONFIG says which worker this is. Epochs are written to standard output, one JSON object a line. The process ends
when its standard input does, that is, when whoever started it is gone.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.training.progress import Figures

_ORPHANED = 3


def main(arguments: list[str]) -> int:
    """Carries out one worker's part of a job.

    Args:
        arguments: the file of the job.

    Returns:
        Exit code 0.
    """
    # Keras 3 and the kernels of every other process, before anything imports TensorFlow.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    threading.Thread(target=_end_with_input, daemon=True).start()
    from components.trainer.job import TrainingJob, run_job
    from components.training.progress import watched_epochs
    from components.training.strategies import Replicas, make_strategy

    job = TrainingJob.model_validate_json(Path(arguments[0]).read_text())
    # Before anything else: collectives are set up before TensorFlow computes.
    replicas = Replicas(make_strategy(job.training.strategy))
    with watched_epochs(_write_line):
        run_job(job, replicas)
    # A worker that leaves early is, to the others, a worker that died: all wait for the chief's last file.
    replicas.wait_for_all()
    return 0


def _write_line(figures: "Figures") -> None:
    sys.stdout.write(json.dumps(dict(figures)) + "\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    # Unbuffered: a thread that waits with a lock on the buffer would spoil the interpreter's shutdown.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
