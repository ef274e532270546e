"""Which versions of which models are loaded, and the change from one to the next without a moment between them.

A version is loaded and warmed up before the one that it replaces goes, and that one goes when its last request has its
answer. What fails to load is reported and tried again when its files have changed; what was served goes on. Each of
these rules is TF Serving's (its availability-preserving policy); one is gentler: a new set of models is taken as a
whole or not at all.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic

from serving.errors import (
    InvalidArgumentError,
    LabelNotAvailableError,
    ModelNotFoundError,
    ModelsNotAvailableError,
    ServableError,
    UnavailableError,
)
from serving.servable.versions import Version
from serving.server.configuration.files import ModelConfig
from serving.server.models.requests import ModelRequest, VersionStatus
from serving.server.models.served_model import LoadedT, ServedModel, ServedVersion, fingerprint

_LOGGER = logging.getLogger(__name__)


class Registry(Generic[LoadedT]):
    """Holds the loaded versions. All methods may be called from any thread.

    Args:
        load: brings a version into memory, ready to answer; raises ServableError if it cannot.
        observe: called with a model's name and its available versions whenever these have changed.
    """

    def __init__(
        self, load: Callable[[str, Version], LoadedT], observe: Callable[[str, Sequence[int]], None] = lambda *_: None
    ) -> None:
        self._load = load
        self._observe = observe
        self._models: dict[str, ServedModel[LoadedT]] = {}
        self._returned = threading.Condition()  # guards everything above; notified when the last lease of one is over
        self._leaving: list[threading.Thread] = []
        self._closed = False
        self._changing = threading.RLock()  # one change at a time: held while versions load, never while requests wait

    @contextmanager
    def lease(self, request: ModelRequest) -> Iterator[LoadedT]:
        """Lends the version that a request is for; it stays in memory until it is given back.

        Raises:
            ModelNotFoundError: if the model or the version is not served here.
            InvalidArgumentError: if the label is unknown.
        """
        with self._returned:
            entry = self._find(request)
            entry.leases += 1
            loaded = entry.loaded
        try:
            if loaded is None:
                raise ModelNotFoundError(_not_found(request))
            yield loaded
        finally:
            with self._returned:
                entry.leases -= 1
                if not entry.leases and not entry.is_available:
                    self._returned.notify_all()

    def status(self, request: ModelRequest) -> list[VersionStatus]:
        """Returns the state of the version asked for, or of all that are known, the newest first.

        A label is ignored, as TF Serving ignores it here.

        Raises:
            ModelNotFoundError: if the model, or that version of it, has never been seen.
        """
        with self._returned:
            model = self._models.get(request.name)
            entries = dict(model.entries) if model else {}
            if request.version is not None:
                if request.version not in entries:
                    raise ModelNotFoundError(f"Could not find version {request.version} of model {request.name}")
                entries = {request.version: entries[request.version]}
            if not entries:
                raise ModelNotFoundError(f"Could not find any versions of model {request.name}")
            return [
                VersionStatus(number, entry.state, "UNKNOWN" if entry.error else "OK", entry.error)
                for number, entry in sorted(entries.items(), reverse=True)
            ]

    def available(self, name: str) -> list[int]:
        """Returns the versions of a model that answer requests, oldest first; none if there is no such model."""
        with self._returned:
            model = self._models.get(name)
            return model.available() if model else []

    def apply(self, configs: Sequence[ModelConfig]) -> None:
        """Replaces the models that are served; returns when the new ones answer.

        Raises:
            ModelsNotAvailableError: if of a model none of the wanted versions can be loaded.
            LabelNotAvailableError: if a label is for a version that is not to answer.
            UnavailableError: if the registry is closed.
            In each case what was served before goes on as if nothing had been asked.
        """
        with self._changing:
            if self._closed:
                raise UnavailableError("the server is stopping: models can no longer be changed.")
            before = dict(self._models)
            planned = {config.name: ServedModel(config, self._entries(config)) for config in configs}
            kept: dict[str, set[int]] = {}
            try:
                for name, model in planned.items():
                    with self._returned:
                        self._models.setdefault(name, model)
                    aspired = model.aspired()
                    self._bring_up(model, aspired)
                    kept[name] = model.kept(aspired)
                    model.require_answers(aspired, kept[name])
            except (ModelsNotAvailableError, LabelNotAvailableError):
                self._switch(before, {name: set(model.available()) for name, model in before.items()}, planned)
                raise
            self._switch(planned, kept, before)

    def poll(self) -> None:
        """Looks for new versions, loads them, and lets those go that they replace."""
        with self._changing:
            if self._closed:
                return
            for name, model in list(self._models.items()):
                before = self.available(name)
                aspired = model.aspired()
                self._bring_up(model, aspired)
                self._retire(model, model.kept(aspired))
                if self.available(name) != before:
                    self._observe(name, self.available(name))

    def close(self, seconds: float = 30.0) -> None:
        """Lets all versions go, each after its last request.

        Args:
            seconds: how long to wait for that at most.
        """
        with self._changing:
            self._closed = True
            for model in self._models.values():
                self._retire(model, kept=set())
            leaving = list(self._leaving)
        deadline = time.monotonic() + seconds
        for thread in leaving:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _find(self, request: ModelRequest) -> ServedVersion[LoadedT]:
        model = self._models.get(request.name)
        number = request.version
        if request.label:
            if model is None or request.label not in model.config.labels:
                raise InvalidArgumentError(f"Unrecognized servable version label: {request.label}")
            number = model.config.labels[request.label]
        if model is not None:
            if number is None:
                number = max((number for number, entry in model.entries.items() if entry.is_available), default=None)
            entry = None if number is None else model.entries.get(number)
            if entry is not None and entry.is_available:
                return entry
        raise ModelNotFoundError(_not_found(request))

    def _entries(self, config: ModelConfig) -> dict[int, ServedVersion[LoadedT]]:
        """What is known of a model already, unless it now lies elsewhere."""
        known = self._models.get(config.name)
        if known is None or known.config.base_path != config.base_path:
            return {}
        return dict(known.entries)

    def _bring_up(self, model: ServedModel[LoadedT], aspired: dict[int, Version]) -> None:
        for number, version in aspired.items():
            entry = model.entries.get(number)
            if entry is not None and entry.is_available:
                continue
            files = fingerprint(version.path)
            if entry is not None and entry.error and entry.files == files:
                continue  # it failed, and nothing has changed since
            self._bring_up_one(model, ServedVersion(version, "LOADING", files=files))

    def _bring_up_one(self, model: ServedModel[LoadedT], entry: ServedVersion[LoadedT]) -> None:
        name, version = model.config.name, entry.version
        with self._returned:
            model.entries[version.number] = entry
        try:
            loaded = self._load(name, version)
        except Exception as error:
            if not isinstance(error, ServableError):
                _LOGGER.exception("model %s version %d: unexpected failure", name, version.number)
            _LOGGER.error("model %s version %d cannot be served: %s", name, version.number, error)
            with self._returned:
                entry.state, entry.error = "END", str(error)
            return
        with self._returned:
            entry.state, entry.loaded = "AVAILABLE", loaded
        _LOGGER.info("model %s version %d is available, from %s", name, version.number, version.path)

    def _switch(
        self,
        models: dict[str, ServedModel[LoadedT]],
        kept: dict[str, set[int]],
        others: dict[str, ServedModel[LoadedT]],
    ) -> None:
        """Serve `models` from now on, and unload every other version.

        Args:
            models: Models by name.
            kept: Versions of each model that stay in memory.
            others: Models whose versions are unloaded unless `models` holds them too.
        """
        with self._returned:
            self._models = models
        for name, model in models.items():
            self._retire(model, kept[name])
            self._observe(name, self.available(name))
        for name, other in others.items():
            remaining = models[name].entries.values() if name in models else ()
            for number, entry in other.entries.items():
                if entry.is_available and not any(entry is each for each in remaining):
                    self._let_go(name, number, entry)
            if name not in models:
                self._observe(name, [])

    def _retire(self, model: ServedModel[LoadedT], kept: set[int]) -> None:
        """Unload all available versions but the kept ones, and forget versions that ended long ago."""
        for number, entry in sorted(model.entries.items()):
            if number not in kept and entry.is_available:
                self._let_go(model.config.name, number, entry)
        with self._returned:
            model.forget_ended()

    def _let_go(self, name: str, number: int, entry: ServedVersion[LoadedT]) -> None:
        """Gives a version no more requests, and closes it when it has answered those that it has.

        In a thread of its own: a request that takes long must not keep newer versions waiting.
        """
        with self._returned:
            entry.state = "UNLOADING"

        def leave() -> None:
            with self._returned:
                self._returned.wait_for(lambda: not entry.leases)
                loaded, entry.loaded = entry.loaded, None
            if loaded is not None:
                loaded.close()
            with self._returned:
                entry.state = "END"
            _LOGGER.info("model %s version %d is unloaded", name, number)

        thread = threading.Thread(target=leave, name=f"unload-{name}-{number}", daemon=True)
        self._leaving = [each for each in self._leaving if each.is_alive()]
        self._leaving.append(thread)
        thread.start()


def _not_found(request: ModelRequest) -> str:
    # TF Serving's own wording, which clients are known to look for.
    wanted = f"Latest({request.name})" if request.version is None else f"Specific({request.name}, {request.version})"
    return f"Servable not found for request: {wanted}"
