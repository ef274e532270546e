"""A model, its optimizer and its traced functions, and the pool that keeps them for later trainings.

Heads of one pipeline are alike in everything but what they learn. Tracing and optimising the functions of one takes
about as long as an epoch on a thousand images, and what TensorFlow keeps of them adds up over a hundred heads. A pool
therefore lends one learner to head after head.
"""

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.training.auxiliary import AuxiliarySoftmax
from components.training.checkpoints import TrainingState
from components.training.determinism import operations_are_deterministic
from components.training.history import History
from components.training.inputs import LabelledInputs, ModelInputs
from components.training.parameters import TrainingParameters
from components.training.sampling import epoch_order, even_batches
from components.training.steps import DETECTION, TOTAL, make_optimizer, scoring_function, training_step
from components.training.strategies import Replicas

_WARM_UP_STEPS = 20

# Two trainings may run at once in one process, as steps of a pipeline do.
_KEPT = 2


class AuxiliaryTask(NamedTuple):
    """Where the auxiliary softmax of a training reads, and what it tells apart.

    Attributes:
        layers: Names of the model's layers whose features it reads.
        sources: Names of the sources of the train split.
    """

    layers: tuple[str, ...]
    sources: tuple[str, ...]


class Losses(NamedTuple):
    """Mean losses over the images of an epoch, while weights change.

    Attributes:
        loss: Weighted cross-entropy of what the model is for, with label smoothing if configured.
        total: The same with the auxiliary loss.
    """

    loss: float
    total: float


class Learner:
    """A model with its optimizer, on all devices of a training, and the functions that TensorFlow traced for them.

    Args:
        model: Model whose last layer is dense, with one sigmoid unit or a softmax; built in the scope of the strategy.
        parameters: Parameters of the training.
        replicas: Devices that train together; None is one device.
        task: Auxiliary task, trained if the parameters have one; None for a model that has none in any case.

    Raises:
        ValueError: if the last layer is not dense.
    """

    def __init__(
        self,
        model: keras.Model,
        parameters: TrainingParameters,
        replicas: Replicas | None = None,
        task: AuxiliaryTask | None = None,
    ) -> None:
        replicas = replicas or Replicas()
        self.model, self.parameters, self.replicas = model, parameters, replicas
        with replicas.scope():
            self._auxiliary = _auxiliary(model, parameters, task)
            # The learning rate of this training, whatever an earlier one had: moments start at zero too.
            extra = self._auxiliary.variables if self._auxiliary else []
            self._optimizer = make_optimizer(parameters, [*model.trainable_variables, *extra])
            logits = scoring_function(model)
            step = training_step(model, parameters, self._optimizer, self._auxiliary)
        self._classes = int(model.output_shape[-1])
        step = replicas.compiled(step)

        self._step = tf.function(lambda *values: replicas.sum(replicas.run(step, values)), reduce_retracing=True)
        self._predict = tf.function(lambda inputs: replicas.run(logits, (inputs,)), reduce_retracing=True)
        self._score = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)
        self._untrained_optimizer = self._optimizer_state()

    def begin(self, weights: list[np.ndarray]) -> None:
        """Return to the state of a new learner: these weights, and an optimizer that took no step."""
        self.model.set_weights(weights)
        if self._auxiliary:
            self._auxiliary.reset()
        self._set_optimizer(self._untrained_optimizer)

    @property
    def has_auxiliary_task(self) -> bool:
        """Whether a second loss is trained on."""
        return self._auxiliary is not None

    def run_epoch(self, training: LabelledInputs, epoch: int) -> Losses:
        """Take a step on each batch of an epoch, in all its passes; return the mean losses over its images."""
        passes = self.parameters.passes
        losses = np.mean([self._run_pass(training, epoch * passes + number) for number in range(passes)], axis=0)
        return Losses(float(losses[DETECTION]), float(losses[TOTAL]))

    def _run_pass(self, training: LabelledInputs, number: int) -> np.ndarray:
        """Return the mean losses of one pass: float64 (2,)."""
        parameters = self.parameters
        order = epoch_order(
            training.targets,
            parameters.sampling,
            parameters.seed,
            number,
            training.sources,
            parameters.sampling_power,
        )
        # Devices whose shares differ in size would not do the same things in the same order: the odd ones wait a pass.
        order = order[: len(order) - len(order) % self.replicas.count]
        # Sorted within the batch: reads from a file go forward, and the order inside a batch does not matter.
        batches = [np.sort(batch) for batch in even_batches(order, parameters.batch_size)]
        of_images = [training.targets, training.weights, *self._source_numbers(training)]
        bundle, losses = self.replicas.bundle, []
        shared = self._shared(training.inputs.in_epoch(number), batches)
        for step, (batch, shares, arrays) in enumerate(shared, number * len(batches)):
            self._set_learning_rate(step, len(batches))
            targets, weights, *numbers = (bundle([values[share] for share in shares]) for values in of_images)
            size = bundle([np.float32(len(batch))] * len(shares))
            losses.append(self._step(bundle(arrays), targets, weights, size, *numbers))
        return np.average([loss.numpy() for loss in losses], axis=0, weights=[len(batch) for batch in batches])

    def _source_numbers(self, training: LabelledInputs) -> list[np.ndarray]:
        """Return the classes of the auxiliary task, int32 (count,); nothing without one."""
        if self._auxiliary is None:
            return []
        if training.sources is None:
            raise ValueError("auxiliary: must be none where the sources of images are not known. Remove it.")
        return [self._auxiliary.numbers_of(training.sources)]

    def _set_learning_rate(self, step: int, steps_per_pass: int) -> None:
        parameters = self.parameters
        if parameters.schedule == "cosine":
            steps = steps_per_pass * parameters.passes * parameters.epochs
            # A variable of the optimizer, which the traced step reads again.
            self._optimizer.learning_rate = parameters.learning_rate * cosine_factor(step, steps)

    def logits_of(self, labelled: LabelledInputs) -> np.ndarray:
        """Return the model's outputs before the sigmoid or softmax: float32 (count, outputs)."""
        logits = np.zeros((labelled.inputs.count, self._classes), np.float32)
        batches = _in_order(labelled.inputs.count, self.parameters.batch_size)
        for _, shares, arrays in self._shared(labelled.inputs, batches):
            predicted = self._predict(self.replicas.bundle(arrays))
            for share, values in zip(shares, self.replicas.local_values(predicted), strict=True):
                logits[share] = values.numpy()
        # Every process filled the rows of its own shares; a sum with zeros is exact, so that all decide alike.
        return self.replicas.sum_of_processes(logits)

    def scores(self, inputs: ModelInputs) -> np.ndarray:
        """Score images with the current weights, on one device.

        Args:
            inputs: Inputs of the model, one for each image.

        Returns:
            float32 (count,), 0..1, for one sigmoid output; float32 (count, classes) for a softmax.
        """
        batches = inputs.batches(_in_order(inputs.count, self.parameters.batch_size))
        scored = np.concatenate([self._score(tf.convert_to_tensor(batch)).numpy() for batch in batches])
        return scored[:, 0] if scored.shape[1] == 1 else scored

    def state(self, history: History, best_weights: list[np.ndarray]) -> TrainingState:
        """Return everything that the next epoch depends on."""
        auxiliary = self._auxiliary.get_weights() if self._auxiliary else []
        weights = [*self.model.get_weights(), *auxiliary]
        return TrainingState(weights, self._optimizer_state(), best_weights, history.to_dict())

    def restore(self, state: TrainingState) -> None:
        """Set weights, those of the auxiliary task included, and optimizer."""
        of_model = len(self.model.weights)
        self.model.set_weights(state.weights[:of_model])
        if self._auxiliary:
            self._auxiliary.set_weights(state.weights[of_model:])
        self._set_optimizer(state.optimizer)

    def _set_optimizer(self, optimizer: Sequence[np.ndarray]) -> None:
        for variable, value in zip(self._optimizer.variables, optimizer, strict=True):
            variable.assign(value)

    def _optimizer_state(self) -> list[np.ndarray]:
        # Copies: on a CPU an array may be a view on the variable, which goes on changing.
        return [np.array(variable) for variable in self._optimizer.variables]

    def _shared(
        self, inputs: ModelInputs, batches: list[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]]:
        """Yield each batch, the shares of it that the devices of this process take, and the inputs of the shares."""
        shares = [self.replicas.shares(batch) for batch in batches]
        arrays = self.replicas.placed(inputs.batches(share for batch in shares for share in batch))
        for batch, its_shares in zip(batches, shares, strict=True):
            yield batch, its_shares, [next(arrays) for _ in its_shares]


