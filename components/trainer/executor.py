"""TFX executors that turn artifacts into a training job and run it locally or in worker processes."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.features.parameters import InputParameters
from components.trainer.job import TrainingJob, run_job
from components.trainer.processes import run_in_workers
from components.training.parameters import BaselineParameters, TrainingParameters
from components.training.strategies import Replicas, make_strategy

# Images are scored on the splits that training did not see.
_SPLITS = ("train", "eval", "test")

_Artifacts = dict[str, list[types.Artifact]]


class _TrainerExecutor(base_executor.BaseExecutor):
    """The part that the trainers have in common."""

    def _run(self, input_dict: _Artifacts, output_dict: _Artifacts, properties: dict[str, Any], **module: Any) -> None:
        """Make the job of a node and run it."""
        training = TrainingParameters.model_validate_json(properties["training"])
        model_folder = Path(artifact_utils.get_single_uri(output_dict["model"]))
        scratch = Path(self._get_tmp_dir())
        scratch.mkdir(parents=True, exist_ok=True)
        job = TrainingJob(
            splits={name: _files(input_dict["examples"], name) for name in _SPLITS},
            transform_graph=artifact_utils.get_single_uri(input_dict["transform_graph"]),
            inputs=InputParameters.model_validate_json(properties["inputs"]),
            training=training,
            warm_start=properties["warm_start"],
            source_digest=properties["source_digest"],
            model_folder=str(model_folder),
            run_folder=artifact_utils.get_single_uri(output_dict["model_run"]),
            # <node>/model/<execution>: an output has a new folder in each execution, the node's stays.
            checkpoints=str(model_folder.parents[1] / "checkpoints"),
            scratch=str(scratch),
            **module,
        )
        if training.strategy == "multi_worker":
            run_in_workers(job)
        else:
            run_job(job, Replicas(make_strategy(training.strategy)))


class PrimaryTrainerExecutor(_TrainerExecutor):
    """Trains the primary module."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Reads examples and transform graph, trains, writes Model and ModelRun."""
        self._run(input_dict, output_dict, exec_properties)


class SecondaryTrainerExecutor(_TrainerExecutor):
    """Trains the head of one source."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Reads examples, transform graph and primary module, trains, writes Model and ModelRun."""
        self._run(
            input_dict,
            output_dict,
            exec_properties,
            source=exec_properties["source"],
            level=exec_properties["level"],
            primary=artifact_utils.get_single_uri(input_dict["primary"]),
        )


class BaselineTrainerExecutor(_TrainerExecutor):
    """Trains one baseline."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Reads examples and transform graph, trains, writes Model and ModelRun."""
        self._run(
            input_dict,
            output_dict,
            exec_properties,
            baseline=BaselineParameters(
                architecture=exec_properties["architecture"],
                task=exec_properties["task"],
                training=TrainingParameters.model_validate_json(exec_properties["training"]),
            ),
            source=exec_properties["source"],
            sources=tuple(json.loads(exec_properties["sources"])),
            level=exec_properties["level"],
        )


def _files(examples: list[types.Artifact], split: str) -> tuple[str, ...]:
    return tuple(sorted(tf.io.gfile.glob(f"{artifact_utils.get_split_uri(examples, split)}/*")))
