"""Executor of RobustnessScores."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.robustness_scores.copy_scores import score_copies, write_copy_scores


class RobustnessScoresExecutor(base_executor.BaseExecutor):
    """Asks the assembled servable about perturbed copies."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads the copies of the split; writes what the servable says of each."""
        servable = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        copies = artifact_utils.get_split_uri(input_dict["perturbed"], exec_properties["split"])
        scores = score_copies(Path(servable), tf.io.gfile.glob(f"{copies}/*"))
        write_copy_scores(scores, Path(artifact_utils.get_single_uri(output_dict["scores"])))
