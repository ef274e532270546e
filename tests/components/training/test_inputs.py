"""Model inputs by number: the same numbers wherever they are kept, and within the memory budget."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.training.examples import image_bytes
from components.training.inputs import (
    DecodedInputs,
    KeptInputs,
    SelectedInputs,
    Storage,
    image_inputs,
)
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
TEST_BYTES = 24 * 32 * 32 * 4
BATCHES = [np.array([5, 0, 5]), np.array([], np.int64), np.array([23]), np.arange(24)]


@pytest.fixture(scope="module")
def expected(splits):
    images = list(image_bytes(splits["test"]).as_numpy_iterator())
    return FixedTransform()(tf.constant(images))["dct"].numpy()


@pytest.fixture(params=[1, 0], ids=["in memory", "decoded whenever asked for"])
def inputs(request, splits):
    made = image_inputs(splits["test"], FixedTransform(), INPUTS, Storage(request.param))
    assert isinstance(made, KeptInputs if request.param else DecodedInputs)
    return made


def test_inputs_come_by_number_in_any_order_and_as_often_as_asked_for(inputs, expected):
    assert inputs.count == 24
    for _ in range(2):
        batches = list(inputs.batches(iter(BATCHES)))
        assert [len(batch) for batch in batches] == [3, 0, 1, 24]
        for indices, batch in zip(BATCHES, batches, strict=True):
            assert batch.shape[1:] == (32, 32, 1)
            np.testing.assert_allclose(batch, expected[indices], atol=1e-4)


def test_selected_inputs_are_those_of_the_chosen_images(inputs, expected):
    chosen = SelectedInputs(inputs, np.array([3, 7, 20]))
    assert chosen.count == 3
    (batch,) = chosen.batches([np.array([2, 0])])
    np.testing.assert_allclose(batch, expected[[20, 3]], atol=1e-4)


def test_a_budget_grants_what_is_left_and_no_more():
    budget = Storage(1)
    assert [budget.grants(size) for size in (2**20 - 10, 11, 10, 1)] == [True, False, True, False]


def test_splits_share_one_budget(splits):
    budget = Storage(1)
    budget.free = TEST_BYTES
    kinds = [type(image_inputs(splits["test"], FixedTransform(), INPUTS, budget)) for _ in range(2)]
    assert kinds == [KeptInputs, DecodedInputs]


def test_past_the_budget_values_lie_in_a_file_without_a_name(tmp_path):
    storage = Storage(1, tmp_path)
    arrays = [storage.allocate((200_000,)) for _ in range(2)]  # 0.76 MB each
    assert [isinstance(array, np.memmap) for array in arrays] == [False, True]
    for array in arrays:
        array[:] = np.arange(200_000)
        np.testing.assert_array_equal(array, np.arange(200_000))
    assert list(tmp_path.iterdir()) == []


def test_encoded_images_past_the_budget_lie_in_a_file_without_a_name(splits, tmp_path):
    inputs = DecodedInputs(splits["test"], FixedTransform(), "dct", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(next(inputs.batches([np.arange(4)]))) == 4


@pytest.mark.parametrize("images", [23, 25])
def test_a_split_whose_files_changed_meanwhile_is_refused(splits, images):
    split = splits["test"]
    labels = np.zeros(images, np.int32)
    changed = dataclasses.replace(split, labels=labels)
    with pytest.raises(ValueError, match=f"split 'test': {images} labels but 24 images"):
        DecodedInputs(changed, FixedTransform(), "dct")


def test_kept_inputs_are_decoded_once_and_few_at_a_time(splits, expected):
    decoded = DecodedInputs(splits["test"], FixedTransform(), "dct")
    asked_for = []
    decode = decoded.decode
    decoded.decode = lambda batch: asked_for.extend(batch) or decode(batch)
    kept = KeptInputs(decoded, splits["test"].paths, (32, 32, 1))
    for indices in (np.array([4, 4]), np.array([4])):
        (batch,) = kept.batches([indices])
        np.testing.assert_allclose(batch, expected[indices], atol=1e-4)
        assert len(asked_for) == 8
    list(kept.batches([np.arange(24), np.arange(24)]))
    assert sorted(asked_for) == list(range(24))


def test_kept_inputs_do_not_depend_on_who_is_asked_for_first(splits):
    batches = [np.arange(3), np.array([5]), np.arange(24)[::-1]]
    ways = [
        KeptInputs(DecodedInputs(splits["test"], FixedTransform(), "dct"), splits["test"].paths, (32, 32, 1))
        for _ in range(2)
    ]
    list(ways[0].batches(batches))
    np.testing.assert_array_equal(*(next(one.batches([np.arange(24)])) for one in ways))
