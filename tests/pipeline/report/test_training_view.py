"""Each kind of quantity has an axis of its own, and seconds have none."""

import pytest

from pipeline.report.training_view import training_view

NAN = float("nan")
HISTORY = {"loss": [0.7, 0.5, 0.4], "val_loss": [0.7, 0.6, 0.5], "val_roc_auc": [0.6, 0.8, 0.9], "seconds": [4, 3, 2.3]}


def drawn(view):
    return [[entry.label for entry in plot.legend] for plot in view.curves]


def test_losses_and_areas_are_drawn_apart_and_seconds_are_told_in_words():
    view = training_view(HISTORY, "p", "primary")
    assert drawn(view) == [["loss", "val_loss"], ["val_roc_auc"]]
    assert ">loss<" in view.curves[0].svg
    assert ">ROC-AUC<" in view.curves[1].svg
    assert view.epochs == "3 epochs, 3.1\u202fs each"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"loss": [1.0], "seconds": [75.0]}, "1 epoch, 1\u202fmin 15\u202fs"),
        ({"loss": [1.0, 0.5]}, "2 epochs"),
        ({"seconds": [1.0, 1.0]}, "2 epochs, 1.0\u202fs each"),
    ],
)
def test_epochs_are_counted_with_their_duration_where_it_is_known(history, expected):
    assert training_view(history, "p", "primary").epochs == expected


def test_an_area_that_was_never_defined_is_not_drawn():
    view = training_view({**HISTORY, "val_roc_auc": [NAN] * 3}, "p", "primary")
    assert drawn(view) == [["loss", "val_loss"]]


def test_a_quantity_of_another_kind_has_a_plot_of_its_own():
    assert drawn(training_view({**HISTORY, "learning_rate": [1e-3] * 3}, "p", "primary"))[2] == ["learning_rate"]


@pytest.mark.parametrize("history", [{}, {"loss": []}])
def test_without_an_epoch_there_is_nothing_to_show(history):
    assert training_view(history, "p", "primary") is None
