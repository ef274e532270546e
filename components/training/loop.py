"""The one training loop, for the primary module, heads and baselines alike.

A plain loop over steps and epochs: Adam on weighted cross-entropy, the loss and the ROC-AUC of the eval split after
every epoch, early stopping, and the weights of the best epoch at the end. It runs on one device or on several, and
takes up a training that was interrupted.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.metrics.scores import roc_auc
from components.models.parameters import Precision
from components.models.training_view import training_view
from components.training.checkpoints import Checkpoint, TrainingState
from components.training.history import History, rank, report, summarise
from components.training.inputs import ModelInputs
from components.training.parameters import TrainingParameters
from components.training.sampling import epoch_order, even_batches
from components.training.strategies import Replicas

_logger = logging.getLogger(__name__)

_WARM_UP_STEPS = 20


@dataclass(frozen=True)
class LabelledInputs:
    """What a model is trained on, or checked against.

    Attributes:
        inputs: of the model.
        targets: int32 (count,): 0 or 1; for a softmax the index of the class.
        weights: float32 (count,), weight of each image in the loss.
        sources: (count,), the source of each image; None where it is not known.
    """

    inputs: ModelInputs
    targets: np.ndarray
    weights: np.ndarray
    sources: np.ndarray | None = None


def train(
    model: keras.Model,
    training: LabelledInputs,
    validation: LabelledInputs,
    parameters: TrainingParameters,
    name: str = "model",
    logs: Path | None = None,
    replicas: Replicas | None = None,
    checkpoint: Checkpoint | None = None,
    learner: "Learner | None" = None,
) -> History:
    """Trains a model in place and leaves it with the weights of its best epoch.

    Args:
        model: its last layer is dense, with one sigmoid unit or a softmax; built in the scope of the strategy.
        training: the train split.
        validation: the eval split.
        parameters: epochs, early stopping, batches, sampling, learning rate, seed.
        name: of what is trained, for progress reports.
        logs: folder for TensorBoard; None writes none.
        replicas: the devices that train together; None is one.
        checkpoint: where the state is kept after each epoch, and taken up from; None keeps none.
        learner: one of a model of the same layers and of the same parameters, which trains in this model's stead; it
            ends with the same weights. None makes one.

    Returns:
        What each epoch measured, those before an interruption included.

    Raises:
        FloatingPointError: if the loss stops being a finite number.
    """
    replicas = replicas or Replicas()
    if learner is None:
        learner = Learner(model, parameters, replicas)
    else:
        learner.begin(model.get_weights())
    history, best_weights = History(), model.get_weights()
    state = checkpoint.read(learner.state(history, best_weights)) if checkpoint else None
    if state:
        learner.restore(state)
        history, best_weights = History(**state.history), list(state.best_weights)
        _logger.info("%s: taken up after epoch %d, where an earlier run was interrupted", name, len(history.loss))
    writer = tf.summary.create_file_writer(str(logs)) if logs and replicas.is_chief else tf.summary.create_noop_writer()
    for epoch in range(len(history.loss)):
        summarise(writer, history, epoch)
    for epoch in range(len(history.loss), parameters.epochs):
        if epoch - 1 - history.best_epoch >= parameters.early_stopping:
            break
        started = time.monotonic()
        loss = learner.run_epoch(training, epoch)
        val_loss, val_roc_auc = _judge(learner.logits_of(validation), validation)
        if not np.isfinite(loss) or not np.isfinite(val_loss):
            raise FloatingPointError(
                f"epoch {epoch + 1}: the loss is {loss}, on the eval split {val_loss}. "
                f"Lower learning_rate (now {parameters.learning_rate})."
            )
        history.loss.append(loss)
        history.val_loss.append(val_loss)
        history.val_roc_auc.append(val_roc_auc)
        history.seconds.append(time.monotonic() - started)
        if epoch == 0 or rank(history, epoch, parameters) < rank(history, history.best_epoch, parameters):
            history.best_epoch, best_weights = epoch, learner.model.get_weights()
        if checkpoint:
            checkpoint.write(learner.state(history, best_weights))
        summarise(writer, history, epoch)
        if replicas.is_chief:
            report(name, history, epoch, parameters)
    writer.close()
    learner.model.set_weights(best_weights)
    model.set_weights(best_weights)  # the same one, unless the learner brought its own
    return history


def scores(model: keras.Model, inputs: ModelInputs, batch_size: int) -> np.ndarray:
    """Scores images.

    Args:
        model: one sigmoid output, or a softmax.
        inputs: of the model.
        batch_size: images at a time.

    Returns:
        float32 (count,), 0..1, for one sigmoid output; float32 (count, classes) for a softmax.
    """
    return _scores(_scoring(model), inputs, batch_size)


def logits_of(model: keras.Model, inputs: ModelInputs, batch_size: int) -> np.ndarray:
    """Returns a model's outputs before the sigmoid or softmax: float32 (count, outputs); arguments as of `scores`."""
    predict = _logits(model, "float32")
    score = tf.function(lambda batch: predict(batch, False), reduce_retracing=True)
    batches = inputs.batches(_in_order(inputs.count, batch_size))
    return np.concatenate([score(tf.convert_to_tensor(batch)).numpy() for batch in batches])


