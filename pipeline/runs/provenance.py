"""Versions and digests that a report states: of libraries, code and data."""

import importlib.metadata
import json
import platform

from components.digest import source_digest
from pipeline.config.schema import PipelineConfig
from pipeline.metadata.lineage import OutputArtifact

_LIBRARIES = ("tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam", "numpy")


def library_versions() -> dict[str, str]:
    """Return the version of this package, of Python and of the libraries that decide figures, by name."""
    versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
    return {
        "generator-attribution": importlib.metadata.version("generator-attribution"),
        "python": platform.python_version(),
        **versions,
    }


def digests(config: PipelineConfig, examples: OutputArtifact | None) -> dict[str, str]:
    """Return digests of the code and of the data of a run, by what they are of.

    Args:
        config: Configuration of the run.
        examples: Examples that the run read; None if it read none.
    """
    found = {
        "training code": source_digest("components.trainer.executor"),
        "preprocessing code": source_digest("components.features.preprocessing"),
    }
    if examples is not None:
        found["examples"] = str(examples.properties.get("input_fingerprint", ""))
        path = config.dataset / f"span-{examples.properties.get('span', 0)}" / "manifest.json"
        if path.is_file():
            found["dataset"] = str(json.loads(path.read_text()).get("digest", ""))
    return found
