import keras
import numpy as np
import pytest

from components.training.checkpoints import Checkpoint
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import Learner, cosine_factor
from components.training.loop import train
from components.training.parameters import TrainingParameters


def classifier(seed=0) -> keras.Model:
    inputs = keras.Input((2,))
    unit = keras.layers.Dense(1, activation="sigmoid", kernel_initializer=keras.initializers.GlorotUniform(seed))
    return keras.Model(inputs, unit(inputs))


def labelled(inputs, targets, weights=None):
    weights = np.ones(len(targets)) if weights is None else weights
    stored = StoredInputs(np.asarray(inputs, np.float32))
    return LabelledInputs(stored, np.asarray(targets, np.int32), np.asarray(weights, np.float32))


@pytest.fixture(scope="module")
def separable():
    """200 points of the plane; those above the diagonal are positive."""
    points = np.random.default_rng(0).normal(size=(200, 2))
    return points, points[:, 1] > points[:, 0]


def test_it_learns_a_separable_problem(separable):
    points, above = separable
    model = classifier()
    history = train(
        Learner(model, TrainingParameters(epochs=30, learning_rate=0.05)),
        labelled(points[:150], above[:150]),
        labelled(points[150:], above[150:]),
    )
    scored = Learner(model, TrainingParameters(batch_size=16)).scores(StoredInputs(points[150:].astype(np.float32)))
    predictions = scored > 0.5
    assert np.mean(predictions == above[150:]) > 0.95
    assert history.val_loss[-1] < history.val_loss[0] / 2
    assert history.val_roc_auc[-1] > 0.99


def test_the_reported_loss_is_binary_cross_entropy_weighted_by_image(separable):
    points, above = separable
    weights = np.where(above, 3.0, 0.5)
    model = classifier()
    history = train(
        Learner(model, TrainingParameters(epochs=1, learning_rate=1e-3)),
        labelled(points, above),
        labelled(points, above, weights),
    )
    probability = model(points.astype(np.float32)).numpy()[:, 0].astype(float)
    expected = -np.mean(weights * np.where(above, np.log(probability), np.log(1.0 - probability)))
    assert history.val_loss[0] == pytest.approx(expected, rel=1e-5)


def test_the_training_loss_weighs_each_image_once_however_batches_divide_them(separable):
    points, above = separable[0][:10], separable[1][:10]
    weights = np.linspace(0.1, 3.0, 10)
    model = classifier()
    probability = model(points.astype(np.float32)).numpy()[:, 0].astype(float)
    expected = np.mean(weights * -np.where(above, np.log(probability), np.log(1.0 - probability)))
    parameters = TrainingParameters(epochs=1, batch_size=9, learning_rate=1e-9)  # a batch of nine and one of one
    history = train(Learner(model, parameters), labelled(points, above, weights), labelled(points, above))
    assert history.loss[0] == pytest.approx(expected, rel=1e-5)


def test_every_epoch_takes_each_image_once_in_an_order_of_its_own(separable):
    asked_for = []

    class Spied(StoredInputs):
        def batches(self, indices):
            batches = list(indices)
            asked_for.append([tuple(batch) for batch in batches])
            return super().batches(batches)

    inputs = Spied(separable[0][:20].astype(np.float32))
    training = LabelledInputs(inputs, separable[1][:20].astype(np.int32), np.ones(20, np.float32))
    train(Learner(classifier(), TrainingParameters(epochs=3, batch_size=6)), training, MIXED)
    assert [[len(batch) for batch in epoch] for epoch in asked_for] == [[6, 6, 4, 4]] * 3
    assert all(sorted(sum(epoch, ())) == list(range(20)) for epoch in asked_for)
    assert len({frozenset(epoch[0]) for epoch in asked_for}) == 3


def test_an_image_of_weight_zero_teaches_nothing():
    model, untrained = classifier(), classifier()
    train(
        Learner(model, parameters_of(epochs=1, early_stopping=1)),
        labelled([[1.0, 1.0]] * 4, [1.0] * 4, [0.0] * 4),
        MIXED,
    )
    for weight, before in zip(model.get_weights(), untrained.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, before)


# Training wants ever higher scores for the one input (1, 1); in the eval split only 80 % of its kind are positive. The
# eval loss is therefore lowest where the score passes 0.8, and rises from there on.
ONE_INPUT = labelled([[1.0, 1.0]] * 4, [1.0] * 4)
MIXED = labelled([[1.0, 1.0]] * 5, [1.0] * 4 + [0.0])


