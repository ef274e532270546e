"""Which sources were added and retired since the configuration was written: `sources.json` in the output root.

The configuration file is never edited. What `genattr sources` has done stands in the registry, and every later run of
the same output root takes both: the configuration's sources without those that were retired, then those that were
added. The file is replaced whole, while its writer holds the output root.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.dataset.manifest import newest_span
from pipeline.config.data import SourceParameters
from pipeline.config.schema import ConfigurationError, PipelineConfig
from pipeline.sources.images import source_images
from serving import atomic

FILE_NAME = "sources.json"
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """What was done with one source.

    Attributes:
        span: the span that its head was added with; None for a source of the configuration that was only retired.
        added: when, ISO 8601, UTC; None for a source of the configuration.
        retired: when; None while its head is served.
    """

    span: int | None = None
    added: str | None = None
    retired: str | None = None


@dataclass(frozen=True)
class Registry:
    """What was done with all sources, in the order in which it was.

    Attributes:
        entries: source -> what was done with it.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def with_added(self, name: str, span: int) -> "Registry":
        """Returns the registry once a source was added, for the first time or again."""
        before = self.entries.get(name, Entry())
        if before.added is None and before.retired is not None:
            # It came from the configuration, and is again what that says.
            return Registry({other: entry for other, entry in self.entries.items() if other != name})
        return Registry({**self.entries, name: Entry(span, _now())})

    def with_retired(self, name: str) -> "Registry":
        """Returns the registry once a source was retired."""
        return Registry({**self.entries, name: replace(self.entries.get(name, Entry()), retired=_now())})

    def apply(self, config: PipelineConfig) -> PipelineConfig:
        """Returns the configuration with the sources that a run has heads for.

        A source that was added is trained on the span that it was added with, until a run reads a newer span that
        holds it too: then it is trained as all others are.

        Args:
            config: as it was read.
        """
        kept = [source for source in config.sources if not self._is_retired(source.name)]
        known = {source.name for source in config.sources}
        added = [
            SourceParameters(name=name, span=_span_of(config, name, entry.span))
            for name, entry in self.entries.items()
            if name not in known and entry.retired is None and entry.added is not None
        ]
        return config.model_copy(update={"sources": (*kept, *added)})

    def _is_retired(self, name: str) -> bool:
        return name in self.entries and self.entries[name].retired is not None


def registry_file(config: PipelineConfig) -> Path:
    """Returns where the registry lies."""
    return config.root / FILE_NAME


def read_registry(config: PipelineConfig) -> Registry:
    """Reads the registry; it is empty where nothing was ever added or retired.

    Raises:
        ConfigurationError: if the file is damaged.
    """
    path = registry_file(config)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format_version"] != _FORMAT_VERSION:
            raise ValueError(f"format_version must be {_FORMAT_VERSION}, is {values['format_version']!r}")
        return Registry({str(name): Entry(**entry) for name, entry in values["sources"].items()})
    except FileNotFoundError:
        return Registry()
    except NotADirectoryError as error:
        raise ConfigurationError(f"output_root: {config.root} lies below a file. Name a directory.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{path}: is damaged: {error}. Restore it from a copy, or remove it and add sources anew: their heads come "
            "from the cache."
        ) from error


def write_registry(config: PipelineConfig, registry: Registry) -> None:
    """Writes the registry, whole or not at all; the caller holds the output root."""
    path = registry_file(config)
    values: dict[str, Any] = {
        "format_version": _FORMAT_VERSION,
        "sources": {name: asdict(entry) for name, entry in registry.entries.items()},
    }
    atomic.write_text(path, json.dumps(values, indent=2) + "\n", durable=True)


def with_registered_sources(config: PipelineConfig) -> PipelineConfig:
    """Returns a configuration with what was added and without what was retired under its output root.

    Raises:
        ConfigurationError: if the registry is damaged.
    """
    registry = read_registry(config)
    return registry.apply(config) if registry.entries else config


def _span_of(config: PipelineConfig, name: str, added_with: int | None) -> int | None:
    """Returns the span of an added source; None is the run's own."""
    run_span = newest_span(config.dataset) if config.data.span is None else config.data.span
    if run_span is None or added_with is None or run_span < added_with:
        return added_with
    holds = source_images(config.dataset, run_span, config.attribution_level).get(name, {}).get("train", 0)
    return None if holds else added_with


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
