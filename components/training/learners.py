"""Learners that later trainings use again: TensorFlow traces a training's functions once a process, not once a head.

Heads of one pipeline are alike in everything but what they learn. Tracing and optimising the functions of one takes
about as long as an epoch on a thousand images, and what TensorFlow keeps of them adds up over a hundred heads.
"""

import contextlib
import threading
from collections.abc import Iterator
from functools import cache

import keras

from components.training.determinism import operations_are_deterministic
from components.training.loop import Learner
from components.training.parameters import TrainingParameters
from components.training.strategies import Replicas

# Two trainings may run at once in one process, as steps of a pipeline do.
_KEPT = 2


class LearnerPool:
    """Keeps the learners that were used last, each for one training at a time.

    Args:
        kept: the most that wait for a training; older ones are let go.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._idle: list[tuple[str, Learner]] = []

    @contextlib.contextmanager
    def borrow(self, model: keras.Model, parameters: TrainingParameters) -> Iterator[Learner]:
        """Lends a learner on one device, and takes it back if the training succeeds.

        Args:
            model: untrained; the learner has a model of its own with the same layers, and whatever weights.
            parameters: of the training.

        Yields:
            A learner that nobody else has; `Learner.begin` gives it its weights.
        """
        # Initialisers and the seed are part of the key though they change no function: heads of one pipeline share
        # them. So is what decides the kernels of a traced function.
        key = "\n".join([model.to_json(), parameters.model_dump_json(), str(operations_are_deterministic())])
        learner = self._take(key) or Learner(keras.models.clone_model(model), parameters, Replicas())
        yield learner
        with self._lock:
            self._idle = [*self._idle, (key, learner)][-self._kept :]

    def _take(self, key: str) -> Learner | None:
        with self._lock:
            for number, (its_key, learner) in enumerate(self._idle):
                if its_key == key:
                    del self._idle[number]
                    return learner
        return None


@cache
def process_learners() -> LearnerPool:
    """Returns the learners that all heads of this process share."""
    return LearnerPool()
