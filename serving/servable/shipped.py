"""Models that come with the product: `models/<name>/<version>/saved_model.pb` at the top of the repository.

They are named on the command line where a servable's path may stand. A path that exists wins over a name, and a name
has no separator. What each was trained on stands in its version directory, see `serving.servable.trained_on`.
"""

import os
from pathlib import Path
from typing import Any

from serving.errors import ServableError
from serving.servable.trained_on import read_trained_on
from serving.servable.versions import find_version, list_versions

DEFAULT_MODEL = "faces"

_PACKAGE = "generator_attribution_models"  # the directory `models` as setup.py installs it


def shipped_models(root: Path | None = None) -> dict[str, Path]:
    """Return the base directory of each model that comes with the product, by name, in alphabetical order.

    Args:
        root: Directory that holds them; None is that of this installation: `models` beside the packages in a clone,
            else the installed copy of it.
    """
    root = _root() if root is None else root
    if not root.is_dir():
        return {}
    return {base.name: base for base in sorted(root.iterdir()) if base.is_dir() and list_versions(base)}


def model_argument(text: str) -> Path:
    """Return the path that an argument of a command line stands for, so that "./faces" remains a path.

    Args:
        text: Path, or name of a model that comes with the product.
    """
    path = Path(text)
    return path.absolute() if os.sep in text and len(path.parts) == 1 else path


def resolve_model(named: str | Path, root: Path | None = None) -> Path:
    """Return the path of a servable that is given as a path or as the name of a model that comes with the product.

    Args:
        named: Path of a servable or of the directory of its versions, or a name such as "faces".
        root: As of `shipped_models`.

    Raises:
        ServableError: If it is neither.
    """
    path = model_argument(named) if isinstance(named, str) else named
    if path.exists() or len(path.parts) != 1:
        return path  # if it is missing, whoever opens it says so
    models = shipped_models(root)
    if path.name in models:
        return models[path.name]
    known = ", ".join(models) or "none in this installation"
    raise ServableError(
        f"model '{path}': must be the path of a servable or the name of a model that comes with the product ({known})."
    )


def default_model(root: Path | None = None) -> Path:
    """Return the base directory of the model that answers where none is named.

    Raises:
        ServableError: If it does not come with this installation.
    """
    models = shipped_models(root)
    if DEFAULT_MODEL not in models:
        raise ServableError(
            f"model: none is named, and '{DEFAULT_MODEL}' does not come with this installation. Name a servable by "
            "--model, a server by --grpc or --rest, or train the model by `make faces`."
        )
    return models[DEFAULT_MODEL]


def identity(path: Path, root: Path | None = None) -> dict[str, Any] | None:
    """Return which model that comes with the product a path is, None for any other servable.

    Args:
        path: Base directory of the model, or one version of it.
        root: As of `shipped_models`.

    Returns:
        {"name", "version", "trained_on"}: the last is a clause in words, None if the model does not state it.

    Raises:
        ServableError: If there is no servable, or its statement is damaged.
    """
    version = find_version(path)
    place = version.path.resolve().parent
    for name, base in shipped_models(root).items():
        if base.resolve() == place:
            stated = read_trained_on(version.path)
            return {
                "name": name,
                "version": version.number,
                "trained_on": stated.in_words() if stated is not None else None,
            }
    return None


def introduction(model: dict[str, Any]) -> str:
    """Return the line that introduces a model of `identity`."""
    stated = model["trained_on"] or "it does not state what it was trained on"
    return f"model {model['name']}, version {model['version']}: {stated} (genattr describe {model['name']})"


def _root() -> Path:
    packages = Path(__file__).resolve().parents[2]
    return next(
        (folder for folder in (packages / "models", packages / _PACKAGE) if folder.is_dir()), packages / _PACKAGE
    )
