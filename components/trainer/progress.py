"""What a training says while it runs: one log record an epoch, with the figures attached for whoever shows them."""

import logging
from collections.abc import Mapping

# The console listens to this logger, whichever process trains.
_logger = logging.getLogger("components.trainer.loop")

# The attribute of a log record under which its figures stand.
PROGRESS_KEY = "training_progress"

Figures = Mapping[str, str | int | float]


def report_epoch(figures: Figures) -> None:
    """Logs one epoch.

    Args:
        figures: "name" of what is trained, "epoch" (from 1), "epochs" (the most there may be), "loss", "val_loss",
            "val_roc_auc" (NaN where undefined), "seconds", "learning_rate", "best_epoch" (from 1). They are the
            record's attribute PROGRESS_KEY.
    """
    _logger.info(
        "%s: epoch %d/%d: loss %.4f, eval loss %.4f, eval ROC-AUC %.4f (%.1f s)",
        *(figures[key] for key in ("name", "epoch", "epochs", "loss", "val_loss", "val_roc_auc", "seconds")),
        extra={PROGRESS_KEY: dict(figures)},
    )
