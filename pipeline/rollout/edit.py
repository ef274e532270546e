"""One edit of models.config for one model: what the file says, what is on disk, what was before, and how it is changed.

TF Serving moves a label only to a version that is loaded. In one edit the version is therefore loaded at one look of
the server at the file, and the label follows at a later look; until then it names what it named, which stays loaded.
With servers to wait for, the version is listed first, and the label is moved once they all answer with it.
Source: TF Serving, model_servers/server_core.cc (ReloadConfig), server.cc (PollFilesystemAndReloadConfig) and
sources/storage_path/file_system_storage_path_source.cc (UpdateConfig).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.rollout.history import History
from pipeline.rollout.models_file import (
    DEFAULT_NAME,
    ModelsFileError,
    find_model,
    folder_of,
    read_models,
    replace_file,
    to_text,
)
from pipeline.rollout.server_status import Servers
from serving.contract import DEFAULT_MODEL_NAME
from serving.servable.versions import list_versions

STABLE = "stable"


@dataclass(frozen=True)
class Place:
    """The files that a command works on.

    Attributes:
        serving: folder that holds the folder of versions, as this command sees it.
        models_config: the file; None is `models.config` in that folder.
        model: name of the model in it.
    """

    serving: Path
    models_config: Path | None = None
    model: str = DEFAULT_MODEL_NAME

    @property
    def file(self) -> Path:
        """The file itself, so that a link to it stays a link."""
        return (self.models_config or self.serving / DEFAULT_NAME).resolve()


@dataclass(frozen=True)
class Target:
    """What the file is to say of the model."""

    labels: dict[str, int]
    versions: set[int]


class Edit:
    """One edit of models.config, under its lock."""

    def __init__(self, place: Place, command: str) -> None:
        self.place, self.command, self.path = place, command, place.file
        self.original = self.path.read_bytes() if self.path.is_file() else b""
        self.config = read_models(self.path)
        self.model = find_model(self.config, self.path, place.model)
        self.folder = place.serving / folder_of(self.model)
        if not self.folder.is_dir():
            raise ModelsFileError(
                f"{self.folder}: is no folder of versions. {self.path} gives model {place.model} the base path "
                f"{self.model.base_path}, as the server sees it; its last part must be a folder in {place.serving}. "
                "Give the folder that holds it as `serving`."
            )
        self.complete = {version.number: version.path for version in list_versions(self.folder)}
        self.labels: dict[str, int] = dict(self.model.version_labels)
        self.history = History.beside(self.path)
        self.edits = 0

    @property
    def listed(self) -> set[int]:
        """The versions that the file lists by number."""
        return set(self.model.model_version_policy.specific.versions)

    @property
    def served(self) -> set[int]:
        """The versions that a server serves by the file as it is."""
        policy = self.model.model_version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "specific":
            return self.listed
        newest_first = sorted(self.complete, reverse=True)
        return set(newest_first if kind == "all" else newest_first[: policy.latest.num_versions or 1])

    def require(self, version: int) -> None:
        """Refuses a version that is not there, or not whole."""
        if version in self.complete:
            return
        there = ", ".join(map(str, sorted(self.complete))) or "none"
        problem = (
            "holds no saved_model.pb, so it is not complete" if (self.folder / str(version)).is_dir() else "is missing"
        )
        raise ModelsFileError(f"{self.folder / str(version)}: {problem}. Complete versions there: {there}.")

    def before(self, label: str, current: int) -> int | None:
        """Returns what a label named before: by the history, else the next lower version that is listed."""
        move = self.history.last_move(self.place.model, label, current)
        if move is not None and (move.before is not None or label != STABLE):
            return move.before
        return max((version for version in self.listed if version < current), default=None)

    def target(self, labels: dict[str, int], previous: int | None) -> Target:
        """Returns the state with these labels; `previous` is what stable named before, to be kept loaded."""
        versions = set(labels.values())
        if previous is not None and previous in self.complete and previous < labels[STABLE]:
            versions.add(previous)
        return Target(labels, versions)

    def write(self, target: Target) -> None:
        """Brings a state into the file, unless it is there already."""
        if self.listed == target.versions and dict(self.model.version_labels) == target.labels:
            return
        self.model.model_version_policy.specific.versions[:] = sorted(target.versions)
        self.model.version_labels.clear()
        self.model.version_labels.update(target.labels)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        comments = [
            f"Written by `genattr {self.command}` at {at}; comments of the seed file are gone.",
            "Requests without a label go to the newest version that is listed.",
        ]
        replace_file(self.path, to_text(self.config, comments).encode(), self.path)
        self.edits += 1

    def bring_into_force(
        self,
        target: Target,
        moved: tuple[str, int | None],
        servers: Servers | None,
        before_move: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes the state; with servers to wait for, lists its versions first and moves labels when they answer.

        Args:
            target: the state.
            moved: the label that moves, and the version that it names then.
            servers: whose word to wait for.
            before_move: called right before labels are moved.
        """
        label, version = moved
        name = self.place.model
        if servers is not None and version is not None:
            self._have_loaded(target, version, servers)
        before_move()
        self.write(target)
        if servers is not None and version is not None:
            servers.wait_for_label(name, label, version)

    def _have_loaded(self, target: Target, version: int, servers: Servers) -> None:
        """Waits until servers answer with a version; lists it for that, and takes this back if one does not load it."""
        name = self.place.model
        earlier = servers.statuses(name, version)
        if version in self.served:
            servers.wait_for_version(name, version)
            return
        try:
            self.write(Target(self.labels, self.served | target.versions))
            servers.wait_for_version(name, version, earlier)
        except BaseException:
            if self.edits:
                replace_file(self.path, self.original, self.path)
            raise
