"""Which version clients get: labels in models.config, moved forward and back while servers go on answering.

A request that asks for a label gets the version that the label names. **A request without label or version goes to the
newest version that is listed**, in TF Serving and in the embedded server alike: a canary therefore takes those requests
as soon as it is loaded. Clients that want what is proven ask for the label `stable`.

After each command the file lists (`model_version_policy { specific }`) what labels name and, so that a rollback finds
it loaded, the version that `stable` named before, unless that is newer: it would take the requests without a label.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.rollout.edit import STABLE, Edit, Place, Target
from pipeline.rollout.models_file import DEFAULT_NAME, ModelsFileError, locked
from pipeline.rollout.server_status import Servers

NEWEST = "newest"

# A label is a part of REST paths, and stands where a version may stand on the command line.
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Rollout:
    """What a command did.

    Attributes:
        model: name of the model.
        label: the label that was moved.
        before: the version that it named; None if it was new.
        after: the version that it names; None if it was removed.
        labels: all labels.
        versions: what is served, in increasing order.
        no_longer_served: what the file listed before and does not any more.
        edits: how often the file was written; 0 if everything was so already.
        notes: what whoever sends requests ought to know.
    """

    model: str
    label: str
    before: int | None
    after: int | None
    labels: Mapping[str, int]
    versions: tuple[int, ...]
    no_longer_served: tuple[int, ...]
    edits: int
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Returns what people are told."""
        before, after = (
            f"version {version}" if version is not None else "no version" for version in (self.before, self.after)
        )
        named = {
            version: sorted(label for label, of in self.labels.items() if of == version) for version in self.versions
        }
        served = ", ".join(
            f"{version} ({' '.join(names) or 'loaded for a rollback'})" for version, names in named.items()
        )
        moved = f"label {self.label}: {before} -> {after}" if self.edits else "nothing to change"
        lines = [moved, f"served: {served}"]
        if self.no_longer_served:
            lines.append(f"no longer served: {', '.join(map(str, self.no_longer_served))}")
        return lines + [f"note: {note}" for note in self.notes]


def promote(
    place: Place, version: str, label: str = STABLE, servers: Servers | None = None, patience: float = 10.0
) -> Rollout:
    """Makes a label name a version.

    Args:
        place: the files.
        version: its number; "newest" for the newest complete one; or a label, for the version that it names.
        label: the label to move; any other than `stable` needs that `stable` names a version already.
        servers: whose word to wait for before the label is moved, and after; None waits for nothing.
        patience: seconds to wait for another edit of the file.

    Returns:
        What was done. The same command again changes nothing.

    Raises:
        ValueError: if the label or the version is none.
        ModelsFileError: if the files do not allow it, or a server does not load the version; the file is as before
            then.
        OSError: if the file cannot be written.
    """
    if not _LABEL.fullmatch(label) or label == NEWEST:
        raise ValueError(
            f"label: must start with a letter, hold only letters, digits, '_', '.' and '-', and not be {NEWEST}, got "
            f"{label!r}."
        )
    _require_folder(place)
    with locked(place.file, patience):
        edit = Edit(place, "promote")
        number = _number(version, edit)
        edit.require(number)
        if label != STABLE and STABLE not in edit.labels:
            raise ModelsFileError(
                f"{edit.path}: label {STABLE} names no version yet, so that label {label} would take every request. "
                f"Name the version that clients are to get first: genattr promote {place.serving} VERSION."
            )
        before = edit.labels.get(label)
        stable = number if label == STABLE else edit.labels[STABLE]
        previous = before if label == STABLE and before not in (None, number) else edit.before(STABLE, stable)
        target = edit.target(edit.labels | {label: number}, previous)
        served = edit.served

        def note() -> None:
            # Before the label moves: should this be the last thing that the command does, the note is passed over.
            if before != number:
                edit.history.add(place.model, label, before, number)
                edit.history.write(edit.path)

        edit.bring_into_force(target, (label, number), servers, note)
        return _rollout(edit, label, before, target, served, servers)


