"""What the report shows of a training: curves by epoch, and how long the epochs took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.report.plot_style import Plot
from pipeline.report.plots import history_plot
from pipeline.report.text import count, duration

SECONDS = "seconds"


@dataclass(frozen=True)
class TrainingView:
    """One training, ready to be written.

    Attributes:
        curves: A plot of the losses, of the ROC-AUCs and of other quantities, as far as they were recorded.
        epochs: Number of epochs and their mean duration, e.g. "12 epochs, 3.1 s each".
    """

    curves: tuple[Plot, ...]
    epochs: str


def training_view(history: Mapping[str, Sequence[float]], key: str, name: str) -> TrainingView | None:
    """Prepare the history of a training.

    Args:
        history: Values by epoch of each quantity; `seconds` is the duration of each epoch.
        key: Prefix of identifiers in the plots, unique in the page.
        name: Name of the model.

    Returns:
        The view, None if no epoch was recorded.
    """
    recorded = {quantity: values for quantity, values in history.items() if len(values)}
    if not recorded:
        return None
    groups: dict[str, dict[str, Sequence[float]]] = {}
    for quantity, values in recorded.items():
        if quantity != SECONDS and np.isfinite(values).any():
            title = "loss" if "loss" in quantity else "ROC-AUC" if "roc_auc" in quantity else "other quantities"
            groups.setdefault(title, {})[quantity] = values
    curves = tuple(
        history_plot(group, title, f"{key}-{index}", f"{title} of {name} by epoch")
        for index, (title, group) in enumerate(groups.items())
    )
    return TrainingView(curves, _epochs(recorded))


def _epochs(history: Mapping[str, Sequence[float]]) -> str:
    number = max(map(len, history.values()))
    words = f"{count(number)} epoch{'' if number == 1 else 's'}"
    if SECONDS not in history:
        return words
    return f"{words}, {duration(float(np.mean(history[SECONDS])))}{'' if number == 1 else ' each'}"
