"""The primary module that is blessed and served: which it is, and what it was trained on."""

from dataclasses import dataclass

from ml_metadata.metadata_store.metadata_store import MetadataStore

from components.errors import StepRefusedError
from components.pusher.push import read_lineage
from pipeline.config.nodes import PRIMARY_TRAINER
from pipeline.config.schema import ConfigurationError, PipelineConfig
from pipeline.metadata.ancestry import Execution, ancestry
from pipeline.sources.versions import newest_version


@dataclass(frozen=True)
class ServedPrimary:
    """The primary module of the newest pushed version.

    Attributes:
        version: number of the version.
        span: the span that it was trained on.
        run_id: the run that trained it.
    """

    version: int
    span: int
    run_id: str


def served_primary(config: PipelineConfig, store: MetadataStore | None) -> ServedPrimary:
    """Finds the primary module that is blessed and served.

    The newest pushed version says which Model it is a copy of; the metadata store says which primary module went into
    that, and which examples this was trained on.

    Raises:
        ConfigurationError: if nothing was pushed under the output root.
        StepRefusedError: if the version was not pushed by a run that the metadata store knows.
    """
    version = newest_version(config)
    if version is None:
        raise ConfigurationError(
            f"output_root: nothing was pushed under {config.output_root}, so there is no primary module for a head to "
            "stand on. Run genattr run CONFIG first."
        )
    lineage = read_lineage(version.path) or {}
    known = ancestry(store, int(lineage["model_artifact"])) if store and lineage.get("model_artifact") else []
    trainer = next((execution for execution in known if execution.node == PRIMARY_TRAINER), None)
    if trainer is None:
        raise StepRefusedError(
            f"version {version.number}: the metadata store of this pipeline does not know which primary module is in "
            "it. Push a version with genattr run CONFIG; then the source can be added or retired."
        )
    return ServedPrimary(version.number, _span(trainer), trainer.run_id)


def _span(trainer: Execution) -> int:
    examples = next(artifact for artifact in trainer.inputs if artifact.key == "examples")
    return int(examples.properties.get("span", 0))
