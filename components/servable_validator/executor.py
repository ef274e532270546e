"""Executor of the servable validator."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.servable.assembly import read_assembly
from components.servable_validator.parameters import ValidationParameters
from components.servable_validator.validation import validate
from components.training import artifacts
from components.training.examples import read_split

HEAD_KEY = "model.{}"
RECORD_FILE = "validation.json"

_SPLIT = "test"
_BLESSED = 1


class ServableValidatorExecutor(base_executor.BaseExecutor):
    """Validates the servable, or stops the run."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Compares the servable with the models it was assembled from; writes the InfraBlessing artifact."""
        assembled = Path(artifact_utils.get_single_uri(input_dict["model"]))
        heads = {
            source: Path(artifact_utils.get_single_uri(input_dict[HEAD_KEY.format(source)]))
            for source in read_assembly(assembled).heads
        }
        primary = Path(artifact_utils.get_single_uri(input_dict["primary"]))
        uri = artifact_utils.get_split_uri(input_dict["examples"], _SPLIT)
        record = validate(
            assembled / artifacts.SERVING_FOLDER,
            primary / artifacts.SERVING_FOLDER,
            {source: folder / artifacts.SERVING_FOLDER for source, folder in heads.items()},
            read_split(_SPLIT, tf.io.gfile.glob(f"{uri}/*")),
            ValidationParameters.model_validate_json(exec_properties["validation"]),
        )
        blessing = artifact_utils.get_single_instance(output_dict["infra_blessing"])
        (Path(blessing.uri) / RECORD_FILE).write_text(json.dumps(asdict(record), indent=2) + "\n")
        blessing.set_int_custom_property("blessed", _BLESSED)
