"""Pushing a version so that a server never sees half of it.

A version directory is written under a name that servers ignore (they look at whole numbers only) and then renamed. A
killed push leaves a directory that the next push removes.
"""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from serving import atomic

LINEAGE_FILE = "assets.extra/lineage.json"


def push_version(
    servable: Path, base: Path, lineage: dict[str, str], beside: Mapping[str, Path | str] | None = None
) -> Path:
    """Copies a servable to `<base>/<version>`.

    Args:
        servable: directory that holds saved_model.pb.
        base: the base directory that servers watch; made if absent.
        lineage: where the servable comes from; written beside it. If the newest version already has this lineage, as
            after a push that was killed once it had finished, that version is returned and nothing is copied.
        beside: further files that are pushed with it: path in the version directory -> file, or text of the file.

    Returns:
        The version directory. Versions are seconds since 1970, and always greater than all that are there.

    Raises:
        ValueError: if the servable holds no saved_model.pb.
    """
    if not (servable / "saved_model.pb").is_file():
        raise ValueError(f"{servable}: holds no saved_model.pb; only a SavedModel can be pushed.")
    base.mkdir(parents=True, exist_ok=True)
    for leftover in base.glob(f"{atomic.SOLE_PREFIX}*"):  # of a killed push, which had another version
        shutil.rmtree(leftover)
    newest = max((int(child.name) for child in base.iterdir() if child.name.isdigit()), default=0)
    if newest and read_lineage(base / str(newest)) == lineage:
        return base / str(newest)
    version = max(int(time.time()), newest + 1)
    with atomic.create_directory(base / str(version), sole_writer=True) as staging:
        shutil.copytree(servable, staging, dirs_exist_ok=True)
        lineage_file = staging / LINEAGE_FILE
        lineage_file.parent.mkdir(exist_ok=True)
        lineage_file.write_text(json.dumps(lineage, indent=2) + "\n")
        for place, file in (beside or {}).items():
            (staging / place).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(file, str):
                (staging / place).write_text(file, encoding="utf-8")
            else:
                shutil.copyfile(file, staging / place)
    return base / str(version)


def read_lineage(version: Path) -> dict[str, str] | None:
    """Returns where a pushed version comes from, None where it does not say."""
    path = version / LINEAGE_FILE
    return json.loads(path.read_text()) if path.is_file() else None
