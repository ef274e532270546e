"""How many images of each source a span holds, and which span a new head is trained on."""

from pathlib import Path

from components.dataset.manifest import FILE_NAME, Manifest
from components.examples.names import AttributionLevel, group_of
from pipeline.config.schema import ConfigurationError, PipelineConfig

SPLITS = ("train", "eval", "test")

# With fewer images nothing can be learnt, no threshold chosen, and no gate judged.
FEWEST = {"train": 10, "eval": 3, "test": 3}


def spans_of(dataset: Path) -> list[int]:
    """Returns the numbers of the spans of a dataset that have a manifest, in increasing order."""
    folders = [path.parent.name.removeprefix("span-") for path in dataset.glob(f"span-*/{FILE_NAME}")]
    return sorted(int(number) for number in folders if number.isdecimal())


def source_images(dataset: Path, span: int, level: AttributionLevel) -> dict[str, dict[str, int]]:
    """Counts the images of a span.

    Args:
        dataset: folder of the spans.
        span: number of the span.
        level: what is counted: sources, or architectures.

    Returns:
        Name -> split -> images; empty if the span has no manifest.
    """
    manifest = dataset / f"span-{span}" / FILE_NAME
    if not manifest.is_file():
        return {}
    counted: dict[str, dict[str, int]] = {}
    for split, sources in Manifest.load(manifest).counts.items():
        for source, images in sources.items():
            of_group = counted.setdefault(group_of(source, level), {})
            of_group[split] = of_group.get(split, 0) + images
    return counted


def span_for(config: PipelineConfig, name: str, asked: int | None) -> int:
    """Returns the span that a new head is trained on.

    Args:
        config: of the pipeline.
        name: the source.
        asked: number of the span; None takes the newest that holds the source.

    Raises:
        ConfigurationError: if there is no such span, the source is not in it, or has too few images there.
    """
    spans = spans_of(config.dataset)
    if asked is not None and asked not in spans:
        there = ", ".join(map(str, spans)) or "none"
        raise ConfigurationError(
            f"span: {config.data.dataset} has no span {asked}; there are: {there}. Prepare it, or choose another one."
        )
    for span in [asked] if asked is not None else reversed(spans):
        counts = source_images(config.dataset, span, config.attribution_level)
        if counts.get(name, {}).get("train"):
            _require_enough(name, span, counts[name])
            return span
    where = f"span {asked}" if asked is not None else f"any span of {config.data.dataset}"
    names = {other for span in ([asked] if asked is not None else spans) for other in _trained(config, span)}
    raise ConfigurationError(
        f"source '{name}' has no training image in {where}. Sources there: {', '.join(sorted(names)) or 'none'}. "
        "Prepare a span that holds it, or name an image tree by `images`."
    )


def _trained(config: PipelineConfig, span: int) -> set[str]:
    counts = source_images(config.dataset, span, config.attribution_level)
    return {name for name, of_source in counts.items() if of_source.get("train")}


def _require_enough(name: str, span: int, counts: dict[str, int]) -> None:
    few = [f"{split} {counts.get(split, 0)}" for split in SPLITS if counts.get(split, 0) < FEWEST[split]]
    if few:
        needed = ", ".join(f"{split} {fewest}" for split, fewest in FEWEST.items())
        raise ConfigurationError(
            f"source '{name}' has too few images in span {span}: {', '.join(few)}; at least needed: {needed}. "
            "Prepare a span with more of them."
        )
