"""The auxiliary softmax: what it adds to the loss, that it is resumed bit by bit, and that no model holds it."""

import dataclasses
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from components.features.parameters import InputParameters
from components.models.parameters import LayerParameters
from components.models.primary import LAST_LAYER, MIDDLE_LAYER, build_primary
from components.training import artifacts
from components.training.auxiliary import AuxiliarySoftmax
from components.training.checkpoints import Checkpoint
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import AuxiliaryTask, Learner, LearnerPool
from components.training.loop import train
from components.training.middle_features import extract_middle_features
from components.training.modules import train_head, train_primary
from components.training.parameters import AuxiliaryParameters, TrainingParameters
from components.training.strategies import Replicas
from components.training.training import Training
from tests.support.images import STRIPES
from tests.support.transforms import FixedTransform

LAYERS = (MIDDLE_LAYER, LAST_LAYER)
SOURCES = ("camera", "phone", "gan")
TASK = AuxiliaryTask(LAYERS, SOURCES)
AUXILIARY = AuxiliaryParameters(weight=0.3)
INPUTS = InputParameters(representation="dct", size=32)
PARAMETERS = TrainingParameters(epochs=2, batch_size=16, learning_rate=3e-3, seed=4)


def striped(count, seed, inputs=StoredInputs):
    """Noise of three sources: as it is, stronger, and with faint stripes, which alone is fake."""
    images = np.random.default_rng(seed).normal(size=(count, 16, 16, 3)).astype(np.float32)
    sources = np.array(SOURCES)[np.arange(count) % 3]
    images[sources == "phone"] *= 1.5
    images[sources == "gan", :, ::2] += 0.5
    targets = (sources == "gan").astype(np.int32)
    return LabelledInputs(inputs(images), targets, np.linspace(0.5, 1.5, count, dtype=np.float32), sources)


def primary():
    return build_primary((16, 16, 3), True, LayerParameters(), seed=1)


def parameters_of(**options):
    return TrainingParameters(
        **{"epochs": 3, "early_stopping": 9, "batch_size": 16, "auxiliary": AUXILIARY, "monitor": "last", **options}
    )


def trained(parameters, labelled=None, checkpoint=None, replicas=None):
    replicas = replicas or Replicas()
    with replicas.scope():
        model = primary()
    learner = Learner(model, parameters, replicas, TASK)
    history = train(learner, labelled or striped(96, 0), striped(48, 1), checkpoint=checkpoint)
    return model, history


def assert_equal_weights(one, other):
    for mine, its in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_total_loss_is_that_of_detection_and_of_both_softmaxes_weighted(smoothing):
    model, images = primary(), striped(24, 0)
    # Copies: batch normalisation of a training step takes the statistics of its batch.
    features = keras.Model(model.input, [model.get_layer(name).output for name in LAYERS])
    seen = [part.numpy().mean(axis=(1, 2)) for part in features(images.inputs.array, training=True)]
    parameters = parameters_of(epochs=1, batch_size=24, learning_rate=1e-9, label_smoothing=smoothing)
    softmax = AuxiliarySoftmax(model, LAYERS, SOURCES, 1.0, parameters.seed)
    numbers = [sorted(SOURCES).index(source) for source in images.sources]
    shares = np.eye(3)[numbers] * (1 - smoothing) + smoothing / 3
    expected = 0.0
    for part, kernel, bias in zip(seen, softmax.get_weights()[::2], softmax.get_weights()[1::2], strict=True):
        losses = -(shares * special.log_softmax(part @ kernel + bias, axis=1)).sum(axis=1)
        expected += 0.3 * np.mean(images.weights * losses)
    _, history = trained(parameters, images)
    assert history.total_loss[0] - history.loss[0] == pytest.approx(expected, rel=1e-4)


