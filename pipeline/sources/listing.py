"""What is known of every source: images, blessing, figures, and since when it is served."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.dataset.manifest import newest_span
from components.servable.card_file import read_card
from pipeline.config.schema import PipelineConfig
from pipeline.sources.images import SPLITS, source_images
from pipeline.sources.registry import Registry, read_registry
from pipeline.sources.versions import newest_version, served_since

HEADINGS = ("source", "span", "train", "eval", "test", "blessed", "ROC-AUC", "threshold", "served since", "retired")


@dataclass(frozen=True)
class SourceRow:
    """One source.

    Attributes:
        source: its name.
        span: the span that its head was trained on, or would be; None where there is none.
        images: split -> images there.
        blessed: whether the head of the newest version reached its gates; None where no run judged it.
        roc_auc: on the test split.
        threshold: of its head.
        served_since: the version since which it is served without a gap; None if it is not.
        added: when it was added, ISO 8601; None for a source of the configuration.
        retired: when it was retired; None if it was not.
    """

    source: str
    span: int | None
    images: Mapping[str, int]
    blessed: bool | None
    roc_auc: float | None
    threshold: float | None
    served_since: int | None
    added: str | None
    retired: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def cells(self) -> tuple[str, ...]:
        """Returns a row of a table, in the order of `HEADINGS`."""
        blessed = {True: "yes", False: "no", None: "-"}[self.blessed]
        figures = ("-" if value is None else f"{value:.3f}" for value in (self.roc_auc, self.threshold))
        whole = ("-" if value is None else str(value) for value in (self.span, self.served_since))
        span, since = whole
        images = (str(self.images.get(split, 0)) for split in SPLITS)
        return (self.source, span, *images, blessed, *figures, since, self.retired or "-")


def list_sources(config: PipelineConfig) -> list[SourceRow]:
    """Returns the sources of a pipeline, those that were retired behind the others.

    Args:
        config: as it was read from its file.

    Raises:
        ConfigurationError: if the registry is damaged.
        ValueError: if the newest version's card, or a manifest, is damaged.
    """
    registry = read_registry(config)
    newest = newest_version(config)
    judged = _judged(read_card(newest.path) if newest else None)
    since = served_since(config.serving_base)
    return [_row(config, registry, judged, since, name, span) for name, span in _spans(config, registry).items()]


def _spans(config: PipelineConfig, registry: Registry) -> dict[str, int | None]:
    """Returns source -> the span that a run would train its head on, in the order of the list."""
    run_span = newest_span(config.dataset) if config.data.span is None else config.data.span
    active = {source.name: source.span for source in registry.apply(config).sources}
    configured = {source.name: source.span for source in config.sources}
    retired = {name: configured.get(name, entry.span) for name, entry in registry.entries.items() if name not in active}
    return {name: run_span if span is None else span for name, span in {**active, **retired}.items()}


def _judged(card: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {} if card is None else {model["name"]: model for model in (*card["models"], *card["left_out"])}


def _row(
    config: PipelineConfig,
    registry: Registry,
    judged: Mapping[str, Mapping[str, Any]],
    since: Mapping[str, int],
    name: str,
    span: int | None,
) -> SourceRow:
    entry = registry.entries.get(name)
    model = judged.get(name)
    figures = model["figures"] if model else None
    if model:  # what is served tells more than what the next run would do
        span = int(model["span"])
    images = {} if span is None else source_images(config.dataset, span, config.attribution_level).get(name, {})
    return SourceRow(
        name,
        span,
        {split: images.get(split, 0) for split in SPLITS},
        bool(model["blessed"]) if model else None,
        figures["overall"]["roc_auc"]["value"] if figures else None,
        float(model["operating_point"]["threshold"]) if model else None,
        since.get(name),
        entry.added if entry else None,
        entry.retired if entry else None,
    )
