"""The one training loop, for the primary module, heads and baselines alike.

A plain loop over steps and epochs: Adam on weighted cross-entropy, the loss and the ROC-AUC of the eval split after
every epoch, early stopping, and the weights of the best epoch at the end. It runs on one device or on several, and
continues a training that was interrupted.
"""

import logging
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.metrics.scores import roc_auc
from components.training.checkpoints import Checkpoint
from components.training.history import History, rank, report, summarise
from components.training.inputs import LabelledInputs
from components.training.learners import Learner
from components.training.losses import cross_entropy

_LOGGER = logging.getLogger(__name__)


def train(
    learner: Learner,
    training: LabelledInputs,
    validation: LabelledInputs,
    name: str = "model",
    logs: Path | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train the model of a learner in place, and leave it with the weights of its best epoch.

    Args:
        learner: Untrained model with its optimizer, parameters and devices.
        training: Train split.
        validation: Eval split.
        name: Name of the model in progress reports.
        logs: Directory for TensorBoard; None writes none.
        checkpoint: File of the state after each epoch, from which an interrupted training continues; None keeps none.

    Returns:
        The figures of each epoch, those before an interruption included.

    Raises:
        FloatingPointError: if the loss stops being a finite number.
    """
    parameters, is_chief = learner.parameters, learner.replicas.is_chief
    history, best_weights = History(), learner.model.get_weights()
    state = checkpoint.read(learner.state(history, best_weights)) if checkpoint else None
    if state:
        learner.restore(state)
        history, best_weights = History(**state.history), list(state.best_weights)
        _LOGGER.info("%s: continues after epoch %d, where an earlier run was interrupted", name, len(history.loss))
    writer = tf.summary.create_file_writer(str(logs)) if logs and is_chief else tf.summary.create_noop_writer()
    for epoch in range(len(history.loss)):
        summarise(writer, history, epoch)
    for epoch in range(len(history.loss), parameters.epochs):
        if epoch - 1 - history.best_epoch >= parameters.early_stopping:
            break
        started = time.monotonic()
        loss, total = learner.run_epoch(training, epoch)
        val_loss, val_roc_auc = _evaluate(learner.logits_of(validation), validation)
        if not (np.isfinite(total) and np.isfinite(val_loss)):
            raise FloatingPointError(
                f"epoch {epoch + 1}: the loss is {total}, on the eval split {val_loss}. "
                f"Lower learning_rate (now {parameters.learning_rate})."
            )
        history.loss.append(loss)
        if learner.has_auxiliary_task:
            history.total_loss.append(total)
        history.val_loss.append(val_loss)
        history.val_roc_auc.append(val_roc_auc)
        history.seconds.append(time.monotonic() - started)
        if epoch == 0 or rank(history, epoch, parameters) < rank(history, history.best_epoch, parameters):
            history.best_epoch, best_weights = epoch, learner.model.get_weights()
        if checkpoint:
            checkpoint.write(learner.state(history, best_weights))
        summarise(writer, history, epoch)
        if is_chief:
            report(name, history, epoch, parameters)
    writer.close()
    learner.model.set_weights(best_weights)
    return history


def _evaluate(logits: np.ndarray, labelled: LabelledInputs) -> tuple[float, float]:
    """Return the weighted loss and the ROC-AUC."""
    losses = cross_entropy(tf.constant(labelled.targets), tf.constant(logits)).numpy()
    loss = float(np.mean(labelled.weights * losses))
    if not np.isfinite(loss):  # no ROC-AUC is defined either; the caller reports the loss
        return loss, float("nan")
    if logits.shape[1] == 1:
        return loss, roc_auc(labelled.targets, tf.sigmoid(logits[:, 0]).numpy())
    probabilities = tf.nn.softmax(logits).numpy()
    areas = [roc_auc(labelled.targets == number, probabilities[:, number]) for number in range(logits.shape[1])]
    defined = [area for area in areas if np.isfinite(area)]
    return loss, float(np.mean(defined)) if defined else float("nan")
