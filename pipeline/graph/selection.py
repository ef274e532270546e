"""Nodes that a configuration selects, and the check that those it names exist."""

from collections.abc import Collection, Iterable

from components.training.parameters import BaselineParameters
from pipeline.config.nodes import kind_of
from pipeline.config.schema import ConfigurationError, PipelineConfig


def baseline_sources(config: PipelineConfig) -> tuple[str, ...]:
    """Return the sources that baselines learn: those of `data.span`, since one network sees all of them at once."""
    return tuple(source.name for source in config.sources if config.span_of(source) == config.data.span)


def left_out_sources(config: PipelineConfig) -> tuple[str, ...]:
    """Return the sources that take turns as the unknown one: those of `data.span`, or none if that is not measured."""
    sources = baseline_sources(config)
    measured = config.open_set.leave_one_out and 2 <= len(sources) <= config.open_set.most_sources
    return sources if measured else ()


def baseline_runs(config: PipelineConfig) -> list[tuple[BaselineParameters, str]]:
    """Return every baseline training with its source: one per source for attribution, else one with an empty source."""
    return [
        (baseline, source)
        for baseline in config.baselines
        for source in (baseline_sources(config) if baseline.task == "attribution" else ("",))
    ]


def require_nodes(key: str, named: Iterable[str], node_ids: Collection[str]) -> None:
    """Raise unless every node that a part of the configuration names exists.

    Args:
        key: Configuration key, for messages.
        named: Identifiers or kinds of nodes.
        node_ids: Identifiers of the pipeline's nodes.

    Raises:
        ConfigurationError: If a name fits no node.
    """
    for name in named:
        if not any(name in (node_id, kind_of(node_id)) for node_id in node_ids):
            kinds = ", ".join(dict.fromkeys(kind_of(node_id) for node_id in node_ids))
            raise ConfigurationError(
                f"{key}.{name}: is no node of this pipeline. Name one, e.g. {next(iter(node_ids))}, or all of a kind: "
                f"{kinds}."
            )
