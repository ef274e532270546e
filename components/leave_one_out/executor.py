"""TFX executor that trains heads without each source in turn, and writes how they score its images."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.features.parameters import InputParameters
from components.leave_one_out.artifacts import write_evaluation
from components.leave_one_out.turns import leave_one_out
from components.training.determinism import deterministic_operations
from components.training.examples import process_splits
from components.training.learners import process_learners
from components.training.middle_features import repeated, stored_middle_features
from components.training.parameters import TrainingParameters
from components.training.training import Training

# The splits of the heads: if these were trained in this process, their middle features are used again.
_SPLITS = ("train", "eval", "test")


class LeaveOneOutExecutor(base_executor.BaseExecutor):
    """Lets every source take its turn as the unknown generator."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Read examples, transform graph and primary module; train heads, keep none, and write their scores."""
        scratch = Path(self._get_tmp_dir())
        scratch.mkdir(parents=True, exist_ok=True)
        files = {name: _files(input_dict["examples"], name) for name in _SPLITS}
        training = Training(
            {name: process_splits().get(name, of_split, scratch) for name, of_split in files.items()},
            InputParameters.model_validate_json(exec_properties["inputs"]),
            TrainingParameters.model_validate_json(exec_properties["training"]),
            scratch=scratch,
            learners=process_learners(),
        )
        primary = Path(artifact_utils.get_single_uri(input_dict["primary"]))
        transform_graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
        with deterministic_operations(training.parameters.deterministic):
            evaluation = leave_one_out(
                repeated(training),
                json.loads(exec_properties["sources"]),
                stored_middle_features(primary, training, transform_graph),
                exec_properties["split"],
                exec_properties["level"],
            )
        write_evaluation(Path(artifact_utils.get_single_uri(output_dict["evaluation"])), evaluation)


def _files(examples: list[types.Artifact], split: str) -> tuple[str, ...]:
    return tuple(sorted(tf.io.gfile.glob(f"{artifact_utils.get_split_uri(examples, split)}/*")))