class Learner:
    """A model with its optimizer, on all devices of a training, and the functions that TensorFlow traced for them.

    Args:
        model: its last layer is dense; built in the scope of the strategy.
        parameters: of the training.
        replicas: the devices that train together.
    """

    def __init__(self, model: keras.Model, parameters: TrainingParameters, replicas: Replicas) -> None:
        self.model, self._parameters, self._replicas = model, parameters, replicas
        with replicas.scope():
            # The learning rate of this training, whatever an earlier one had: moments start at zero too.
            self._optimizer = _optimizer(parameters)
            self._optimizer.build(model.trainable_variables)
            logits = _logits(model, parameters.precision)
        self._classes = int(model.output_shape[-1])
        step = replicas.compiled(_training_step(model, logits, self._optimizer))

        self._step = tf.function(lambda *values: replicas.sum(replicas.run(step, values)), reduce_retracing=True)
        self._predict = tf.function(
            lambda inputs: replicas.run(lambda share: logits(share, False), (inputs,)), reduce_retracing=True
        )
        self._score = _scoring(model)
        self._untrained_optimizer = self._optimizer_state()

    def begin(self, weights: list[np.ndarray]) -> None:
        """Starts anew, as a learner that was just made: with these weights, and an optimizer that took no step."""
        self._set(weights, self._untrained_optimizer)

    def run_epoch(self, training: LabelledInputs, epoch: int) -> float:
        """Takes a step on each batch of an epoch, in all its passes; returns the mean loss over its images."""
        passes = self._parameters.passes
        found = [self._run_pass(training, epoch * passes + number) for number in range(passes)]
        return float(np.mean(found))

    def _run_pass(self, training: LabelledInputs, number: int) -> float:
        """Takes a step on each batch of a pass over the split; returns the mean loss over its images."""
        order = epoch_order(
            training.targets, self._parameters.sampling, self._parameters.seed, number, training.sources
        )
        # Devices whose shares differ in size would not do the same things in the same order: the odd ones wait a pass.
        order = order[: len(order) - len(order) % self._replicas.count]
        # Sorted within the batch: reads from a file go forward, and the order inside a batch does not matter.
        batches = [np.sort(batch) for batch in even_batches(order, self._parameters.batch_size)]
        bundle, losses = self._replicas.bundle, []
        shared = self._shared(training.inputs.in_epoch(number), batches)
        for step, (batch, shares, arrays) in enumerate(shared, number * len(batches)):
            self._set_learning_rate(step, len(batches))
            targets = bundle([training.targets[share] for share in shares])
            weights = bundle([training.weights[share] for share in shares])
            losses.append(self._step(bundle(arrays), targets, weights, bundle([np.float32(len(batch))] * len(shares))))
        return float(np.average([float(loss) for loss in losses], weights=[len(batch) for batch in batches]))

    def _set_learning_rate(self, step: int, steps_a_pass: int) -> None:
        parameters = self._parameters
        if parameters.schedule == "cosine":
            steps = steps_a_pass * parameters.passes * parameters.epochs
            # A variable of the optimizer, which the traced step reads anew.
            self._optimizer.learning_rate = parameters.learning_rate * cosine_factor(step, steps)

    def logits_of(self, labelled: LabelledInputs) -> np.ndarray:
        """Returns float32 (count, outputs): the model's outputs before the sigmoid or softmax."""
        logits = np.zeros((labelled.inputs.count, self._classes), np.float32)
        batches = _in_order(labelled.inputs.count, self._parameters.batch_size)
        for _, shares, arrays in self._shared(labelled.inputs, batches):
            predicted = self._predict(self._replicas.bundle(arrays))
            for share, values in zip(shares, self._replicas.local_values(predicted), strict=True):
                logits[share] = values.numpy()
        # Every process filled the rows of its own shares; a sum with zeros is exact, so that all decide alike.
        return self._replicas.sum_of_processes(logits)

    def scores(self, inputs: ModelInputs) -> np.ndarray:
        """Scores images with the model as it is, on one device; see `scores`."""
        return _scores(self._score, inputs, self._parameters.batch_size)

    def state(self, history: History, best_weights: list[np.ndarray]) -> TrainingState:
        """Returns all that the next epoch depends on."""
        return TrainingState(self.model.get_weights(), self._optimizer_state(), best_weights, history.to_dict())

    def restore(self, state: TrainingState) -> None:
        """Sets weights and optimizer."""
        self._set(state.weights, state.optimizer)

    def _set(self, weights: Sequence[np.ndarray], optimizer: Sequence[np.ndarray]) -> None:
        self.model.set_weights(weights)
        for variable, value in zip(self._optimizer.variables, optimizer, strict=True):
            variable.assign(value)

    def _optimizer_state(self) -> list[np.ndarray]:
        # Copies: on a CPU an array may be a view on the variable, which goes on changing.
        return [np.array(variable) for variable in self._optimizer.variables]

    def _shared(
        self, inputs: ModelInputs, batches: list[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]]:
        """Yields each batch, the shares that the devices of this process take of it, and the inputs of the shares."""
        shares = [self._replicas.shares(batch) for batch in batches]
        arrays = self._replicas.placed(inputs.batches(share for batch in shares for share in batch))
        for batch, its_shares in zip(batches, shares, strict=True):
            yield batch, its_shares, [next(arrays) for _ in its_shares]