class LearnerPool:
    """Keeps the most recently used learners, each for one training at a time.

    Args:
        kept: Largest number of idle learners; older ones are dropped.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._idle: list[tuple[str, Learner]] = []

    @contextlib.contextmanager
    def borrow(self, model: keras.Model, parameters: TrainingParameters) -> Iterator[Learner]:
        """Lend a learner on one device, and take it back if the training succeeds.

        Args:
            model: Untrained model; the learner has a model of its own with the same layers and the same weights.
            parameters: Parameters of the training.

        Yields:
            A learner in its initial state that no other training uses.
        """
        # Initialisers and the seed are part of the key though they change no function: heads of one pipeline share
        # them. So is what decides the kernels of a traced function.
        key = "\n".join([model.to_json(), parameters.model_dump_json(), str(operations_are_deterministic())])
        learner = self._take(key) or Learner(keras.models.clone_model(model), parameters)
        learner.begin(model.get_weights())
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
    """Return the pool of learners that all heads of this process share."""
    return LearnerPool()


def cosine_factor(step: int, steps: int) -> float:
    """Return the factor of the learning rate at one step of a cosine schedule: above 0, at most 1.

    Args:
        step: Number of the step, from 0.
        steps: Number of steps of the whole training.

    Source: Loshchilov & Hutter 2017, "SGDR" (arXiv 1608.03983), equation 5, one period; with a linear warm-up.
    """
    warm_up = min(_WARM_UP_STEPS, max(1, steps // _WARM_UP_STEPS))
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _auxiliary(
    model: keras.Model, parameters: TrainingParameters, task: AuxiliaryTask | None
) -> AuxiliarySoftmax | None:
    if task is None or parameters.auxiliary is None:
        return None
    weight, smoothing = parameters.auxiliary.weight, parameters.label_smoothing
    return AuxiliarySoftmax(model, task.layers, task.sources, weight, parameters.seed, smoothing)


def _in_order(count: int, size: int) -> list[np.ndarray]:
    """Cut all images into batches in their order; the last one may be smaller, none is dropped."""
    return np.split(np.arange(count), range(size, count, size))
