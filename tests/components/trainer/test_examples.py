from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from components.features.parameters import InputParameters
from components.trainer.examples import image_bytes, model_inputs, read_split, training_batches
from components.trainer.parameters import TrainingParameters
from tests.images import REAL, SMOOTH, STRIPES, encode, write_examples
from tests.transforms import FixedTransform

COUNT = 10
CACHED, DECODED_EACH_EPOCH = 1024, 0


@pytest.fixture(scope="module")
def numbered_split(tmp_path_factory):
    """Ten images in three shards; image i is of one grey, 20 * i, so that it can be told from its pixels."""
    folder = tmp_path_factory.mktemp("numbered")
    rows = [
        (SMOOTH if number % 2 else REAL, f"image_{number}.png", encode(np.full((32, 32, 3), 20 * number, np.uint8)))
        for number in range(COUNT)
    ]
    for shard, part in enumerate((rows[:3], rows[3:7], rows[7:])):
        write_examples(folder / f"examples-{shard}.tfrecord.gz", part)
    # In an order that is not that of the names, as a glob may give it.
    return read_split("train", [str(folder / f"examples-{shard}.tfrecord.gz") for shard in (2, 0, 1)])


def numbers_of(images) -> list[int]:
    return [round(float(value)) for value in (np.mean(images, axis=(1, 2, 3)) + 1.0) * 127.5 / 20]


def batches(split, budget, batch_size=4, seed=1):
    numbers = np.arange(split.count)
    return training_batches(
        split,
        targets=numbers.astype(np.float32),
        weights=100.0 + numbers,
        transform=FixedTransform(),
        inputs=InputParameters(representation="pixel", size=32),
        parameters=TrainingParameters(batch_size=batch_size, memory_budget_mb=budget, seed=seed),
    )


def order_of(dataset) -> list[int]:
    return [number for images, _, _ in dataset for number in numbers_of(images.numpy())]


@pytest.fixture(params=[CACHED, DECODED_EACH_EPOCH], ids=["cached", "decoded each epoch"])
def budget(request):
    return request.param


def test_a_split_gives_labels_sources_and_paths_in_the_order_of_its_images(numbered_split):
    assert numbered_split.paths.tolist() == [f"image_{number}.png" for number in range(COUNT)]
    assert numbered_split.sources.tolist() == [REAL, SMOOTH] * (COUNT // 2)
    assert numbered_split.labels.tolist() == [0, 1] * (COUNT // 2)
    images = [tf.io.decode_png(encoded)[0, 0, 0] // 20 for encoded in image_bytes(numbered_split)]
    assert [int(image) for image in images] == list(range(COUNT))


def test_a_split_counts_its_images_and_names_its_sources_once(splits):
    assert (splits["train"].count, splits["eval"].count, splits["test"].count) == (72, 27, 24)
    assert splits["train"].source_names == (REAL, SMOOTH, STRIPES)


def test_a_split_without_an_image_is_refused_by_name(tmp_path):
    write_examples(tmp_path / "examples-0.tfrecord.gz", [])
    with pytest.raises(ValueError, match=r"split 'eval': holds no image\. Prepare the dataset"):
        read_split("eval", [str(tmp_path / "examples-0.tfrecord.gz")])


def test_model_inputs_keep_the_order_and_the_last_partial_batch(numbered_split):
    transform = FixedTransform()
    dataset = list(model_inputs(numbered_split, transform, "pixel", batch_size=4))
    assert [len(batch) for batch in dataset] == [4, 4, 2]
    assert [number for batch in dataset for number in numbers_of(batch)] == list(range(COUNT))


def test_model_inputs_are_the_representation_that_was_asked_for(numbered_split):
    (batch,) = model_inputs(numbered_split, FixedTransform(), "dct", batch_size=COUNT)
    assert batch.shape == (COUNT, 32, 32, 1)


def test_every_epoch_sees_every_image_exactly_once(numbered_split, budget):
    dataset = batches(numbered_split, budget)
    for _ in range(3):
        assert Counter(order_of(dataset)) == Counter(range(COUNT))


def test_targets_and_weights_stay_with_their_images(numbered_split, budget):
    for _ in range(2):
        for images, targets, weights in batches(numbered_split, budget):
            numbers = numbers_of(images.numpy())
            assert targets.numpy().tolist() == numbers
            assert (weights.numpy() - 100.0).tolist() == numbers


def test_no_image_is_dropped_with_the_last_partial_batch(numbered_split, budget):
    assert [len(targets) for _, targets, _ in batches(numbered_split, budget)] == [4, 4, 2]


def test_every_epoch_has_an_order_of_its_own(numbered_split, budget):
    dataset = batches(numbered_split, budget)
    orders = [tuple(order_of(dataset)) for _ in range(3)]
    assert len({tuple(range(COUNT)), *orders}) == 4


def test_the_seed_decides_the_order(numbered_split, budget):
    first, again, other = (order_of(batches(numbered_split, budget, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_decoded_inputs_are_kept_only_within_the_memory_budget(numbered_split):
    calls = []

    class Counting(FixedTransform):
        def __call__(self, encoded):
            tf.py_function(lambda: calls.append(1), [], [])
            return super().__call__(encoded)

    def decodings(budget):
        calls.clear()
        dataset = training_batches(
            numbered_split,
            np.zeros(COUNT),
            np.ones(COUNT),
            Counting(),
            InputParameters(representation="pixel", size=32),
            TrainingParameters(batch_size=COUNT, memory_budget_mb=budget),
        )
        for _ in range(3):
            list(dataset)
        return len(calls)

    assert (decodings(CACHED), decodings(DECODED_EACH_EPOCH)) == (1, 3)
