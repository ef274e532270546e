"""Executor of the assembler."""

import json
import logging
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.assembler.assembly import Candidate, assemble
from components.features.parameters import InputParameters

MODEL_KEY = "model.{}"
BLESSING_KEY = "blessing.{}"

_logger = logging.getLogger(__name__)


class AssemblerExecutor(base_executor.BaseExecutor):
    """Assembles the blessed."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads modules and blessings, writes the servable."""
        sources = json.loads(exec_properties["sources"])
        assembly = assemble(
            Path(artifact_utils.get_single_uri(output_dict["model"])),
            artifact_utils.get_single_uri(input_dict["transform_graph"]),
            InputParameters.model_validate_json(exec_properties["inputs"]),
            _candidate(input_dict, "primary", "primary_blessing"),
            {
                source: _candidate(input_dict, MODEL_KEY.format(source), BLESSING_KEY.format(source))
                for source in sources
            },
            exec_properties["level"],
        )
        _logger.info("assembled heads: %s; left out: %s", ", ".join(assembly.heads), ", ".join(assembly.left_out))


def _candidate(input_dict: dict[str, list[types.Artifact]], model_key: str, blessing_key: str) -> Candidate:
    blessing = artifact_utils.get_single_instance(input_dict[blessing_key])
    return Candidate(Path(artifact_utils.get_single_uri(input_dict[model_key])), model_utils.is_model_blessed(blessing))
