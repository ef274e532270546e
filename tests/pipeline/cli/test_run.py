import io
import logging

import pytest
from rich.console import Console

from pipeline.cli import output, run

FIGURES = {
    "name": "primary",
    "epoch": 3,
    "epochs": 60,
    "loss": 0.25,
    "val_loss": 0.5,
    "val_roc_auc": 0.875,
    "seconds": 1.5,
    "learning_rate": 1e-3,
    "best_epoch": 2,
}
LOGGER = logging.getLogger("components.training.loop")


def said(monkeypatch, terminal: bool, silent: bool = False) -> tuple[run.RunConsole, io.StringIO]:
    stream = io.StringIO()

    def in_memory(quiet: bool = False) -> Console:
        return Console(file=stream, force_terminal=terminal, width=160, quiet=quiet, no_color=True, highlight=False)

    monkeypatch.setattr(output, "terminal", in_memory)
    return run.RunConsole(silent), stream


def run_one_node(listener: run.RunConsole) -> None:
    with listener.watching_epochs():
        listener.node_started("PrimaryTrainer")
        LOGGER.info("an epoch", extra={"training_progress": FIGURES})
        LOGGER.info("something else")
        listener.node_ended("PrimaryTrainer", "executed", 12.0)


def test_an_epoch_is_shown_behind_the_node_that_trains(monkeypatch):
    listener, stream = said(monkeypatch, terminal=True)
    run_one_node(listener)
    shown = stream.getvalue().split("\r")
    assert "PrimaryTrainer" in shown[1]
    assert "epoch 3/60  loss 0.2500  eval loss 0.5000  eval ROC-AUC 0.8750  1.5 s" in shown[1]
    assert "epoch" not in shown[-1] and "12.0 s" in shown[-1]  # the outcome takes the epoch's place


def test_the_total_loss_of_an_auxiliary_task_stands_behind_that_of_detection(monkeypatch):
    listener, stream = said(monkeypatch, terminal=True)
    with listener.watching_epochs():
        listener.node_started("PrimaryTrainer")
        LOGGER.info("an epoch", extra={"training_progress": {**FIGURES, "total_loss": 0.75}})
    assert "loss 0.2500 (total 0.7500)  eval loss 0.5000" in stream.getvalue()


@pytest.mark.parametrize("silent", [False, True])
def test_epochs_are_shown_on_a_terminal_only(monkeypatch, silent):
    listener, stream = said(monkeypatch, terminal=silent, silent=silent)
    run_one_node(listener)
    assert "epoch" not in stream.getvalue() and "\r" not in stream.getvalue()
    assert bool(stream.getvalue()) is not silent


def test_the_logger_is_left_as_it_was(monkeypatch):
    before = (LOGGER.level, list(LOGGER.handlers))
    listener, _ = said(monkeypatch, terminal=True)
    run_one_node(listener)
    assert (LOGGER.level, LOGGER.handlers) == before
