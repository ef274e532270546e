"""What each epoch of a training measured: which one was best, and who is told."""

from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from components.training.parameters import TrainingParameters
from components.training.progress import report_epoch


@dataclass
class History:
    """What each epoch measured; the lists have one number an epoch.

    Attributes:
        loss: weighted cross-entropy on the train split (mean over the epoch, while weights change), with label
            smoothing if configured, without the auxiliary loss.
        val_loss: the same on the eval split, after the epoch.
        val_roc_auc: ROC-AUC on the eval split, of a softmax the mean over classes of one against the rest; NaN where
            it holds a single class.
        seconds: duration of the epoch.
        best_epoch: index of the epoch whose weights were kept.
        total_loss: `loss` with the auxiliary loss; empty without one.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_roc_auc: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    total_loss: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[float] | int]:
        """Returns the history as plain values for JSON."""
        return dict(vars(self))


def rank(history: History, epoch: int, parameters: TrainingParameters) -> tuple[float, float]:
    """Returns what orders epochs: the lower, the better. A single-class eval split has no ROC-AUC to order by."""
    if parameters.monitor == "last":
        return (-float(epoch), 0.0)
    val_roc_auc = history.val_roc_auc[epoch]
    by_area = parameters.monitor == "roc_auc" and np.isfinite(val_roc_auc)
    return (-val_roc_auc if by_area else 0.0, history.val_loss[epoch])


def summarise(writer: tf.summary.SummaryWriter, history: History, epoch: int) -> None:
    """Writes one epoch's figures for TensorBoard."""
    with writer.as_default(step=epoch):
        for name in ("loss", "total_loss", "val_loss", "val_roc_auc"):
            values = getattr(history, name)
            if values:
                tf.summary.scalar(name, values[epoch])


def report(name: str, history: History, epoch: int, parameters: TrainingParameters) -> None:
    """Says what the newest epoch measured, to whoever shows the progress."""
    report_epoch(
        {
            "name": name,
            "epoch": epoch + 1,
            "epochs": parameters.epochs,
            **{key: getattr(history, key)[epoch] for key in ("loss", "val_loss", "val_roc_auc", "seconds")},
            **({"total_loss": history.total_loss[epoch]} if history.total_loss else {}),
            "learning_rate": parameters.learning_rate,
            "best_epoch": history.best_epoch + 1,
        }
    )
