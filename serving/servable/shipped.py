"""The models that come with the product: `models/<name>/<version>/saved_model.pb` at the top of the repository.

They are named on the command line where a servable's path may stand. A path that exists wins over a name. Beside its
versions each has `about.json`, which says in a line each what it was trained on and under which licence it stands.
"""

import json
from pathlib import Path

from serving.errors import ServableError
from serving.servable.versions import find_version, list_versions

DEFAULT_MODEL = "faces"

_ABOUT = "about.json"
_PACKAGE = "generator_attribution_models"  # the folder `models` as setup.py installs it


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


def resolve_model(named: str | Path, root: Path | None = None) -> Path:
    """Return the path of a servable that is given as a path or as the name of a model that comes with the product.

    Args:
        named: Path of a servable or of the directory of its versions, or a name such as "faces".
        root: As of `shipped_models`.

    Raises:
        ServableError: if it is neither.
    """
    path = Path(named)
    if path.exists():
        return path
    models = shipped_models(root)
    if str(named) in models:
        return models[str(named)]
    if len(path.parts) != 1:
        return path  # a path: whoever opens it says what is missing
    known = ", ".join(models) or "none in this installation"
    raise ServableError(
        f"model '{named}': must be the path of a servable or the name of a model that comes with the product ({known})."
    )


def default_model(root: Path | None = None) -> Path:
    """Return the base directory of the model that answers where none is named.

    Raises:
        ServableError: if it does not come with this installation.
    """
    models = shipped_models(root)
    if DEFAULT_MODEL not in models:
        raise ServableError(
            f"model: none is named, and '{DEFAULT_MODEL}' does not come with this installation. Name a servable by "
            "--model, a server by --grpc or --rest, or train the model by `make faces`."
        )
    return models[DEFAULT_MODEL]


def introduction(base: Path) -> str | None:
    """Return the line that introduces a model that comes with the product; None for any other directory.

    Args:
        base: Base directory of the model, or one version of it.

    Returns:
        Name, version, training data and licence.
    """
    version = find_version(base)
    about = next((folder / _ABOUT for folder in (base, version.path.parent) if (folder / _ABOUT).is_file()), None)
    if about is None:
        return None
    said = json.loads(about.read_text(encoding="utf-8"))
    return (
        f"model {about.parent.name}, version {version.number}: trained on {said['trained_on']}; "
        f"licence of the weights: {said['licence']}"
    )


def _root() -> Path:
    packages = Path(__file__).resolve().parents[2]
    return next(
        (folder for folder in (packages / "models", packages / _PACKAGE) if folder.is_dir()), packages / _PACKAGE
    )
