"""Three steps of training, number by number as the published implementation took them.

Golden data: weights and predictions of the published code (TensorFlow 2.15, its own Adam) after steps 1 and 3 on twelve
images of 128 px, starting from published weights.
"""

import keras
import numpy as np
import pytest
from PIL import Image

from components.models.primary import MIDDLE_LAYER
from components.models.published import read_published
from components.training.checkpoints import Checkpoint
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import Learner
from components.training.loop import train
from components.training.parameters import TrainingParameters

# Two implementations of the same convolutions differ in the last of float32's 24 bits (6e-8), more so after sums over
# 49,152 places, and Adam's first steps are lr * g / (|g| + 1e-7): where a gradient is about 1e-7 itself, its rounding
# decides the step. That is so for few weights, so nearly all must agree closely and every one within a step or two.
NOT_CLOSE = 0.02  # of the weights of a layer, and one of a small layer, may be further off than ...
CLOSE = 0.02  # ... this share of the learning rate a step
STEPS = 2.01  # and every one within this many learning rates a step: from +1 to -1
STATISTICS = 1e-4  # relative, of moving statistics
LOSS_OF_TWO, LOSS = 2e-5, 5e-4  # relative: of the first two steps, of all three
PREDICTIONS = 3e-3  # where they are near 0.5; a hundredth in the logit


class Recorder(Checkpoint):
    """Keeps the weights after every epoch; an epoch is one step here."""

    def __init__(self):
        self.weights = []

    def read(self, like):
        return None

    def write(self, state):
        self.weights.append([weight.copy() for weight in state.weights])


@pytest.fixture(scope="module")
def images(shared_folder):
    files = sorted((shared_folder / "reference" / "golden" / "images").glob("128_*.png"))
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    return pixels.astype(np.float32) / 127.5 - 1.0


def take_steps(model, inputs, targets, learning_rate):
    """Returns the loss of each of three steps, the weights after each, and the model after the last."""
    recorder = Recorder()
    labelled = LabelledInputs(StoredInputs(inputs), targets.astype(np.int32), np.ones(len(targets), np.float32))
    parameters = TrainingParameters(
        epochs=3, early_stopping=100, batch_size=len(targets), learning_rate=learning_rate, class_weights="none"
    )
    history = train(Learner(model, parameters), labelled, labelled, checkpoint=recorder)
    return history.loss, recorder.weights


def predictions_after_three_steps(model, weights, golden, inputs):
    """Of our weights, but with the published values of the biases whose gradient is nothing but rounding.

    In training batch normalisation undoes them; in inference it follows them only slowly.
    """
    model.set_weights(weights[-1])
    for layer in model.layers:
        if layer.name in before_normalisation(model):
            layer.bias.assign(golden[f"step3/{layer.name}/bias:0"])
    return Learner(model, TrainingParameters(batch_size=len(inputs))).scores(StoredInputs(inputs))


def before_normalisation(model):
    """Names of the layers whose output batch normalisation centres."""
    return {layer.name.replace("BNorm", "Conv") for layer in model.layers if "BNorm" in layer.name}


def assert_as_golden(model, weights, golden, step, learning_rate):
    values = dict(zip([id(weight) for weight in model.weights], weights, strict=True))
    for layer in model.layers:
        for weight in layer.weights:
            name = f"step{step}/{layer.name}/{weight.name}:0"
            ours, theirs = values[id(weight)], golden[name]
            if "moving" in weight.name:
                # Momentum 0.99 lets a hundredth of what biases differ by into the moving mean.
                np.testing.assert_allclose(ours, theirs, STATISTICS, STEPS * learning_rate * step / 100, err_msg=name)
                continue
            np.testing.assert_allclose(ours, theirs, 0.0, STEPS * learning_rate * step, err_msg=name)
            # Centring undoes a bias, so its gradient is zero but for rounding, which Adam blows up to full steps.
            if weight.name != "bias" or layer.name not in before_normalisation(model):
                further = np.abs(ours - theirs) > CLOSE * learning_rate * step
                assert further.sum() <= max(1, NOT_CLOSE * further.size), f"{name}: {further.sum()} of {further.size}"


def test_three_steps_of_a_primary_module(shared_folder, images):
    golden = np.load(shared_folder / "reference" / "golden" / "train" / "det_pixel.npz")
    model = read_published(shared_folder / "reference" / "weights" / "primary_ganfp.h5").primary
    losses, weights = take_steps(model, images, golden["y_det"], learning_rate=1e-3)
    np.testing.assert_allclose(losses, golden["step_metrics"][:, 0], rtol=LOSS)
    np.testing.assert_allclose(losses[:2], golden["step_metrics"][:2, 0], rtol=LOSS_OF_TWO)
    for step in (1, 3):
        assert_as_golden(model, weights[step - 1], golden, step, 1e-3)
    predictions = predictions_after_three_steps(model, weights, golden, images)
    np.testing.assert_allclose(predictions, golden["after3/pred0"], atol=PREDICTIONS)


def test_three_steps_of_a_head(shared_folder, images):
    golden = np.load(shared_folder / "reference" / "golden" / "train" / "att_pixel.npz")
    published = read_published(shared_folder / "reference" / "weights" / "attribution_ganfp_progan.h5")
    middle = keras.Model(published.primary.input, published.primary.get_layer(MIDDLE_LAYER).output)
    features = middle(images, training=False).numpy()
    losses, weights = take_steps(published.head, features, golden["y_att"], learning_rate=1e-4)
    column = golden["metrics_names"].tolist().index("aDecision_loss")
    np.testing.assert_allclose(losses, golden["step_metrics"][:, column], rtol=LOSS)
    np.testing.assert_allclose(losses[:2], golden["step_metrics"][:2, column], rtol=LOSS_OF_TWO)
    for step in (1, 3):
        assert_as_golden(published.head, weights[step - 1], golden, step, 1e-4)
    predictions = predictions_after_three_steps(published.head, weights, golden, features)
    np.testing.assert_allclose(predictions, golden["after3/pred1"], atol=PREDICTIONS)
