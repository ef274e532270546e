"""Looks at the models' directories, and at the models' file, again and again."""

import logging
import threading
from pathlib import Path

from serving.errors import ServingError
from serving.server.configuration.files import read_model_configs
from serving.server.models.registry import Registry

_LOGGER = logging.getLogger(__name__)


class Watcher:
    """A thread that lets the registry follow what lies on disk.

    Args:
        registry: the models.
        poll_seconds: how often; 0 means never.
        config_file: TF Serving's models.config, applied again when it changes; None if there is none.
    """

    def __init__(self, registry: Registry, poll_seconds: float, config_file: Path | None = None) -> None:
        self._registry = registry
        self._poll_seconds = poll_seconds
        self._config_file = config_file
        self._taken: bytes | None = None  # what the file held when it was last taken
        self._refused = ""  # why it was not
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="version-watcher", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        if self._poll_seconds:
            self._thread.start()

    def close(self) -> None:
        """Ends the thread; a version that is being loaded is loaded first."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            try:
                self._look()
            except Exception:  # whatever it was, versions that come later must still be seen
                _LOGGER.exception("looking for new versions failed; trying again in %.1f s", self._poll_seconds)

    def _look(self) -> None:
        if self._config_file is not None:
            self._take(self._config_file)
        self._registry.poll()

    def _take(self, file: Path) -> None:
        """Applies the file if it holds something new; says once why it cannot, and goes on trying."""
        try:
            content = file.read_bytes()
            if content == self._taken:
                return
            self._registry.apply(read_model_configs(file))
        except (ValueError, OSError, ServingError) as error:
            if str(error) != self._refused:
                _LOGGER.error("%s is not taken, what was served goes on: %s", file, error)
            self._refused = str(error)
        else:
            self._taken, self._refused = content, ""