def parameters_of(epochs, early_stopping):
    return TrainingParameters(epochs=epochs, early_stopping=early_stopping, learning_rate=0.1)


def test_training_ends_when_the_eval_loss_has_not_fallen_for_as_many_epochs_as_allowed():
    history = train(Learner(classifier(), parameters_of(epochs=100, early_stopping=4)), ONE_INPUT, MIXED)
    best = int(np.argmin(history.val_loss))
    assert 0 < best < 50
    assert history.best_epoch == best
    assert len(history.val_loss) == len(history.loss) == len(history.seconds) == best + 1 + 4


@pytest.mark.parametrize("epochs", [100, 20], ids=["stopped early", "all epochs run"])
def test_the_weights_of_the_best_epoch_are_kept(epochs):
    stopped = classifier()
    history = train(
        Learner(stopped, parameters_of(epochs, early_stopping=epochs if epochs == 20 else 4)), ONE_INPUT, MIXED
    )
    assert history.best_epoch < len(history.val_loss) - 1
    ended_there = classifier()
    train(Learner(ended_there, parameters_of(epochs=history.best_epoch + 1, early_stopping=100)), ONE_INPUT, MIXED)
    for kept, expected in zip(stopped.get_weights(), ended_there.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, expected)


def test_a_training_that_is_taken_up_after_its_best_epoch_ends_as_one_that_was_not_interrupted(tmp_path):
    whole, begun, taken_up = classifier(), classifier(), classifier(seed=1)
    expected = train(Learner(whole, parameters_of(epochs=100, early_stopping=4)), ONE_INPUT, MIXED)
    until = expected.best_epoch + 3
    train(
        Learner(begun, parameters_of(until, early_stopping=4)),
        ONE_INPUT,
        MIXED,
        checkpoint=Checkpoint(tmp_path / "state"),
    )
    history = train(
        Learner(taken_up, parameters_of(epochs=100, early_stopping=4)),
        ONE_INPUT,
        MIXED,
        checkpoint=Checkpoint(tmp_path / "state"),
    )
    assert (history.loss, history.val_loss) == (expected.loss, expected.val_loss)
    assert history.best_epoch == expected.best_epoch
    for mine, other in zip(taken_up.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_training_goes_on_with_the_moments_of_its_optimizer(tmp_path):
    # Before the best epoch: what comes after the interruption decides the weights.
    whole, begun, taken_up = classifier(), classifier(), classifier(seed=1)
    train(Learner(whole, parameters_of(epochs=6, early_stopping=6)), ONE_INPUT, ONE_INPUT)
    for model, epochs in ((begun, 3), (taken_up, 6)):
        parameters = parameters_of(epochs, early_stopping=6)
        train(Learner(model, parameters), ONE_INPUT, ONE_INPUT, checkpoint=Checkpoint(tmp_path / "state"))
    for mine, other in zip(taken_up.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_monitored_measure_decides_which_epoch_is_best():
    rng = np.random.default_rng(0)
    points, noisy_points = rng.normal(size=(60, 2)), rng.normal(size=(40, 2))
    noisy_labels = noisy_points[:, 1] + rng.normal(0.0, 1.0, 40) > 0  # confidence costs: the loss is lowest early
    histories = {
        monitor: train(
            Learner(classifier(), TrainingParameters(epochs=20, early_stopping=20, learning_rate=0.3, monitor=monitor)),
            labelled(points, points[:, 1] > 0),
            labelled(noisy_points, noisy_labels),
        )
        for monitor in ("loss", "roc_auc")
    }
    best = {
        "loss": int(np.argmin(histories["loss"].val_loss)),
        "roc_auc": int(np.argmax(histories["roc_auc"].val_roc_auc)),
    }
    assert best["loss"] != best["roc_auc"]
    assert {monitor: history.best_epoch for monitor, history in histories.items()} == best


@pytest.mark.parametrize("spoilt", ["training", "validation"])
def test_a_loss_that_is_no_number_is_an_error_that_says_what_to_lower(spoilt):
    poisoned = labelled([[np.nan, 1.0]] * 4, [1.0, 0.0] * 2)
    sets = {"training": ONE_INPUT, "validation": MIXED} | {spoilt: poisoned}
    with pytest.raises(FloatingPointError, match=r"epoch 1: .*nan.*Lower learning_rate \(now 0\.1\)"):
        train(Learner(classifier(), parameters_of(epochs=3, early_stopping=3)), sets["training"], sets["validation"])


def test_batch_normalisation_moves_in_training_and_not_in_scoring():
    inputs = keras.Input((2,))
    norm = keras.layers.BatchNormalization()
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(norm(inputs)))
    points = np.random.default_rng(1).normal(5.0, 1.0, (64, 2)).astype(np.float32)
    Learner(model, TrainingParameters(batch_size=16)).scores(StoredInputs(points))
    np.testing.assert_array_equal(norm.moving_mean, 0.0)
    train(
        Learner(model, TrainingParameters(epochs=1, batch_size=16)),
        labelled(points, points[:, 0] > 5),
        labelled(points, points[:, 0] > 5),
    )
    assert (np.asarray(norm.moving_mean) > 0.1).all()


def test_tensorboard_logs_are_written_where_asked(tmp_path):
    train(Learner(classifier(), parameters_of(1, 1)), ONE_INPUT, MIXED, logs=tmp_path / "logs")
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


def test_scores_come_in_the_order_of_the_inputs_across_batches():
    model = classifier()
    points = np.random.default_rng(2).normal(size=(10, 2)).astype(np.float32)
    np.testing.assert_allclose(
        Learner(model, TrainingParameters(batch_size=4)).scores(StoredInputs(points)), model(points)[:, 0], rtol=1e-6
    )


# --- passes, schedule, and what is kept ---


def test_an_epoch_of_two_passes_is_two_epochs_of_one(separable):
    points, above = separable
    weights = []
    for epochs, passes in ((4, 1), (2, 2)):
        model = classifier()
        parameters = TrainingParameters(epochs=epochs, passes=passes, early_stopping=9, monitor="last", batch_size=16)
        history = train(Learner(model, parameters), labelled(points, above), labelled(points, above))
        assert len(history.loss) == epochs
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_last_epoch_is_kept_where_asked_however_bad_it_is():
    points, above = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    parameters = TrainingParameters(epochs=4, early_stopping=1, monitor="last", learning_rate=0.5)
    history = train(Learner(classifier(), parameters), labelled(points, above), labelled(-points, above))
    assert (len(history.loss), history.best_epoch) == (4, 3)
    assert min(history.val_loss) < history.val_loss[-1]


def test_the_learning_rate_rises_then_falls_along_a_cosine():
    factors = np.array([cosine_factor(step, 1000) for step in range(1000)])
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(1000) / 1000))
    np.testing.assert_allclose(factors[20:], expected[20:], rtol=1e-12)
    np.testing.assert_allclose(factors[:20], expected[:20] * np.arange(1, 21) / 20, rtol=1e-12)
    assert (np.array([cosine_factor(step, 3) for step in range(3)]) > 0).all()


