"""What a training says while it runs: one log record an epoch, with the figures attached for whoever shows them."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping

# The console listens to this logger, whichever process trains.
_logger = logging.getLogger("components.training.loop")

# The attribute of a log record under which its figures stand.
PROGRESS_KEY = "training_progress"

Figures = Mapping[str, str | int | float]


def report_epoch(figures: Figures) -> None:
    """Logs one epoch.

    Args:
        figures: "name" of what is trained, "epoch" (from 1), "epochs" (the most there may be), "loss", "total_loss"
            (with the auxiliary loss; absent without one), "val_loss", "val_roc_auc" (NaN where undefined), "seconds",
            "learning_rate", "best_epoch" (from 1). They are the record's attribute PROGRESS_KEY.
    """
    total = f" (total {figures['total_loss']:.4f})" if "total_loss" in figures else ""
    _logger.info(
        "%s: epoch %d/%d: loss %.4f%s, eval loss %.4f, eval ROC-AUC %.4f (%.1f s)",
        *(figures[key] for key in ("name", "epoch", "epochs", "loss")),
        total,
        *(figures[key] for key in ("val_loss", "val_roc_auc", "seconds")),
        extra={PROGRESS_KEY: dict(figures)},
    )


@contextlib.contextmanager
def watched_epochs(listener: Callable[[Figures], None]) -> Iterator[None]:
    """Passes the figures of every epoch on while the context is open; the logger is left as it was.

    Args:
        listener: called with the figures that `report_epoch` was given.
    """
    handler, level = _EpochHandler(listener), _logger.level
    _logger.setLevel(logging.INFO)  # what the other handlers let through is up to their own levels
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)


class _EpochHandler(logging.Handler):
    """Passes figures on; other records of the logger are not its business."""

    def __init__(self, listener: Callable[[Figures], None]) -> None:
        super().__init__(logging.INFO)
        self._listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        """Handles a record of the training loop."""
        figures = getattr(record, PROGRESS_KEY, None)
        if figures is not None:
            self._listener(figures)
