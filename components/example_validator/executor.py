"""Executor of the gate on data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as tfdv_executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from components.dataset.confounds import ConfoundReport
from components.dataset.example_confounds import RecordedFile, find_confounds, read_given_files
from components.dataset.parameters import ConfoundParameters
from components.errors import StepRefusedError
from components.example_validator.anomalies import content_findings, schema_findings

CONFOUND_KEY = "confound"


class ExampleGateExecutor(tfdv_executor.Executor):
    """TFDV's validation, then a decision."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Writes the anomalies of each split, and what tells the classes apart beside the picture.

        Raises:
            StepRefusedError: if an anomaly matters, or a confound was found and the action is "fail".
        """
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
        confounds = _look_for_confounds(input_dict, splits, exec_properties)
        if confounds is not None:
            confounds.save(Path(artifact_utils.get_single_instance(anomalies).uri))
            for note in (*confounds.warnings, *confounds.notes):
                logging.warning("%s", note)
            if confounds.parameters.action == "fail":
                findings.extend(confounds.warnings)
        if findings:
            raise StepRefusedError("the dataset has anomalies:\n  " + "\n  ".join(findings))
        return result


def _look_for_confounds(
    input_dict: dict[str, list[types.Artifact]], splits: list[str], exec_properties: dict[str, Any]
) -> ConfoundReport | None:
    """Returns what was found in the examples of the splits, None if nobody asked."""
    parameters = ConfoundParameters.model_validate_json(exec_properties[CONFOUND_KEY])
    examples = input_dict.get(standard_component_specs.EXAMPLES_KEY)
    if not examples or parameters.action == "off":
        return None
    return find_confounds(_files_of(examples, splits), parameters)


def _files_of(examples: list[types.Artifact], splits: list[str]) -> Iterator[RecordedFile]:
    """Reads the record files of the splits, one split after the other."""
    for split in splits:
        for uri in artifact_utils.get_split_uris(examples, split):
            yield from read_given_files(list(Path(uri).iterdir()))
