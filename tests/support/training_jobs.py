"""Training jobs on the small dataset, and processes that carry them out."""

import os
import subprocess
import sys
from pathlib import Path

from components.features.parameters import InputParameters
from components.trainer.job import TrainingJob
from components.training.examples import Split
from components.training.parameters import TrainingParameters
from tests.support.repository import REPOSITORY

INPUTS = InputParameters(representation="dct", size=32)


def make_job(folder: Path, splits: dict[str, Split], transform_graph: str, training: TrainingParameters, **module):
    """A job that writes into a folder: model/1, model_run/1, checkpoints and scratch, as a node's are laid out."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    return TrainingJob(
        splits={name: split.files for name, split in splits.items()},
        transform_graph=transform_graph,
        inputs=INPUTS,
        training=training,
        model_folder=str(folder / "model" / "1"),
        run_folder=str(folder / "model_run" / "1"),
        checkpoints=str(folder / "checkpoints"),
        scratch=str(folder / "scratch"),
        **module,
    )


def start_job(job: TrainingJob, folder: Path, prologue: str = "") -> "subprocess.Popen[str]":
    """Carries out a job in a fresh process, after some lines of Python."""
    path = folder / "job.json"
    path.write_text(job.model_dump_json())
    code = (
        "import sys\nfrom pathlib import Path\n"
        f"{prologue}\n"
        "from components.trainer.job import TrainingJob, run_job\n"
        "from components.training.strategies import Replicas, make_strategy\n"
        "job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "run_job(job, Replicas(make_strategy(job.training.strategy)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> str:
    """Waits for the end; returns what was said on standard error."""
    _, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints[-3000:]
    return complaints


def run_code(code: str) -> str:
    """Runs lines of Python in a fresh process; returns what they print."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=True, timeout=300).stdout
