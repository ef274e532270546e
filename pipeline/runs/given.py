"""Modules of a given servable, laid down below the output root as a trainer leaves them, for trainings to take up."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.config.nodes import PRIMARY_TRAINER, head_trainer
from pipeline.config.schema import ConfigurationError, PipelineConfig
from serving import atomic, contract
from serving.errors import ServableError
from serving.servable.description import describe
from serving.servable.shipped import identity, model_argument, resolve_model
from serving.servable.trained_on import read_trained_on
from serving.servable.versions import Version, find_version

_DIRECTORY = "given"  # below the output root
_DIGESTED = ("variables/variables.data-00000-of-00001", "assets.extra/modules.json", contract.ASSET_OPERATING_POINTS)


def given_models(config: PipelineConfig, key: str, named: str, only_primary: bool = False) -> dict[str, Path]:
    """Lay down the modules of a servable.

    Args:
        config: Validated configuration.
        key: Key of the configuration that names the servable, for messages.
        named: Path of the servable, or name of a model that comes with the product.
        only_primary: Whether its heads are left out.

    Returns:
        Node identifier -> directory of a Model artifact.

    Raises:
        ConfigurationError: If there is no such servable, or its modules read other inputs or cannot be built upon.
    """
    try:
        version = find_version(resolve_model(model_argument(named)))
        _require_same_inputs(config, key, named, version)
        directory = _laid_down(config, version)
    except (ServableError, ValueError) as error:
        raise ConfigurationError(f"{key}: {error}") from error
    heads = () if only_primary else json.loads((directory / "heads.json").read_text())
    of_heads = {head_trainer(name): directory / "heads" / name for name in heads}
    return {PRIMARY_TRAINER: directory / "primary", **of_heads}


def is_servable(named: str) -> bool:
    """Return whether a name or path leads to a servable, and not to an output root."""
    try:
        find_version(resolve_model(model_argument(named)))
    except ServableError:
        return False
    return True


def _require_same_inputs(config: PipelineConfig, key: str, named: str, version: Version) -> None:
    said = json.loads((version.path / contract.ASSET_OPERATING_POINTS).read_text(encoding="utf-8"))
    theirs = {"level": describe(version.path).level, **said.get("input", {})}
    ours = {
        "level": config.attribution_level,
        "representation": config.input.representation,
        "size": config.input.size,
        "colour": config.input.colour,
    }
    if differing := [name for name, value in ours.items() if theirs.get(name) != value]:
        name = differing[0]
        where = "attribution_level" if name == "level" else f"input.{name}"
        raise ConfigurationError(
            f"{where}: must be {theirs.get(name)}, as in {named} that {key} names, got {ours[name]}. Set it so."
        )
    if config.input.representation == "dct":
        raise ConfigurationError(
            f"{key}: {named} reads spectra, whose statistics are those of its own training images. Only modules for "
            "pixel and residual input can be built upon. Train a primary module, or name another servable."
        )


def _laid_down(config: PipelineConfig, version: Version) -> Path:
    """Return the directory of the rebuilt modules, named after their content; make it unless it is there."""
    digest = hashlib.sha256()
    for name in _DIGESTED:
        path = version.path / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    directory = config.root / _DIRECTORY / digest.hexdigest()[:16]
    if directory.is_dir():
        return directory
    from components.servable.modules_file import rebuild_modules
    from components.training.artifacts import write_rebuilt

    primary, heads = rebuild_modules(version)
    origin = _origin(version)
    with atomic.create_directory(directory) as staging:
        write_rebuilt(staging / "primary", primary, origin)
        for name, head in heads.items():
            write_rebuilt(staging / "heads" / name, head, origin)
        (staging / "heads.json").write_text(json.dumps(list(heads)) + "\n")
    return directory


def _origin(version: Version) -> dict[str, Any]:
    shipped = identity(version.path)
    stated = read_trained_on(version.path)
    return {
        "model": shipped["name"] if shipped else str(version.path.resolve()),
        "version": version.number,
        "trained_on": asdict(stated) if stated else None,
    }