def cosine_factor(step: int, steps: int) -> float:
    """Returns the share of the learning rate that step number `step`, from 0, of a cosine schedule takes: above 0 to 1.

    Source: Loshchilov & Hutter 2017, "SGDR" (arXiv 1608.03983), equation 5, one period; with a linear warm-up.
    """
    warm_up = min(_WARM_UP_STEPS, max(1, steps // _WARM_UP_STEPS))
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _scoring(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)


def _scores(score: Callable[[tf.Tensor], tf.Tensor], inputs: ModelInputs, batch_size: int) -> np.ndarray:
    batches = inputs.batches(_in_order(inputs.count, batch_size))
    scored = np.concatenate([score(tf.convert_to_tensor(batch)).numpy() for batch in batches])
    return scored[:, 0] if scored.shape[1] == 1 else scored


def _training_step(
    model: keras.Model, logits: Callable[[tf.Tensor, bool], tf.Tensor], optimizer: keras.optimizers.Optimizer
) -> Callable[..., tf.Tensor]:
    variables = model.trainable_variables
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

    def step(inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            # Divided by the size of the whole batch: summed over devices, it is the mean over the batch.
            loss = tf.reduce_sum(weights * _cross_entropy(targets, logits(inputs, True))) / size
            # Small gradients would vanish in float16; the optimizer divides what it gets by the same scale.
            scaled = optimizer.scale_loss(loss) if scales else loss
        # Keras adds up the gradients of all devices before it applies them.
        optimizer.apply(tape.gradient(scaled, [variable.value for variable in variables]), variables)
        return loss

    return step


def _optimizer(parameters: TrainingParameters) -> keras.optimizers.Optimizer:
    """Returns Adam; for float16 with a scale of the loss that follows the gradients."""
    adam = keras.optimizers.Adam(parameters.learning_rate)
    return keras.optimizers.LossScaleOptimizer(adam) if parameters.precision == "float16" else adam


def _logits(model: keras.Model, precision: Precision) -> Callable[[tf.Tensor, bool], tf.Tensor]:
    """Returns the function (inputs, training) -> model outputs before the sigmoid or softmax, float32 (batch, outputs).

    `precision` is that of training; the eval split is judged in float32, as the model will be served.

    Cross-entropy of a probability that was rounded to 0 or 1 has no gradient; that of its logit has.
    """
    decision = model.layers[-1]
    if not isinstance(decision, keras.layers.Dense):
        raise ValueError(f"model: its last layer must be dense, got {type(decision).__name__} '{decision.name}'.")
    features = keras.Model(model.input, decision.input)
    trained_features = training_view(features, precision)

    def logits(inputs: tf.Tensor, training: bool) -> tf.Tensor:
        found = (trained_features if training else features)(inputs, training=training)
        return tf.matmul(tf.cast(found, tf.float32), decision.kernel) + decision.bias

    return logits


def _cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns float32 (batch,): binary cross-entropy for one output, categorical cross-entropy for several."""
    if logits.shape[-1] == 1:
        return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), logits[:, 0])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


def _judge(logits: np.ndarray, labelled: LabelledInputs) -> tuple[float, float]:
    """Returns the weighted loss and the ROC-AUC."""
    losses = _cross_entropy(tf.constant(labelled.targets), tf.constant(logits)).numpy()
    loss = float(np.mean(labelled.weights * losses))
    if not np.isfinite(loss):  # there is no ROC-AUC of what is no number; the caller says what to do about the loss
        return loss, float("nan")
    if logits.shape[1] == 1:
        return loss, roc_auc(labelled.targets, tf.sigmoid(logits[:, 0]).numpy())
    probabilities = tf.nn.softmax(logits).numpy()
    areas = [roc_auc(labelled.targets == number, probabilities[:, number]) for number in range(logits.shape[1])]
    defined = [area for area in areas if np.isfinite(area)]
    return loss, float(np.mean(defined)) if defined else float("nan")


def _in_order(count: int, size: int) -> list[np.ndarray]:
    """Cuts all images into batches in their order; the last one may be smaller, none is dropped."""
    return np.split(np.arange(count), range(size, count, size))
