"""Executors of the two trainers: artifacts in, pure functions, artifacts out."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.features.parameters import InputParameters
from components.features.transform import ExportedTransform
from components.servable.export import export_servable
from components.servable.operating_points import OperatingPoints
from components.trainer import artifacts
from components.trainer.examples import Split, read_split
from components.trainer.modules import train_head, train_primary
from components.trainer.parameters import TrainingParameters

# Images are scored on the splits that training did not see.
_SPLITS = ("train", "eval", "test")

_logger = logging.getLogger(__name__)


class PrimaryTrainerExecutor(base_executor.BaseExecutor):
    """Trains the primary module."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads examples and transform graph, trains, writes Model and ModelRun."""
        inputs = InputParameters.model_validate_json(exec_properties["inputs"])
        training = TrainingParameters.model_validate_json(exec_properties["training"])
        splits = read_splits(input_dict["examples"])
        transform = ExportedTransform(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        model_folder = Path(artifact_utils.get_single_uri(output_dict["model"]))
        run_folder = Path(artifact_utils.get_single_uri(output_dict["model_run"]))
        trained = train_primary(splits, transform, inputs, training, run_folder / artifacts.LOGS_FOLDER)
        artifacts.write_module(model_folder, trained)
        artifacts.write_run(run_folder, trained, splits)
        export_servable(
            model_folder / artifacts.SERVING_FOLDER,
            transform,
            inputs,
            trained.model,
            {},
            OperatingPoints(trained.operating_point.threshold),
            for_evaluation=True,
        )


class SecondaryTrainerExecutor(base_executor.BaseExecutor):
    """Trains the head of one source."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads examples, transform graph and primary module, trains, writes Model and ModelRun."""
        source = exec_properties["source"]
        inputs = InputParameters.model_validate_json(exec_properties["inputs"])
        training = TrainingParameters.model_validate_json(exec_properties["training"])
        splits = read_splits(input_dict["examples"])
        transform = ExportedTransform(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        primary_folder = Path(artifact_utils.get_single_uri(input_dict["primary"]))
        primary = artifacts.read_model(primary_folder)
        model_folder = Path(artifact_utils.get_single_uri(output_dict["model"]))
        run_folder = Path(artifact_utils.get_single_uri(output_dict["model_run"]))
        # Below the pipeline's root: middle features of a large dataset do not fit into every machine's /tmp.
        with tempfile.TemporaryDirectory(prefix="middle-features-", dir=self._get_tmp_dir()) as scratch:
            trained = train_head(
                source, primary, splits, transform, inputs, training, Path(scratch), run_folder / artifacts.LOGS_FOLDER
            )
        artifacts.write_module(model_folder, trained, source)
        artifacts.write_run(run_folder, trained, splits, source)
        detection_threshold = artifacts.read_description(primary_folder).operating_point.threshold
        export_servable(
            model_folder / artifacts.SERVING_FOLDER,
            transform,
            inputs,
            primary,
            {source: trained.model},
            OperatingPoints(detection_threshold, {source: trained.operating_point.threshold}),
            for_evaluation=True,
        )


def read_splits(examples: list[types.Artifact]) -> dict[str, Split]:
    """Reads the splits that trainers use from an Examples artifact."""
    splits = {}
    for name in _SPLITS:
        uri = artifact_utils.get_split_uri(examples, name)
        splits[name] = read_split(name, tf.io.gfile.glob(f"{uri}/*"))
        _logger.info("split '%s': %d images", name, splits[name].count)
    return splits
