"""Training in 16 bits: the losses of float32, a float32 model, and an interruption that changes nothing."""

import keras
import numpy as np
import pytest

from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.training.checkpoints import Checkpoint
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import Learner
from components.training.loop import train
from components.training.parameters import TrainingParameters
from components.training.strategies import Replicas

# Relative, of each epoch's losses; bfloat16 keeps 8 bits of every value, and errors of a step enter all later ones.
PARITY = 0.03


def striped(count, seed):
    """Noise, every second image with faint stripes."""
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(count, 16, 16, 3)).astype(np.float32)
    targets = np.arange(count, dtype=np.int32) % 2
    images[targets == 1, :, ::2] += 0.5
    return LabelledInputs(StoredInputs(images), targets, np.ones(count, np.float32))


def trained(precision, epochs=3, checkpoint=None, network="paper"):
    model = build_primary((16, 16, 3), True, LayerParameters(network=network), seed=1)
    parameters = TrainingParameters(epochs=epochs, early_stopping=9, batch_size=16, precision=precision)
    return model, train(Learner(model, parameters), striped(96, 0), striped(64, 1), checkpoint=checkpoint)


@pytest.fixture(scope="module")
def exact():
    return trained("float32")


@pytest.fixture(scope="module")
def exact_blocks():
    return trained("float32", network="blocks")


@pytest.mark.parametrize(
    ("precision", "network"), [("bfloat16", "paper"), ("float16", "paper"), ("bfloat16", "blocks")]
)
def test_losses_are_those_of_float32_up_to_rounding(precision, network, exact, exact_blocks):
    _, history = trained(precision, network=network)
    for name in ("loss", "val_loss"):
        ours, theirs = getattr(history, name), getattr((exact_blocks if network == "blocks" else exact)[1], name)
        assert ours != theirs
        np.testing.assert_allclose(ours, theirs, rtol=PARITY, err_msg=name)


def test_what_is_trained_in_16_bits_is_a_float32_model():
    model, _ = trained("bfloat16", epochs=1)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    reread = keras.Model.from_config(model.get_config())
    reread.set_weights(model.get_weights())
    inputs = striped(8, 2).inputs
    np.testing.assert_allclose(
        Learner(reread, TrainingParameters(batch_size=8)).scores(inputs),
        Learner(model, TrainingParameters(batch_size=8)).scores(inputs),
        atol=1e-6,
    )


def test_a_network_of_blocks_learns(exact_blocks):
    losses = exact_blocks[1].loss
    assert losses[-1] < 0.5 * losses[0]
    assert exact_blocks[1].val_roc_auc[-1] > 0.6  # the moving statistics have seen 18 batches


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_interrupted_training_of_blocks_ends_with_the_same_weights(precision, tmp_path):
    """Dropout included, whose masks follow from a weight."""
    whole, _ = trained(precision, epochs=2, network="blocks")
    trained(precision, epochs=1, network="blocks", checkpoint=Checkpoint(tmp_path / "state"))
    continued, history = trained(precision, epochs=2, network="blocks", checkpoint=Checkpoint(tmp_path / "state"))
    assert len(history.loss) == 2
    assert int(continued.get_layer("dDropout").get_weights()[0]) > 0
    for mine, other in zip(continued.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_training_in_float16_goes_on_with_the_scale_of_its_loss(tmp_path):
    whole, _ = trained("float16", epochs=2)
    trained("float16", epochs=1, checkpoint=Checkpoint(tmp_path / "state"))
    taken_up, history = trained("float16", epochs=2, checkpoint=Checkpoint(tmp_path / "state"))
    assert len(history.loss) == 2
    for mine, other in zip(taken_up.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_without_a_gpu_inputs_are_not_copied_ahead_and_steps_not_compiled():
    replicas, arrays = Replicas(), [np.zeros(2), np.ones(2)]
    assert all(placed is array for placed, array in zip(replicas.placed(arrays), arrays, strict=True))
    assert replicas.compiled(striped) is striped
