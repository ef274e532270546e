"""What is known of a servable: its card, and the whole lineage where its metadata store can be asked.

A servable without a card (of published weights, or of an earlier release) still says what it holds and at which
thresholds; what is not known of it is listed, not left out.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.pusher.push import read_lineage
from components.servable.card_file import read_card
from pipeline.config.schema import PipelineConfig
from pipeline.metadata.ancestry import Execution, ancestry
from serving.servable.description import ServableDescription, describe
from serving.servable.trained_on import TrainedOn, read_trained_on

_WITHOUT_CARD = (
    "the images that its models were trained on: spans, digests, sources and counts",
    "how good it is: it carries no scores on test images (genattr evaluate measures them)",
    "how its thresholds were chosen",
    "what it was made from, and by which run",
)


@dataclass(frozen=True)
class DescribedServable:
    """All that is known of a servable.

    Attributes:
        description: what its assets say.
        card: its model card; None if it has none.
        trained_on: its statement of training data and licences; None if it has none.
        lineage: the executions that it comes from, each behind those that it needs; empty without a metadata store.
        unknown: what is not known of it, in words.
    """

    description: ServableDescription
    card: dict[str, Any] | None
    lineage: Sequence[Execution]
    unknown: tuple[str, ...]
    trained_on: TrainedOn | None = None

    @property
    def title(self) -> str:
        """The heading of its card."""
        name = self.card["name"] if self.card else "Servable"
        return f"{name}, version {self.description.version.number}"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        said = self.description
        return {
            "version": said.version.number,
            "path": str(said.version.path),
            "operating_points": {"detection": said.detection, "sources": dict(said.sources)},
            **({"acceptance": said.acceptance.to_json()} if said.acceptance else {}),
            "level": said.level,
            "size": said.size,
            "representation": said.representation or None,
            "card": self.card,
            "trained_on": asdict(self.trained_on) if self.trained_on else None,
            "executions": [execution.to_dict() for execution in self.lineage],
            "unknown": list(self.unknown),
        }


def describe_servable(path: Path, config: PipelineConfig | None = None) -> DescribedServable:
    """Gathers what is known of a servable, without loading it.

    Args:
        path: servable, or the folder of its versions, of which the newest is taken.
        config: whose metadata store is asked for the whole lineage; None asks the one that lies beside the servable, if
            there is one.

    Raises:
        ServableError: if there is no servable.
        ValueError: if its card is damaged.
    """
    said = describe(path)
    card = read_card(said.version.path)
    lineage = _lineage(said.version.path, config)
    unknown = list(_WITHOUT_CARD if card is None else ())
    if not lineage:
        unknown.append("the executions behind it: no metadata store that knows it was found")
    return DescribedServable(said, card, lineage, tuple(unknown), read_trained_on(said.version.path))


def _lineage(version: Path, config: PipelineConfig | None) -> list[Execution]:
    pushed = (read_lineage(version) or {}).get("model_artifact", "")
    if not pushed.isdecimal():
        return []
    # Imported here: a servable from elsewhere is described without them, and TFX alone takes seconds.
    if config is not None:
        from pipeline.metadata.store import open_store

        store = open_store(config)
    else:
        store = _store_beside(version)
    return ancestry(store, int(pushed)) if store else []


def _store_beside(version: Path) -> Any:
    """Opens the store of the output root that a version was pushed below, for reading; None if there is none."""
    from ml_metadata.metadata_store.metadata_store import MetadataStore
    from ml_metadata.proto import metadata_store_pb2

    parents = version.resolve().parents  # <output root>/serving/<model>/<version>
    file = parents[2] / "metadata" / "metadata.sqlite" if len(parents) > 2 else None
    if file is None or not file.is_file():
        return None
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=str(file), connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    )
    return MetadataStore(metadata_store_pb2.ConnectionConfig(sqlite=sqlite))
