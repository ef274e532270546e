"""Calibration on augmented copies: which images, how they look, and what is fitted on them."""

import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.leave_one_out.turns import leave_one_out
from components.metrics import calibration
from components.metrics.calibration import fit_calibration
from components.training.augmentation_parameters import AugmentationParameters
from components.training.augmented_inputs import AugmentedInputs
from components.training.calibration_copies import COPIES, of_whole_images, with_calibration_copies
from components.training.encoded_images import EncodedImages
from components.training.examples import Split
from components.training.inputs import Storage
from components.training.middle_features import extract_middle_features, repeated
from components.training.modules import inputs_of_images, train_head, train_primary
from components.training.parameters import TrainingParameters
from components.training.training import Training
from tests.support.images import REAL, SMOOTH, STRIPES, encode
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="residual", size=40)
AUGMENTATION = AugmentationParameters(window=32, crop="random", flip=True, jpeg=0.6)
PARAMETERS = TrainingParameters(
    epochs=2, batch_size=16, learning_rate=3e-3, seed=4, augmentation=AUGMENTATION, copies=2, calibration_copies=2
)


@pytest.fixture(autouse=True)
def few_images_suffice(monkeypatch):
    monkeypatch.setattr(calibration, "MINIMUM_IMAGES", 5)


@pytest.fixture(scope="module")
def splits():
    """Images of 48 px, larger than model and window; those of stripes_b have dark rows."""
    random, found = np.random.default_rng(7), {}
    for name, count in (("train", 24), ("eval", 9), ("test", 6)):
        sources = np.tile([REAL, SMOOTH, STRIPES], count)
        images = random.integers(0, 256, (len(sources), 48, 48, 3), np.uint8)
        images[sources == STRIPES, ::2] //= 3
        images[sources == SMOOTH] //= 2
        found[name] = Split(
            name,
            (),
            (sources != REAL).astype(np.int32),
            sources,
            np.array([f"{source}/{name}_{number:03d}.png" for number, source in enumerate(sources)]),
            EncodedImages([[encode(image) for image in images]]),
        )
    return found


@pytest.fixture(scope="module")
def transform():
    return FixedTransform(40)


@pytest.fixture(scope="module")
def training(splits):
    return Training(splits, INPUTS, PARAMETERS)


def logits_of(model, inputs):
    probabilities = model(inputs).numpy()[:, 0].astype(np.float64)
    return np.log(probabilities / (1.0 - probabilities))


def everything(inputs):
    return np.concatenate([np.asarray(batch) for batch in inputs.batches([np.arange(inputs.count)])])


def test_copies_are_all_images_of_the_eval_split_as_often_as_asked(training):
    copies, split = with_calibration_copies(training).splits[COPIES], training.splits["eval"]
    assert copies.paths.tolist() == split.paths.tolist() * 2
    assert copies.labels.tolist() == split.labels.tolist() * 2


@pytest.mark.parametrize(
    "changes",
    [{"calibration_copies": 0}, {"augmentation": AugmentationParameters()}, {"calibration": "none"}],
    ids=["none asked for", "no augmentation", "no calibration"],
)
def test_there_are_none_where_nothing_is_fitted_on_them(splits, changes):
    assert COPIES not in with_calibration_copies(Training(splits, INPUTS, PARAMETERS.model_copy(update=changes))).splits


def test_they_are_whole_images_augmented_as_in_training(training, transform):
    copies = everything(inputs_of_images(with_calibration_copies(training), transform)[COPIES])
    assert copies.shape[1:] == INPUTS.shape  # and not of the window
    alike = AugmentedInputs(training.splits["eval"], transform, INPUTS, of_whole_images(PARAMETERS), Storage(64))
    for number, part in enumerate(np.split(copies, 2)):
        np.testing.assert_array_equal(part, everything(alike.in_epoch(number)))
    other_seed = Training(training.splits, INPUTS, PARAMETERS.model_copy(update={"seed": 5}))
    assert (copies != everything(inputs_of_images(with_calibration_copies(other_seed), transform)[COPIES])).any()


def test_the_primary_module_is_calibrated_on_images_and_copies(training, splits, transform):
    plain = train_primary(Training(splits, INPUTS, PARAMETERS.model_copy(update={"calibration": "none"})), transform)
    images = transform(tf.constant(splits["eval"].images.take(np.arange(splits["eval"].count))))["residual"]
    copies = everything(inputs_of_images(with_calibration_copies(training), transform)[COPIES])
    labels = np.tile(splits["eval"].labels, 3)
    expected = fit_calibration(
        labels, np.concatenate([logits_of(plain.model, images), logits_of(plain.model, copies)]), copies=2
    )
    calibrated = train_primary(training, transform)
    assert calibrated.calibration.scale == pytest.approx(expected.scale, rel=1e-3)
    assert calibrated.calibration.shift == pytest.approx(expected.shift, rel=1e-2, abs=1e-3)
    assert "2 augmented copies of each" in calibrated.calibration.note
    assert sorted(calibrated.scores) == ["eval", "test"]
    without = train_primary(
        Training(splits, INPUTS, PARAMETERS.model_copy(update={"calibration_copies": 0})), transform
    )
    assert without.calibration.scale != pytest.approx(calibrated.calibration.scale, rel=1e-3)
    # Copies decide nothing but calibration.
    for one, other in zip(without.model.get_weights()[:-2], calibrated.model.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_heads_are_calibrated_on_images_and_copies(training, splits, transform):
    primary = train_primary(training, transform).model
    features = extract_middle_features(primary, training, transform)
    count = splits["eval"].count
    assert len(features[COPIES]) == 2 * count
    assert features[COPIES].shape[1:] == features["eval"].shape[1:] != features["train"].shape[1:]
    uncalibrated = PARAMETERS.model_copy(update={"calibration": "none"})
    plain = train_head(repeated(Training(splits, INPUTS, uncalibrated)), STRIPES, features_without_copies(features))
    logits = np.concatenate([logits_of(plain.model, features[name]) for name in ("eval", COPIES)])
    expected = fit_calibration(np.tile(splits["eval"].sources == STRIPES, 3).astype(int), logits, copies=2)
    head = train_head(repeated(training), STRIPES, features)
    assert head.calibration.scale == pytest.approx(expected.scale, rel=1e-3)
    assert sorted(head.scores) == ["eval", "test"]


def features_without_copies(features):
    return {name: array for name, array in features.items() if name != COPIES}


def test_copies_of_a_source_that_is_left_out_are_left_out_too(training, transform, monkeypatch):
    primary = train_primary(training, transform).model
    features = extract_middle_features(primary, training, transform)
    fitted = []

    def spied(labels, logits, copies=0):
        fitted.append((len(labels), copies))
        return fit_calibration(labels, logits, copies)

    monkeypatch.setattr("components.training.fitting.fit_calibration", spied)
    leave_one_out(repeated(training), [SMOOTH, STRIPES], features, "test")
    kept = (training.splits["eval"].sources != STRIPES).sum()
    assert fitted == [(3 * kept, 2)] * 2


def test_copies_are_no_further_images():
    labels = np.array([0] * 12 + [1] * 12)
    logits = np.linspace(-1, 1, 24)
    assert fit_calibration(labels, logits, copies=1).note.startswith(
        "fitted on 6 positive and 6 negative images, and 1"
    )
    refused = fit_calibration(labels, logits, copies=2)
    assert refused.scale == 1.0
    assert refused.note.startswith("not calibrated: 4 positive and 4 negative images")
