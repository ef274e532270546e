"""State of one served model and of its versions. The registry that owns it guards it by a lock."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from serving.errors import LabelNotAvailableError, ModelsNotAvailableError, ServableError
from serving.servable.model import Servable
from serving.servable.versions import Version, find_version, list_versions
from serving.server.configuration.files import ModelConfig

_LOGGER = logging.getLogger(__name__)

# Ended versions that each model remembers, so that their state can be requested.
_ENDED_REMEMBERED = 16


class Loaded(Protocol):
    """A version in memory."""

    servable: Servable

    def close(self) -> None:
        """Takes no more requests."""


LoadedT = TypeVar("LoadedT", bound=Loaded)


@dataclass
class ServedVersion(Generic[LoadedT]):
    """One version: its place on disk, its state, and what is in memory.

    Attributes:
        version: Number and directory.
        state: START, LOADING, AVAILABLE, UNLOADING or END, as TF Serving names them.
        loaded: The version in memory; None while there is none.
        leases: Number of requests that hold the version in memory.
        error: Reason why it could not be loaded, or "".
        files: Fingerprint of its files when they were last loaded.
    """

    version: Version
    state: str = "START"
    loaded: LoadedT | None = None
    leases: int = 0
    error: str = ""
    files: frozenset[tuple[str, int, int]] = frozenset()

    @property
    def is_available(self) -> bool:
        """Whether it answers requests."""
        return self.state == "AVAILABLE"


@dataclass
class ServedModel(Generic[LoadedT]):
    """One model: its configuration and the versions that are known.

    Attributes:
        config: Configuration of the model.
        entries: Versions by number, ended ones included.
    """

    config: ModelConfig
    entries: dict[int, ServedVersion[LoadedT]] = field(default_factory=dict)
    _complaint: str = ""  # last warning about the directory, so that each is logged once

    def available(self) -> list[int]:
        """Return the versions that answer requests, oldest first."""
        return sorted(number for number, entry in self.entries.items() if entry.is_available)

    def aspired(self) -> dict[int, Version]:
        """Return the versions on disk that the policy selects; none if the directory cannot be read."""
        base = self.config.base_path
        try:
            # A version's own directory can be served as well.
            on_disk = list_versions(base) or [find_version(base)]
        except (OSError, ServableError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _LOGGER.warning("model %s: the served versions are kept, because %s", self.config.name, error)
            return {}
        self._complaint = ""
        selected = self.config.policy.choose([version.number for version in on_disk])
        return {version.number: version for version in on_disk if version.number in selected}

    def kept(self, aspired: dict[int, Version]) -> set[int]:
        """Return the versions to keep: the aspired ones, or all available ones until every aspired one is available."""
        available = set(self.available())
        return set(aspired) if aspired and aspired.keys() <= available else available

    def require_answers(self, aspired: dict[int, Version], kept: set[int]) -> None:
        """Reject a change after which no aspired version, or no version with one of the labels, would be available.

        Raises:
            ModelsNotAvailableError: If none of the aspired versions is kept.
            LabelNotAvailableError: If a labelled version is not kept.
        """
        name = self.config.name
        if not kept or (aspired and not aspired.keys() & kept):
            reasons = [f"version {number}: {entry.error}" for number, entry in self.entries.items() if entry.error]
            reason = "; ".join(reasons) or f"no version in {self.config.base_path}"
            raise ModelsNotAvailableError(
                f"1 model(s) did not become available: {{{{name: {name} due to error: {reason}}}}}"
            )
        for number in self.config.labels.values():
            if number not in kept:
                raise LabelNotAvailableError(
                    f"Request to assign label to version {number} of model {name}, which is not currently available "
                    "for inference"
                )

    def forget_ended(self) -> None:
        """Remove all but the newest of the ended versions."""
        ended = sorted(number for number, entry in self.entries.items() if entry.state == "END")
        for number in ended[:-_ENDED_REMEMBERED]:
            del self.entries[number]


def fingerprint(directory: Path) -> frozenset[tuple[str, int, int]]:
    """Return names, sizes and times of the files in a directory, which differ when the files do."""
    found = []
    for file in directory.rglob("*"):
        try:
            about = file.stat()
        except OSError:  # gone since it was listed
            continue
        found.append((str(file.relative_to(directory)), about.st_size, about.st_mtime_ns))
    return frozenset(found)
