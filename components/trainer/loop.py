"""The one training loop, for the primary module and for heads alike.

A plain loop over steps and epochs: Adam on weighted binary cross-entropy, the loss and the ROC-AUC of the eval split
after every epoch, early stopping, and the weights of the best epoch at the end.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.evaluator.metrics import roc_auc
from components.trainer.parameters import TrainingParameters

# (inputs float32 (batch, ...), targets float32 (batch,), weights float32 (batch,))
Batch = tuple[tf.Tensor | np.ndarray, tf.Tensor | np.ndarray, tf.Tensor | np.ndarray]
Batches = Callable[[], Iterable[Batch]]

_logger = logging.getLogger(__name__)


@dataclass
class History:
    """What each epoch measured; the lists have one number an epoch.

    Attributes:
        loss: weighted binary cross-entropy on the train split (mean over the epoch, while weights change).
        val_loss: the same on the eval split, after the epoch.
        val_roc_auc: ROC-AUC on the eval split; NaN where it holds a single class.
        seconds: duration of the epoch.
        best_epoch: index of the epoch whose weights were kept.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_roc_auc: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0

    def to_dict(self) -> dict[str, list[float] | int]:
        """Returns the history as plain values for JSON."""
        return dict(vars(self))


def train(
    model: keras.Model, training: Batches, validation: Batches, parameters: TrainingParameters, logs: Path | None = None
) -> History:
    """Trains a model in place and leaves it with the weights of its best epoch.

    Args:
        model: one sigmoid output of shape (batch, 1).
        training: gives the batches of one epoch, shuffled anew at each call.
        validation: gives the batches of the eval split.
        parameters: epochs, early stopping, learning rate.
        logs: folder for TensorBoard; None writes none.

    Returns:
        What each epoch measured.

    Raises:
        FloatingPointError: if the loss stops being a finite number.
    """
    optimizer = keras.optimizers.Adam(parameters.learning_rate)
    optimizer.build(model.trainable_variables)
    step = _training_step(model, optimizer)
    predict = tf.function(lambda inputs: model(inputs, training=False)[:, 0], reduce_retracing=True)
    history, best_weights, best_rank = History(), model.get_weights(), (float("inf"), float("inf"))
    writer = tf.summary.create_file_writer(str(logs)) if logs else tf.summary.create_noop_writer()
    for epoch in range(parameters.epochs):
        started = time.monotonic()
        losses = [(step(*_tensors(batch)), len(batch[1])) for batch in training()]
        loss = float(np.average([float(value) for value, _ in losses], weights=[size for _, size in losses]))
        val_loss, val_roc_auc = _validate(predict, validation())
        if not np.isfinite(loss) or not np.isfinite(val_loss):
            raise FloatingPointError(
                f"epoch {epoch + 1}: the loss is {loss}, on the eval split {val_loss}. "
                f"Lower learning_rate (now {parameters.learning_rate})."
            )
        history.loss.append(loss)
        history.val_loss.append(val_loss)
        history.val_roc_auc.append(val_roc_auc)
        history.seconds.append(time.monotonic() - started)
        with writer.as_default(step=epoch):
            tf.summary.scalar("loss", loss)
            tf.summary.scalar("val_loss", val_loss)
            tf.summary.scalar("val_roc_auc", val_roc_auc)
        _logger.info(
            "epoch %d/%d: loss %.4f, eval loss %.4f, eval ROC-AUC %.4f (%.1f s)",
            epoch + 1, parameters.epochs, loss, val_loss, val_roc_auc, history.seconds[-1],
        )  # fmt: skip
        rank = _rank(parameters.monitor, val_loss, val_roc_auc)
        if rank < best_rank:
            best_rank, best_weights, history.best_epoch = rank, model.get_weights(), epoch
        elif epoch - history.best_epoch >= parameters.early_stopping:
            break
    writer.close()
    model.set_weights(best_weights)
    return history


def scores(model: keras.Model, inputs: Iterable[tf.Tensor | np.ndarray]) -> np.ndarray:
    """Scores batches of inputs.

    Args:
        model: one sigmoid output of shape (batch, 1).
        inputs: batches of float32 (batch, ...).

    Returns:
        float32 (count,), 0..1, in the order of the inputs.
    """
    predict = tf.function(lambda batch: model(batch, training=False)[:, 0], reduce_retracing=True)
    return np.concatenate([predict(tf.convert_to_tensor(batch)).numpy() for batch in inputs])


def class_weights(targets: np.ndarray, rule: str) -> np.ndarray:
    """Returns the weight of each image in the loss.

    Args:
        targets: int or float (count,), 0 or 1.
        rule: "balanced" gives both classes half of the total weight, which stays `count`; "none" weighs all alike.

    Returns:
        float32 (count,), mean 1.
    """
    weights = np.ones(len(targets), np.float32)
    positives = targets == 1
    if rule == "balanced" and 0 < positives.sum() < len(targets):
        weights[positives] = len(targets) / (2 * positives.sum())
        weights[~positives] = len(targets) / (2 * (~positives).sum())
    return weights


def _rank(monitor: str, val_loss: float, val_roc_auc: float) -> tuple[float, float]:
    """Returns what orders epochs: the lower, the better. A single-class eval split has no ROC-AUC to order by."""
    return (-val_roc_auc if monitor == "roc_auc" and np.isfinite(val_roc_auc) else 0.0, val_loss)


def _training_step(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Callable[..., tf.Tensor]:
    variables = model.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)[:, 0]
            loss = tf.reduce_mean(weights * _cross_entropy(targets, probabilities))
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        return loss

    return step


def _validate(predict: Callable[[tf.Tensor], tf.Tensor], batches: Iterable[Batch]) -> tuple[float, float]:
    """Returns the weighted loss and the ROC-AUC over the batches."""
    probabilities, targets, weights = [], [], []
    for batch in batches:
        inputs, batch_targets, batch_weights = _tensors(batch)
        probabilities.append(predict(inputs).numpy())
        targets.append(batch_targets.numpy())
        weights.append(batch_weights.numpy())
    scored, truth = np.concatenate(probabilities), np.concatenate(targets)
    loss = np.mean(np.concatenate(weights) * _cross_entropy(tf.constant(truth), tf.constant(scored)).numpy())
    # Scores that are no numbers have no ROC-AUC; the caller says what to do about the loss.
    return float(loss), roc_auc(truth.astype(int), scored) if np.isfinite(loss) else float("nan")


def _cross_entropy(targets: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    return keras.losses.binary_crossentropy(targets[:, tf.newaxis], probabilities[:, tf.newaxis])


def _tensors(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    inputs, targets, weights = batch
    return tf.convert_to_tensor(inputs), tf.convert_to_tensor(targets), tf.convert_to_tensor(weights)
