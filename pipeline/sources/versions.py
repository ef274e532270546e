"""The pushed versions of a pipeline: the newest, and since when each head is in them."""

import json
from pathlib import Path

from pipeline.config.schema import PipelineConfig
from serving import contract
from serving.servable.versions import Version, list_versions


def newest_version(config: PipelineConfig) -> Version | None:
    """Returns the newest pushed version, None if nothing was pushed."""
    base = config.serving_base
    versions = list_versions(base) if base.is_dir() else []
    return versions[-1] if versions else None


def heads_of(version: Version) -> tuple[str, ...]:
    """Returns the sources that a version has heads for; none where it does not say."""
    file = version.path / contract.ASSET_OPERATING_POINTS
    try:
        return tuple(json.loads(file.read_text(encoding="utf-8"))["sources"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def served_since(base: Path) -> dict[str, int]:
    """Returns source -> the version since which each version has a head for it, up to the newest.

    Args:
        base: folder of the versions; those that were removed meanwhile are not counted.
    """
    since: dict[str, int] = {}
    for version in list_versions(base) if base.is_dir() else []:
        since = {source: since.get(source, version.number) for source in heads_of(version)}
    return since
