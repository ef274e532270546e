"""Who made what from what: the executions that stand behind one artifact, from the metadata store.

`pipeline.metadata.lineage` reads what one run did. This goes the other way: from an artifact back to everything that
it came from, over all runs, since what a run takes from the cache was made in an earlier one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata.lineage import artifact_properties

_LONGEST = 400  # characters of a parameter that are kept: schemas and configurations are longer than a reader wants
_DONE = (metadata_store_pb2.Execution.COMPLETE,)


@dataclass(frozen=True)
class Artifact:
    """An artifact that went into an execution, or came out of it.

    Attributes:
        key: name of the input or output.
        id: in the metadata store.
        type: e.g. "Model".
        uri: folder in which it lies.
        properties: custom properties, e.g. {"span": 1}.
    """

    key: str
    id: int
    type: str
    uri: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Execution:
    """One execution of a node.

    Attributes:
        id: in the metadata store.
        node: identifier of the node, e.g. "PrimaryTrainer".
        pipeline: name of the pipeline.
        run_id: TFX's identifier of the run in which it was executed.
        ended: milliseconds since 1970.
        parameters: of the node, as text; long ones are cut.
        inputs: what it read.
        outputs: what it wrote.
    """

    id: int
    node: str
    pipeline: str
    run_id: str
    ended: int
    parameters: Mapping[str, str]
    inputs: tuple[Artifact, ...]
    outputs: tuple[Artifact, ...]

    @property
    def source_digest(self) -> str:
        """Digest of the code that it ran; "" where the node carries none."""
        digest = self.parameters.get("source_digest", "")
        return digest or str(_json_object(self.parameters.get("custom_config", "")).get("source_digest", ""))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {**asdict(self), "source_digest": self.source_digest}


def ancestry(store: MetadataStore, artifact_id: int) -> list[Execution]:
    """Returns the executions that an artifact comes from.

    Args:
        store: the metadata store.
        artifact_id: of the artifact.

    Returns:
        The executions, each behind those whose outputs it read; the last one made the artifact. Empty if the store does
        not know the artifact.
    """
    found: dict[int, Execution] = {}
    waiting, seen = [artifact_id], set()
    while waiting:
        wanted = waiting.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        maker = _maker(store, wanted)
        if maker is None or maker.id in found:
            continue
        found[maker.id] = _execution(store, maker)
        waiting.extend(artifact.id for artifact in found[maker.id].inputs)
    # An execution reads only what was there when it was registered: identifiers grow along the edges.
    return [found[number] for number in sorted(found)]


def _maker(store: MetadataStore, artifact_id: int) -> metadata_store_pb2.Execution | None:
    """Returns the execution that wrote an artifact; one that took it from the cache did not."""
    events = store.get_events_by_artifact_ids([artifact_id])
    written = [event.execution_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT]
    makers = [execution for execution in store.get_executions_by_id(written) if execution.last_known_state in _DONE]
    return min(makers, key=lambda execution: execution.id, default=None)


def _execution(store: MetadataStore, execution: metadata_store_pb2.Execution) -> Execution:
    contexts = store.get_contexts_by_execution(execution.id)
    names = {kind: next((context.name for context in contexts if context.type == kind), "") for kind in _CONTEXTS}
    pipeline = names["pipeline"]
    events = store.get_events_by_execution_ids([execution.id])
    artifacts = {made.id: made for made in store.get_artifacts_by_id([event.artifact_id for event in events])}

    def those(kind: int) -> tuple[Artifact, ...]:
        chosen = [event for event in events if event.type == kind]
        return tuple(_artifact(artifacts[event.artifact_id], event.path.steps[0].key) for event in chosen)

    return Execution(
        execution.id,
        names["node"].removeprefix(f"{pipeline}."),
        pipeline,
        names["pipeline_run"],
        execution.last_update_time_since_epoch,
        _parameters(execution),
        those(metadata_store_pb2.Event.INPUT),
        those(metadata_store_pb2.Event.OUTPUT),
    )


_CONTEXTS = ("pipeline", "pipeline_run", "node")


def _artifact(artifact: metadata_store_pb2.Artifact, key: str) -> Artifact:
    # Structured values have no plain form: they are kept as text.
    properties = {
        name: value if isinstance(value, int | float | str) else " ".join(str(value).split())
        for name, value in artifact_properties(artifact).items()
    }
    return Artifact(key, artifact.id, artifact.type, artifact.uri, properties)


def _parameters(execution: metadata_store_pb2.Execution) -> dict[str, str]:
    parameters = {}
    for name, value in sorted(execution.custom_properties.items()):
        kind = value.WhichOneof("value")
        # TFX's own bookkeeping is written with two underscores.
        if kind and not name.startswith("__"):
            text = str(getattr(value, kind))
            parameters[name] = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return parameters


def _json_object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
