"""Augmented inputs: the right images, other windows in each epoch, whatever the order of files; as serving computes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.training.augmentation_parameters import AugmentationParameters
from components.training.augmented_inputs import AugmentedInputs
from components.training.encoded_images import EncodedImages
from components.training.examples import Split, image_bytes
from components.training.inputs import Storage
from components.training.parameters import TrainingParameters
from tests.support.images import SIZE
from tests.support.transforms import FixedTransform

ALL = AugmentationParameters(crop="random", flip=True, jpeg=0.5, blur=0.3, noise=0.3)


def inputs_of(split, representation="residual", augmentation=ALL, megabytes=64, size=SIZE):
    parameters = InputParameters(representation=representation, size=size)
    training = TrainingParameters(augmentation=augmentation, seed=5)
    return AugmentedInputs(split, FixedTransform(size), parameters, training, Storage(megabytes))


def everything(inputs, count, batch=10):
    indices = [np.arange(start, min(start + batch, count)) for start in range(0, count, batch)]
    return np.concatenate([np.asarray(one) for one in inputs.batches(indices)])


@pytest.mark.parametrize("representation", ["pixel", "dct", "residual"])
def test_without_any_change_they_are_what_serving_sees(splits, representation):
    split = splits["eval"]
    found = everything(inputs_of(split, representation, AugmentationParameters()), split.count)
    expected = tf.function(FixedTransform())(tf.constant(list(image_bytes(split).as_numpy_iterator())))[representation]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_each_epoch_sees_other_windows_and_always_the_same_ones(splits):
    split = splits["eval"]
    inputs = inputs_of(split)
    first, second = (everything(inputs.in_epoch(epoch), split.count) for epoch in (0, 1))
    assert (first != second).any()
    again = everything(inputs_of(split).in_epoch(1), split.count, batch=7)
    np.testing.assert_array_equal(second, again)
    np.testing.assert_array_equal(everything(inputs, split.count), first)


def test_decoded_images_and_encoded_ones_give_the_same(splits):
    split = splits["eval"]
    kept, decoded_anew = (everything(inputs_of(split, megabytes=room), split.count) for room in (64, 0))
    np.testing.assert_array_equal(kept, decoded_anew)


def test_the_order_of_files_changes_nothing(splits):
    split = splits["eval"]
    order = np.random.default_rng(1).permutation(split.count)
    images = list(image_bytes(split).as_numpy_iterator())
    other = Split(
        "eval",
        (),
        split.labels[order],
        split.sources[order],
        split.paths[order],
        EncodedImages([[images[number] for number in order]]),
    )
    found = everything(inputs_of(other), split.count)
    np.testing.assert_array_equal(found, everything(inputs_of(split), split.count)[order])


def test_images_of_several_sizes_are_taken(splits):
    pictures = [np.random.default_rng(0).integers(0, 256, (height, 50, 3), np.uint8) for height in (SIZE, SIZE + 9)]
    split = dataclasses.replace(
        splits["eval"],
        labels=np.zeros(2, np.int32),
        sources=np.array(["a", "b"]),
        paths=np.array(["a", "b"]),
        images=EncodedImages([[tf.io.encode_png(picture).numpy() for picture in pictures]]),
    )
    found = everything(inputs_of(split, "pixel", AugmentationParameters()), 2)
    for window, picture in zip(found, pictures, strict=True):
        top, left = (picture.shape[0] - SIZE) // 2, (50 - SIZE) // 2
        np.testing.assert_allclose(window, picture[top : top + SIZE, left : left + SIZE] / 127.5 - 1, atol=1e-6)


def test_windows_may_be_smaller_than_the_model(splits):
    window = AugmentationParameters(window=32, crop="random")
    big = AugmentedInputs(
        dataclasses.replace(
            splits["eval"],
            labels=np.zeros(1, np.int32),
            sources=np.array(["a"]),
            paths=np.array(["a"]),
            images=EncodedImages([[tf.io.encode_png(np.zeros((64, 64, 3), np.uint8)).numpy()]]),
        ),
        FixedTransform(64),
        InputParameters(representation="residual", size=64),
        TrainingParameters(augmentation=window, seed=0),
        Storage(1),
    )
    assert everything(big, 1).shape == (1, 32, 32, 6)


@pytest.mark.parametrize(("representation", "window"), [("dct", 32), ("residual", 128)])
def test_a_window_that_the_model_cannot_do_with_is_refused(splits, representation, window):
    with pytest.raises(ValueError, match=r"augmentation\.window: must be"):
        inputs_of(splits["eval"], representation, AugmentationParameters(window=window), size=64)