def roll_back(place: Place, label: str = STABLE, servers: Servers | None = None, patience: float = 10.0) -> Rollout:
    """Makes a label name what it named before its last move; once more goes one move further back, and has it loaded.

    Without a history, the label goes to the next lower version that is listed. A label that its last move made is
    removed, unless it is `stable`.

    Args:
        place: the files.
        label: the label to move.
        servers: as for `promote`.
        patience: seconds to wait for another edit of the file.

    Raises:
        ModelsFileError: if there is nothing to go back to, or the version is gone; and as `promote`.
        OSError: if the file cannot be written.
    """
    _require_folder(place)
    with locked(place.file, patience):
        edit = Edit(place, "rollback")
        current = edit.labels.get(label)
        if current is None:
            there = ", ".join(sorted(edit.labels)) or "none"
            raise ModelsFileError(
                f"{edit.path}: label {label} names no version of model {place.model}. Labels there: {there}."
            )
        known = edit.history.last_move(place.model, label, current) is not None
        number = edit.before(label, current)
        if number is None and (label == STABLE or not known or STABLE not in edit.labels):
            raise ModelsFileError(
                f"{edit.path}: nothing is known that label {label} named before version {current}, and no lower "
                f"version is listed. Promote a version to it by its number."
            )
        labels = {name: of for name, of in edit.labels.items() if name != label}
        if number is not None:
            edit.require(number)
            labels[label] = number
        if known:
            edit.history.undo(place.model, label, current)
        previous = edit.before(STABLE, labels[STABLE]) if STABLE in labels else None
        # A rollback loads nothing but what it goes to, and does not keep what is left behind on purpose.
        keeps = previous in edit.served and not (label == STABLE and previous == current)
        target = edit.target(labels, previous if keeps else None)
        served = edit.served
        edit.bring_into_force(target, (label, number), servers)
        # Written last: should the file be all that it gets to, the move that is left over is passed over.
        if known:
            edit.history.write(edit.path)
        return _rollout(edit, label, current, target, served, servers)


def _require_folder(place: Place) -> None:
    if not place.serving.is_dir():
        raise ModelsFileError(f"{place.serving}: is no folder. Give the one that holds {DEFAULT_NAME} as `serving`.")
    if place.models_config is None and (place.serving.parent / DEFAULT_NAME).is_file() and not place.file.is_file():
        raise ModelsFileError(
            f"{place.serving}: holds no {DEFAULT_NAME}, but {place.serving.parent} does. Give that as `serving`."
        )
    if not place.file.parent.is_dir():
        raise ModelsFileError(f"{place.file}: its folder is missing. Name the file that the server reads.")


def _number(version: str, edit: Edit) -> int:
    """Reads what stands for a version on the command line."""
    if version.isascii() and version.isdecimal():
        return int(version)
    if version == NEWEST:
        if not edit.complete:
            raise ModelsFileError(f"{edit.folder}: holds no complete version. Push one with `genattr run CONFIG`.")
        return max(edit.complete)
    if version in edit.labels:
        return edit.labels[version]
    labels = ", ".join(sorted(edit.labels)) or "none"
    raise ValueError(
        f"VERSION: must be a number, {NEWEST}, or a label, got {version!r}. Labels in {edit.path}: {labels}."
    )


def _rollout(
    edit: Edit, label: str, before: int | None, target: Target, served: set[int], servers: Servers | None
) -> Rollout:
    return Rollout(
        model=edit.place.model,
        label=label,
        before=before,
        after=target.labels.get(label),
        labels=dict(sorted(target.labels.items())),
        versions=tuple(sorted(target.versions)),
        no_longer_served=tuple(sorted(served - target.versions)),
        edits=edit.edits,
        notes=tuple(_notes(edit, label, target, served, servers)),
    )


def _notes(edit: Edit, label: str, target: Target, served: set[int], servers: Servers | None) -> list[str]:
    notes = []
    newest, stable = max(target.versions), target.labels.get(STABLE)
    if stable is not None and newest != stable:
        names = ", ".join(sorted(name for name, of in target.labels.items() if of == newest))
        notes.append(
            f"requests without a label go to version {newest} ({names}), the newest that is listed; clients that want "
            f"version {stable} must ask for label {STABLE}. To end that, roll back label "
            f"{names.split(', ')[0]}"
        )
    if label not in target.labels:
        notes.append(f"label {label} is gone: requests that ask for it are refused")
    if servers is None and edit.edits:
        notes.append(_in_one_step(target.labels.get(label), target.versions - served))
    return notes


def _in_one_step(named: int | None, loading: set[int]) -> str:
    """Says when an edit that nobody waited for comes into force."""
    if named in loading:
        return (
            f"version {named} has to be loaded: TF Serving moves the label at its first look at the file after that; "
            "until then it names what it named. Name the servers by `addresses` to wait for it"
        )
    return "nothing has to be loaded for it: it comes into force at the server's next look at the file"
