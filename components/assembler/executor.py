"""Executor of the assembler."""

import importlib.metadata
import json
import logging
import platform
from pathlib import Path, PurePosixPath
from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.assembler.assembly import Candidate, assemble
from components.assembler.card_origin import with_origin
from components.assembler.model_card import (
    ArtifactRecord,
    AssemblyRun,
    ExamplesRecord,
    ModelRecord,
    build_card,
    with_acceptance,
)
from components.features.parameters import InputParameters
from components.servable.card_file import write_card
from components.servable.parameters import VerdictParameters
from components.training.artifacts import SERVING_FOLDER, read_origin
from serving.servable.acceptance import read_acceptance

PRIMARY = "primary"
ROBUSTNESS_KEY = "robustness_blessing"
_LIBRARIES = ("generator-attribution", "tfx", "tensorflow", "keras")

_logger = logging.getLogger(__name__)

_Inputs = dict[str, list[types.Artifact]]


def input_keys(name: str) -> tuple[str, str, str, str]:
    """Returns the keys of a trained module's inputs: Model, ModelBlessing, ModelRun, Examples.

    Args:
        name: "primary", or the source of a head.
    """
    if name == PRIMARY:
        return PRIMARY, "primary_blessing", "primary_run", "primary_examples"
    return f"model.{name}", f"blessing.{name}", f"run.{name}", f"examples.{name}"


class AssemblerExecutor(base_executor.BaseExecutor):
    """Assembles the blessed, and writes the card of what came of it."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: _Inputs,
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads modules and blessings, writes the servable."""
        sources = json.loads(exec_properties["sources"])
        inputs = InputParameters.model_validate_json(exec_properties["inputs"])
        verdict = VerdictParameters.model_validate_json(exec_properties["verdict"])
        folder = Path(artifact_utils.get_single_uri(output_dict["model"]))
        records = {name: _record(input_dict, name) for name in (PRIMARY, *sources)}
        heads = {source: records[source] for source in sources}
        robust = all(model_utils.is_model_blessed(blessing) for blessing in input_dict.get(ROBUSTNESS_KEY, []))
        assembly = assemble(
            folder,
            artifact_utils.get_single_uri(input_dict["transform_graph"]),
            inputs,
            Candidate(
                Path(records[PRIMARY].model.uri), records[PRIMARY].blessed, robust, Path(records[PRIMARY].run.uri)
            ),
            {
                source: Candidate(Path(head.model.uri), head.blessed, run=Path(head.run.uri))
                for source, head in heads.items()
            },
            exec_properties["level"],
            verdict,
        )
        card = build_card(
            self._run(folder, exec_properties["source_digest"]),
            inputs,
            exec_properties["level"],
            _artifact(input_dict, "transform_graph"),
            records[PRIMARY],
            heads,
            Path(exec_properties["dataset"]),
            verdict.uncertain_band,
        )
        if origin := read_origin(Path(records[PRIMARY].model.uri)):
            taken = {name for name, head in heads.items() if not input_dict.get(input_keys(name)[1])}
            card = with_origin(card, origin, taken)
        write_card(with_acceptance(card, read_acceptance(folder / SERVING_FOLDER)), folder / SERVING_FOLDER)
        _logger.info("assembled heads: %s; left out: %s", ", ".join(assembly.heads), ", ".join(assembly.left_out))

    def _run(self, folder: Path, source_digest: str) -> AssemblyRun:
        """Describes this execution."""
        versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
        context = self._context
        return AssemblyRun(
            context.pipeline_info.id if context and context.pipeline_info else "",
            (context.pipeline_run_id or "") if context else "",
            folder.name,
            source_digest,
            {"python": platform.python_version(), **versions},
        )


def _record(input_dict: _Inputs, name: str) -> ModelRecord:
    model, blessing, run, examples = input_keys(name)
    read = artifact_utils.get_single_instance(input_dict[examples])
    return ModelRecord(
        _artifact(input_dict, model),
        _artifact(input_dict, run),
        ExamplesRecord(
            _artifact(input_dict, examples),
            read.get_int_custom_property("span"),
            read.get_string_custom_property("input_fingerprint"),
        ),
        all(model_utils.is_model_blessed(each) for each in input_dict.get(blessing, [])),
    )


def _artifact(input_dict: _Inputs, key: str) -> ArtifactRecord:
    artifact = artifact_utils.get_single_instance(input_dict[key])
    # TFX lays outputs down as <pipeline root>/<node>/<output>/<execution>.
    parts = PurePosixPath(artifact.uri).parts
    node, execution = (parts[-3], parts[-1]) if len(parts) > 3 else ("", "")
    return ArtifactRecord(artifact.id, artifact.type_name, artifact.uri, node, execution)