def test_the_auxiliary_task_changes_what_is_learnt_and_is_learnt_itself():
    (plain, without), (helped, history) = trained(parameters_of(auxiliary=None)), trained(parameters_of(epochs=6))
    assert without.total_loss == []
    assert (plain.get_weights()[0] != helped.get_weights()[0]).any()
    added = np.array(history.total_loss) - np.array(history.loss)
    assert added[-1] < 0.8 * added[0]


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_a_killed_training_is_taken_up_bit_by_bit(tmp_path, decay):
    parameters = parameters_of(epochs=4, passes=2, schedule="cosine", sampling="sources", weight_decay=decay)
    whole, _ = trained(parameters)

    class Killed(StoredInputs):
        def in_epoch(self, epoch):
            if epoch == 5:
                raise KeyboardInterrupt
            return self

    checkpoint = Checkpoint(tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        trained(parameters, striped(96, 0, Killed), checkpoint)
    taken_up, history = trained(parameters, checkpoint=checkpoint)
    assert len(history.total_loss) == 4
    assert_equal_weights(whole, taken_up)


def test_a_learner_that_begins_again_forgets_what_its_softmax_learnt():
    model = primary()
    start, learner = model.get_weights(), Learner(model, parameters_of(), task=TASK)
    first, second = [], []
    for losses in (first, second):
        learner.begin(start)
        losses.extend(learner.run_epoch(striped(96, 0), epoch) for epoch in range(2))
    assert first == second


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_losses_in_16_bits_are_those_of_float32_up_to_rounding(precision):
    exact, rounded = (trained(parameters_of(precision=name))[1] for name in ("float32", precision))
    for name in ("loss", "total_loss"):
        assert getattr(rounded, name) != getattr(exact, name)
        np.testing.assert_allclose(getattr(rounded, name), getattr(exact, name), rtol=0.03, err_msg=name)


def test_a_strategy_trains_the_same():
    alone, expected = trained(parameters_of(weight_decay=0.01))
    replicas = Replicas(tf.distribute.MirroredStrategy(["CPU:0"]))
    mirrored, history = trained(parameters_of(weight_decay=0.01), replicas=replicas)
    np.testing.assert_allclose(history.total_loss, expected.total_loss, rtol=1e-4)
    for mine, its in zip(alone.weights, mirrored.weights, strict=True):
        if mine.name == "kernel":
            np.testing.assert_allclose(mine, its, atol=2e-3)


def test_images_whose_sources_are_not_known_are_refused():
    unknown = dataclasses.replace(striped(24, 0), sources=None)
    with pytest.raises(ValueError, match="auxiliary: must be none where the sources"):
        trained(parameters_of(), unknown)
    other = dataclasses.replace(striped(24, 0), sources=np.array(["scanner"] * 24))
    with pytest.raises(ValueError, match="scanner must be among camera, gan, phone"):
        trained(parameters_of(), other)


def test_one_source_is_nothing_to_tell_apart():
    with pytest.raises(ValueError, match="sources: must be at least two to tell apart, got camera"):
        AuxiliarySoftmax(primary(), LAYERS, ["camera"], 0.3, 0)


# --- the module that is left in the end ---


@pytest.fixture(scope="module")
def modules(splits):
    """Primary modules that were trained without and with the auxiliary task."""
    auxiliary = PARAMETERS.model_copy(update={"auxiliary": AUXILIARY})
    return [train_primary(Training(splits, INPUTS, one), FixedTransform()) for one in (PARAMETERS, auxiliary)]


def test_the_trained_model_is_exactly_one_without_the_task(modules, tmp_path):
    plain, helped = modules
    assert helped.model.to_json() == plain.model.to_json()
    descriptions = [artifacts.write_module(tmp_path / str(number), one) for number, one in enumerate(modules)]
    assert descriptions[0].parameters == descriptions[1].parameters
    reread = artifacts.read_model(tmp_path / "1")
    assert [weight.path for weight in reread.weights] == [weight.path for weight in plain.model.weights]
    assert_equal_weights(reread, helped.model)


def test_its_history_holds_both_losses(modules, tmp_path):
    artifacts.write_run(tmp_path, modules[1])
    history = artifacts.read_history(tmp_path)
    assert len(history["total_loss"]) == len(history["loss"]) == 2
    assert all(total > loss for total, loss in zip(history["total_loss"], history["loss"], strict=True))


def test_a_head_trains_on_its_features_and_touches_nothing_of_it(modules, splits):
    before = modules[1].model.get_weights()
    training = Training(splits, INPUTS, PARAMETERS, learners=LearnerPool())
    features = extract_middle_features(modules[1].model, training, FixedTransform())
    train_head(training, STRIPES, features)
    for mine, its in zip(before, modules[1].model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_sources_of_other_splits_need_not_be_in_the_train_split(splits):
    train_split = splits["train"].select(splits["train"].sources != STRIPES)
    train_split = dataclasses.replace(train_split, images=_images(splits["train"], train_split))
    parameters = PARAMETERS.model_copy(update={"auxiliary": AUXILIARY, "epochs": 1})
    found = train_primary(Training({**splits, "train": train_split}, INPUTS, parameters), FixedTransform())
    assert STRIPES in found.scores["test"].sources
    assert len(found.history.total_loss) == 1


def _images(split, kept):
    from components.training.encoded_images import EncodedImages
    from components.training.examples import image_bytes

    by_path = dict(zip(split.paths.tolist(), image_bytes(split).as_numpy_iterator(), strict=True))
    return EncodedImages([[by_path[path] for path in kept.paths.tolist()]])


def test_progress_reports_the_loss_of_detection_and_the_total(caplog):
    with caplog.at_level(logging.INFO, "components.training.loop"):
        _, history = trained(parameters_of(epochs=1))
        trained(parameters_of(epochs=1, auxiliary=None))
    with_task, without = [record for record in caplog.records if hasattr(record, "training_progress")]
    assert with_task.training_progress["loss"] == history.loss[0]
    assert with_task.training_progress["total_loss"] == history.total_loss[0]
    assert f"loss {history.loss[0]:.4f} (total {history.total_loss[0]:.4f}), eval" in with_task.getMessage()
    assert "total_loss" not in without.training_progress
    assert "total" not in without.getMessage()
