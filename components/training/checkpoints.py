"""The state of a training after each epoch, so that a killed one is taken up at the next.

One file, written beside and then renamed: it is whole or it is the one before. It holds plain arrays only.
"""

import json
import logging
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving import atomic

_STATE_FILE = "state.npz"
_META = "meta"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingState:
    """All that the next epoch depends on.

    Attributes:
        weights: of the model, in its order.
        optimizer: variables of the optimizer, in its order.
        best_weights: of the best epoch.
        history: lists by name, and the best epoch, as `History` gives them.
    """

    weights: Sequence[np.ndarray]
    optimizer: Sequence[np.ndarray]
    best_weights: Sequence[np.ndarray]
    history: dict[str, Any]


class Checkpoint:
    """Where one training keeps its state.

    Args:
        folder: for this training alone: the name must change with everything that decides the training.
        writes: False only reads, as all but one of several workers do.
    """

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self._folder = folder
        self._writes = writes

    def write(self, state: TrainingState) -> None:
        """Replaces the state; a kill at any moment leaves the old one or the new one."""
        if not self._writes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{part}/{number:04d}": np.asarray(array)
            for part in ("weights", "optimizer", "best_weights")
            for number, array in enumerate(getattr(state, part))
        }
        arrays[_META] = np.frombuffer(json.dumps(state.history).encode(), np.uint8)
        path = self._folder / _STATE_FILE
        with atomic.replace_file(path, sole_writer=True, durable=True) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def read(self, like: TrainingState) -> TrainingState | None:
        """Reads the state, if there is one that can be used.

        Args:
            like: a state whose arrays have the shapes and types that are expected.

        Returns:
            None if there is none, or if it is damaged or of another model; the latter is logged as an error, since
            training then starts anew.
        """
        path = self._folder / _STATE_FILE
        if not path.exists():
            return None
        try:
            return _read(path, like)
        # What zipfile, numpy and json raise on damaged files.
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
            _logger.error("%s: the checkpoint cannot be used (%s): training starts anew.", path, error)
            return None

    def remove(self) -> None:
        """Removes the state, after the training's outputs were written."""
        if not self._writes:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._folder.parent.is_dir() and not any(self._folder.parent.iterdir()):
            self._folder.parent.rmdir()


def _read(path: Path, like: TrainingState) -> TrainingState:
    with np.load(path, allow_pickle=False) as arrays:
        parts = {
            part: [
                _as_expected(arrays[f"{part}/{number:04d}"], expected, f"{part}/{number:04d}")
                for number, expected in enumerate(getattr(like, part))
            ]
            for part in ("weights", "optimizer", "best_weights")
        }
        history = json.loads(arrays[_META].tobytes().decode())
        if 1 + sum(len(part) for part in parts.values()) != len(arrays.files):
            raise ValueError("it holds more arrays than the model has")
    if not isinstance(history, dict) or history.keys() != like.history.keys():
        raise ValueError("its history has other parts than expected")
    return TrainingState(**parts, history=history)


def _as_expected(array: np.ndarray, expected: np.ndarray, name: str) -> np.ndarray:
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise ValueError(
            f"{name} must be {expected.dtype} of shape {expected.shape}, found {array.dtype} of shape {array.shape}"
        )
    return array
