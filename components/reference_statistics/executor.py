"""Executor of the reference statistics."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.monitoring.statistics import statistics_of, write_statistics
from components.reference_statistics.reference import judged_rows
from components.training import artifacts

STATISTICS_FILE = "FeatureStats.pb"  # in the folder of its split, as StatisticsGen writes it


class ReferenceStatisticsExecutor(base_executor.BaseExecutor):
    """Measures the images that the servable was judged on."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Asks the assembled servable about the images of the split; writes the statistics."""
        split = exec_properties["split"]
        servable = Path(artifact_utils.get_single_uri(input_dict["model"])) / artifacts.SERVING_FOLDER
        uri = artifact_utils.get_split_uri(input_dict["examples"], split)
        rows = judged_rows(servable, tf.io.gfile.glob(f"{uri}/*"), exec_properties["most_images"])
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        statistics.split_names = artifact_utils.encode_split_names([split])
        folder = artifact_utils.get_split_uri(output_dict["statistics"], split)
        write_statistics(statistics_of(rows), Path(folder) / STATISTICS_FILE)
