"""Executor of the push."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx import types
from tfx.components.pusher import executor as tfx_executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs

from components.errors import StepRefusedError
from components.pusher.parameters import LicenceParameters
from components.pusher.push import push_version
from components.pusher.statement import training_statement
from components.servable.card_file import read_card
from serving import contract

REFERENCE_KEY = "reference"
_STATISTICS_FILE = "FeatureStats.pb"  # of a split's folder, as StatisticsGen and ReferenceStatistics write it


class AtomicPusherExecutor(tfx_executor.Executor):
    """Copies the blessed servable; the checks of the blessing are TFX's."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `<base directory>/<version>` and records it in the PushedModel artifact."""
        if not self.CheckBlessing(input_dict):
            raise StepRefusedError("the servable was not blessed by ServableValidator; nothing is pushed.")
        destination = json_format.Parse(
            exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], pusher_pb2.PushDestination()
        )
        model = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        servable = Path(self.GetModelPath(input_dict))
        given = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        licences = LicenceParameters.model_validate(given["licences"])
        lineage = {"model_artifact": str(model.id), "model_uri": model.uri}
        if licences != LicenceParameters():
            lineage["licences"] = licences.model_dump_json()  # other terms are another version
        version = push_version(
            servable,
            Path(destination.filesystem.base_directory),
            lineage,
            _beside(input_dict) | _statement(servable, given["recipe"], licences),
        )
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)


def _statement(servable: Path, recipe: str | None, licences: LicenceParameters) -> dict[str, Path | str]:
    """Return the statement of training data and licences: path in the version directory -> text."""
    card = read_card(servable)
    if card is None:
        return {}
    return {contract.TRAINED_ON: training_statement(card, recipe, licences, datetime.now(UTC).date()).to_json()}


def _beside(input_dict: dict[str, list[types.Artifact]]) -> dict[str, Path | str]:
    """Returns what is pushed beside the servable: path in its folder -> file."""
    if not input_dict.get(REFERENCE_KEY):
        return {}
    statistics = artifact_utils.get_single_instance(input_dict[REFERENCE_KEY])
    (split,) = artifact_utils.decode_split_names(statistics.split_names)
    folder = artifact_utils.get_split_uri([statistics], split)
    return {contract.REFERENCE_STATISTICS: Path(folder) / _STATISTICS_FILE}
