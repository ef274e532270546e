"""Removing old versions, so that a shared volume does not fill up: never one that may be asked for.

A version is renamed to `.removing-<version>` first, which servers ignore (they look at whole numbers only), and deleted
under that name: nobody sees half of it, and what a kill leaves behind the next call takes up. On NFS a file that some
server still has open stays under a `.nfs` name for as long; the call fails then, and the next one goes on.
"""

import re
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from pipeline.rollout.models_file import DEFAULT_NAME, ModelsFileError, folder_of, locked, read_models
from serving.servable.versions import Version, list_versions

_REMOVING = ".removing-"
_LEFTOVER = re.compile(r"\.removing-[0-9]+")

# Versions from here on are read as the seconds since 1970 at which they were pushed (2001 and later).
_FIRST_TIME = 1_000_000_000


@dataclass(frozen=True)
class RetentionParameters:
    """What is kept.

    Attributes:
        keep: how many of the newest versions, at least 1.
        min_age_hours: younger versions are kept in any case; 0 is no minimum.
        models_config: the file whose versions are kept. None takes `models.config` beside the folder of versions, if
            there is one.
    """

    keep: int
    min_age_hours: float = 24.0
    models_config: Path | None = None

    def __post_init__(self) -> None:
        """Refuses what would keep nothing."""
        if self.keep < 1:
            raise ValueError(f"keep: must be at least 1, got {self.keep}. The newest version is never removed.")
        if not self.min_age_hours >= 0:
            raise ValueError(f"min_age_hours: must be at least 0, got {self.min_age_hours:g}.")


@dataclass(frozen=True)
class Retention:
    """What was removed, or would be.

    Attributes:
        removed: versions, oldest first.
        kept: version -> why it stays: "newest", "models.config" or "young".
        leftovers: folders of earlier calls that were deleted.
        dry_run: whether nothing was touched.
    """

    removed: tuple[int, ...]
    kept: dict[int, str]
    leftovers: tuple[str, ...]
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Returns what people are told."""
        verb = "would be removed" if self.dry_run else "removed"
        lines = [f"{verb}: {', '.join(map(str, self.removed)) or 'nothing'}"]
        lines += [f"kept: {version} ({reason})" for version, reason in self.kept.items()]
        if self.leftovers:
            lines.append(f"{verb}, left over from an earlier call: {', '.join(self.leftovers)}")
        return lines


def retain(
    folder: Path, parameters: RetentionParameters, dry_run: bool = False, now: Callable[[], float] = time.time
) -> Retention:
    """Removes the oldest versions.

    What is no complete version (pushes in progress, other files) is left alone, and so is everything that
    models.config serves: versions that it lists, that a label names, or that its policy (`latest`, `all`) takes.

    Args:
        folder: folder of versions, `<serving>/generator_attribution`.
        parameters: what is kept.
        dry_run: says what would be done, and does nothing.
        now: seconds since 1970.

    Returns:
        What was done.

    Raises:
        ModelsFileError: if the folder, or the named file, is missing or cannot be read, or the file serves no such
            folder; nothing is removed then.
        OSError: if a version cannot be removed; the next call goes on with it.
    """
    if not folder.is_dir():
        raise ModelsFileError(f"{folder}: is no folder of versions. Give the one that holds <version>/saved_model.pb.")
    file = _models_file(folder, parameters)
    # Under the same lock as `genattr promote`, so that no version is named while it goes.
    with locked(file) if file is not None else nullcontext():
        versions = list_versions(folder)
        named = set() if file is None else _named(file, folder, [version.number for version in versions])
        leftovers = sorted(
            path
            for path in folder.iterdir()
            if _LEFTOVER.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        )
        kept, removed = _divide(versions, named, parameters, now())
        if not dry_run:
            for path in leftovers:
                shutil.rmtree(path)
            for version in removed:
                _remove(version)
    return Retention(
        removed=tuple(version.number for version in removed),
        kept=kept,
        leftovers=tuple(path.name for path in leftovers),
        dry_run=dry_run,
    )


def _models_file(folder: Path, parameters: RetentionParameters) -> Path | None:
    """Returns the file to heed; None if none was named and none is there."""
    if parameters.models_config is not None:
        if not parameters.models_config.is_file():
            raise ModelsFileError(
                f"{parameters.models_config}: is no file, so that nobody can say what is served. Nothing was removed."
            )
        return parameters.models_config.resolve()
    beside = folder.resolve().parent / DEFAULT_NAME
    # A link that leads nowhere is no absent file: somebody meant something by it.
    return beside.resolve() if beside.exists() or beside.is_symlink() else None


def _named(file: Path, folder: Path, numbers: list[int]) -> set[int]:
    """Returns the versions that a models.config serves from this folder."""
    models = [
        model for model in read_models(file).model_config_list.config if folder_of(model) == folder.resolve().name
    ]
    if not models:
        raise ModelsFileError(
            f"{file}: no model has a base path that ends in {folder.resolve().name}, so that nobody can say what is "
            "served of it. Name the file that the servers of this folder read. Nothing was removed."
        )
    return set().union(*(_served(model, numbers) for model in models))


def _served(model: model_server_config_pb2.ModelConfig, numbers: list[int]) -> set[int]:
    policy = model.model_version_policy
    named = set(model.version_labels.values())
    match policy.WhichOneof("policy_choice"):
        case "specific":
            return named | set(policy.specific.versions)
        case "all":
            return named | set(numbers)
        case _:  # latest, which is also the default; 0 means 1 in TF Serving
            return named | set(numbers[-(policy.latest.num_versions or 1) :])


def _divide(
    versions: list[Version], named: set[int], parameters: RetentionParameters, now: float
) -> tuple[dict[int, str], list[Version]]:
    """Divides versions, oldest first, into those that stay, with the reason, and those that go."""
    newest = {version.number for version in versions[-parameters.keep :]}
    kept, removed = {}, []
    for version in versions:
        if version.number in newest:
            kept[version.number] = "newest"
        elif version.number in named:
            kept[version.number] = DEFAULT_NAME
        elif now - _pushed(version, now) < parameters.min_age_hours * 3600:
            kept[version.number] = "young"
        else:
            removed.append(version)
    return kept, removed


def _pushed(version: Version, now: float) -> float:
    """Returns when a version was pushed, or a later time.

    A copy keeps the time of the folder it was copied from, which may be long before the push; our numbers are the time
    of the push itself. A number that lies in the future is none.
    """
    modified = version.path.stat().st_mtime
    return max(modified, version.number) if _FIRST_TIME <= version.number <= now else modified


def _remove(version: Version) -> None:
    aside = version.path.with_name(f"{_REMOVING}{version.number}")
    version.path.rename(aside)
    if aside.is_symlink():
        aside.unlink()  # what it points to is not ours
    else:
        shutil.rmtree(aside)
