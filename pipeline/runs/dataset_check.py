"""Does the dataset hold what a configuration asks of it? Answered from manifests, before anything is run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from components.dataset.manifest import Manifest, newest_span
from components.examples.names import AttributionLevel, group_of
from pipeline.config.paths import note_on, pattern_in, place_of
from pipeline.config.schema import ConfigurationError, PipelineConfig, sources_by_span
from serving.contract import FAKE_LABEL


def require_dataset(config: PipelineConfig) -> None:
    """Checks that the dataset is there, and that it holds every configured source.

    Raises:
        ConfigurationError: naming what is missing and what is there.
    """
    _require_literal_places(config)
    if not config.dataset.is_dir():
        raise ConfigurationError(
            f"data.dataset: {config.data.dataset} is not a folder. {note_on(config.data.dataset)}Make it with: "
            f"genattr prepare IMAGES {config.data.dataset}, with size {config.input.size} (where the configuration's "
            "first lines give a command, with that one's options)."
        )
    newest = newest_span(config.dataset)
    for span, sources in sources_by_span(config).items():
        number = newest if span is None else span
        if number is None or not (config.dataset / f"span-{number}" / "manifest.json").is_file():
            there = sorted(child.name for child in config.dataset.glob("span-*"))
            raise ConfigurationError(
                f"data.span: {place_of(config.data.dataset)} has no span{'' if number is None else f' {number}'}; "
                f"there are: {', '.join(there) or 'none'}. Make one with genattr prepare."
            )
        manifest = Manifest.load(config.dataset / f"span-{number}" / "manifest.json")
        prepared_size = int(manifest.parameters["size"])
        if prepared_size < config.input.size:
            raise ConfigurationError(
                f"input.size: must be at most {prepared_size}, the size that span {number} was prepared with, got "
                f"{config.input.size}. Lower it, or prepare a span with size {config.input.size}."
            )
        labels = {source: manifest.labels[source] for source, count in manifest.counts["train"].items() if count}
        _require_sources(sources, labels, number, config.attribution_level)


def _require_literal_places(config: PipelineConfig) -> None:
    """Checks the whole paths: those that are relative lie below the current directory, whatever its name is."""
    paths = {"data.dataset": config.data.dataset, "output_root": config.output_root, "warm_start": config.warm_start}
    for field, path in paths.items():
        absolute = "" if path is None else str(Path(path).expanduser().absolute())
        if (character := pattern_in(absolute)) is not None:
            raise ConfigurationError(
                f"{field}: must not lie below a directory whose name holds '{character}', which acts as a pattern "
                f"where files are listed, got {absolute}. Write an absolute path without such characters, or run the "
                "command elsewhere."
            )


def _require_sources(sources: Sequence[str], labels: Mapping[str, int], span: int, level: AttributionLevel) -> None:
    """Checks that a head can be trained for every name: it is a generator's, and has training images."""
    labels_of: dict[str, set[int]] = {}
    for source, label in labels.items():
        labels_of.setdefault(group_of(source, level), set()).add(label)
    generators = sorted(name for name, found in labels_of.items() if found == {FAKE_LABEL})
    for name in sources:
        if name not in labels_of:
            kind = "Sources" if level == "instance" else "Architectures (attribution_level is set to them)"
            raise ConfigurationError(
                f"sources: '{name}' has no training image in span {span}. {kind} there: {', '.join(sorted(labels_of))}."
            )
        if name not in generators:
            what = "camera-made" if FAKE_LABEL not in labels_of[name] else "the name of real and of fake sources"
            raise ConfigurationError(
                f"sources: '{name}' is {what} in span {span}; heads are for generators. "
                f"Generators there: {', '.join(generators)}."
            )


def with_resolved_span(config: PipelineConfig) -> PipelineConfig:
    """Returns the configuration with the newest span written out where none is set.

    A run that names the span it reads is the same run, to the cache, as one that found it to be the newest: pinning
    `data.span` later, to add a source with a span of its own, trains nothing again.

    Raises:
        ConfigurationError: if the dataset has no span.
    """
    if config.data.span is not None:
        return config
    newest = newest_span(config.dataset)
    if newest is None:
        raise ConfigurationError(
            f"data.span: {place_of(config.data.dataset)} has no span. Make one with genattr prepare."
        )
    return config.model_copy(update={"data": config.data.model_copy(update={"span": newest})})
