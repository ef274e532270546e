"""Executor of the leave-one-generator-out evaluation: from artifacts to heads without a source and their figures."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.features.parameters import InputParameters
from components.features.transform import ExportedTransform
from components.leave_one_out.artifacts import write_evaluation
from components.leave_one_out.turns import leave_one_out
from components.trainer.job import TrainingJob, middle_features
from components.training.determinism import deterministic_operations
from components.training.examples import process_splits
from components.training.fitting import FittingOptions
from components.training.learners import process_learners
from components.training.middle_features import repeated
from components.training.parameters import TrainingParameters

# Those of the heads: where they were trained in this process, their middle features are used again.
_SPLITS = ("train", "eval", "test")


class LeaveOneOutExecutor(base_executor.BaseExecutor):
    """Lets every source take its turn as the unknown generator."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads examples, transform graph and primary module; trains heads and keeps none; writes what they said."""
        scratch = Path(self._get_tmp_dir())
        scratch.mkdir(parents=True, exist_ok=True)
        job = TrainingJob(
            splits={name: _files(input_dict["examples"], name) for name in _SPLITS},
            transform_graph=artifact_utils.get_single_uri(input_dict["transform_graph"]),
            inputs=InputParameters.model_validate_json(exec_properties["inputs"]),
            training=TrainingParameters.model_validate_json(exec_properties["training"]),
            level=exec_properties["level"],
            primary=artifact_utils.get_single_uri(input_dict["primary"]),
            scratch=str(scratch),
            # No head of these is kept.
            model_folder="",
            run_folder="",
            checkpoints="",
        )
        splits = {name: process_splits().get(name, files, scratch) for name, files in job.splits.items()}
        with deterministic_operations(job.training.deterministic):
            evaluation = leave_one_out(
                json.loads(exec_properties["sources"]),
                middle_features(job, splits, ExportedTransform(job.transform_graph)),
                repeated(splits, job.training),
                exec_properties["split"],
                job.inputs,
                job.training,
                job.level,
                FittingOptions(scratch=scratch, learners=process_learners()),
            )
        write_evaluation(Path(artifact_utils.get_single_uri(output_dict["evaluation"])), evaluation)


def _files(examples: list[types.Artifact], split: str) -> tuple[str, ...]:
    return tuple(sorted(tf.io.gfile.glob(f"{artifact_utils.get_split_uri(examples, split)}/*")))
