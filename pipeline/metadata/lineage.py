"""What a run left in the metadata store: for each node its state and its output artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.nodes import TRAINERS, kind_of


@dataclass(frozen=True)
class OutputArtifact:
    """One artifact.

    Attributes:
        id: in the metadata store.
        uri: folder in which it lies.
        properties: custom properties, e.g. {"blessed": 1}.
    """

    id: int
    uri: str
    properties: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.uri)


@dataclass(frozen=True)
class NodeRecord:
    """One node in one run.

    Attributes:
        state: name of MLMD's state, e.g. "COMPLETE" or "CACHED".
        seconds: from its registration to the last change of its state.
        outputs: output key -> artifacts.
    """

    state: str
    seconds: float
    outputs: Mapping[str, list[OutputArtifact]]

    def output(self, key: str) -> OutputArtifact | None:
        """Returns the single artifact of an output, None where there is none."""
        artifacts = self.outputs.get(key, [])
        return artifacts[0] if artifacts else None


def read_run(store: MetadataStore | None, pipeline: str, run_id: str) -> dict[str, NodeRecord]:
    """Reads what each node of a run did.

    Args:
        store: the metadata store; None stands for one without a run.
        pipeline: the pipeline's name.
        run_id: TFX's identifier of the run.

    Returns:
        Node identifier -> record; nodes that never started are absent.
    """
    if not run_id or store is None:
        return {}
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    if context is None:
        return {}
    records = {}
    for execution in store.get_executions_by_context(context.id):
        node = _node_of(store, execution, pipeline)
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        seconds = (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000
        records[node] = NodeRecord(state, seconds, _outputs_of(store, execution))
    return records


def newest_models(store: MetadataStore | None, root: Path) -> dict[str, Path]:
    """Finds the newest finished model of every training node below an output root, over all its runs.

    Args:
        store: the metadata store, which may hold runs of other roots as well; None stands for one without a run.
        root: output root of the runs that are meant.

    Returns:
        Node identifier, e.g. "SecondaryTrainer.progan_celeba" -> folder of its Model artifact.
    """
    if store is None:
        return {}
    pipelines = [context.name for context in store.get_contexts_by_type("pipeline")]
    newest: dict[str, Path] = {}
    for context in store.get_contexts_by_type("node"):
        # Names of pipelines and of nodes may both hold dots: the longest pipeline that fits is the one.
        owner = max((name for name in pipelines if context.name.startswith(f"{name}.")), key=len, default="")
        node = context.name.removeprefix(f"{owner}.")
        if kind_of(node) not in TRAINERS:
            continue
        executions = store.get_executions_by_context(context.id)
        for execution in sorted(executions, key=lambda execution: execution.id, reverse=True):
            if execution.last_known_state != metadata_store_pb2.Execution.COMPLETE:
                continue
            models = _outputs_of(store, execution).get("model", [])
            if models and models[0].path.resolve().is_relative_to(root.resolve()) and models[0].path.is_dir():
                newest[node] = models[0].path
                break
    return newest


def _node_of(store: MetadataStore, execution: metadata_store_pb2.Execution, pipeline: str) -> str:
    for context in store.get_contexts_by_execution(execution.id):
        if context.type == "node":
            return context.name.removeprefix(f"{pipeline}.")
    raise ValueError(f"execution {execution.id}: belongs to no node; the metadata store was not written by TFX 1.21.")


def _outputs_of(store: MetadataStore, execution: metadata_store_pb2.Execution) -> dict[str, list[OutputArtifact]]:
    events = [
        event
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    artifacts = {found.id: found for found in store.get_artifacts_by_id([event.artifact_id for event in events])}
    outputs: dict[str, list[OutputArtifact]] = {}
    for event in events:
        artifact = artifacts[event.artifact_id]
        outputs.setdefault(event.path.steps[0].key, []).append(
            OutputArtifact(artifact.id, artifact.uri, artifact_properties(artifact))
        )
    return outputs


def artifact_properties(artifact: metadata_store_pb2.Artifact) -> dict[str, Any]:
    """Returns the custom properties of an artifact, e.g. {"blessed": 1}."""
    return {
        name: getattr(value, value.WhichOneof("value"))
        for name, value in artifact.custom_properties.items()
        if value.WhichOneof("value")
    }
