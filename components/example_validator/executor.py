"""Executor of the gate on data."""

from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as tfdv_executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from components.errors import StepRefusedError
from components.example_validator.anomalies import content_findings, schema_findings


class ExampleGateExecutor(tfdv_executor.Executor):
    """TFDV's validation, then a decision."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Writes the anomalies of each split; raises StepRefusedError if one of them matters."""
        result = super().Do(input_dict, output_dict, exec_properties)
        excluded = json_utils.loads(exec_properties[standard_component_specs.EXCLUDE_SPLITS_KEY])
        statistics = artifact_utils.get_single_instance(input_dict[standard_component_specs.STATISTICS_KEY])
        splits = [split for split in artifact_utils.decode_split_names(statistics.split_names) if split not in excluded]
        anomalies = output_dict[standard_component_specs.ANOMALIES_KEY]
        findings = content_findings(
            {split: stats_artifact_utils.load_statistics(statistics, split).proto().datasets[0] for split in splits}
        )
        for split in splits:
            path = Path(artifact_utils.get_split_uri(anomalies, split)) / tfdv_executor.DEFAULT_FILE_NAME
            findings.extend(schema_findings(split, anomalies_pb2.Anomalies.FromString(path.read_bytes())))
        if findings:
            raise StepRefusedError("the dataset has anomalies:\n  " + "\n  ".join(findings))
        return result