def test_steps_take_the_learning_rate_of_the_schedule(separable, monkeypatch):
    """Adam's first step is the learning rate in each weight, whatever the gradient is."""
    monkeypatch.setattr("components.training.learners.cosine_factor", lambda step, steps: 0.25 if steps == 1 else 0.0)
    points, above = separable
    model = classifier()
    before = model.get_weights()
    parameters = TrainingParameters(epochs=1, batch_size=200, learning_rate=0.1, schedule="cosine")
    train(Learner(model, parameters), labelled(points, above), labelled(points, above))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(np.abs(other - one), 0.025, rtol=1e-3)


def test_an_interrupted_training_on_a_schedule_ends_as_one_that_was_not(separable, tmp_path):
    points, above = separable
    parameters = TrainingParameters(epochs=4, passes=2, batch_size=32, schedule="cosine", monitor="last")
    whole = classifier()
    train(Learner(whole, parameters), labelled(points, above), labelled(points, above))
    checkpoint = Checkpoint(tmp_path / "state", True)

    class Killed(StoredInputs):
        def in_epoch(self, epoch):
            if epoch == 5:
                raise KeyboardInterrupt
            return self

    first = labelled(points, above)
    with pytest.raises(KeyboardInterrupt):
        train(
            Learner(classifier(), parameters),
            LabelledInputs(Killed(first.inputs.array), first.targets, first.weights),
            labelled(points, above),
            checkpoint=checkpoint,
        )
    resumed = classifier()
    train(Learner(resumed, parameters), labelled(points, above), labelled(points, above), checkpoint=checkpoint)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
