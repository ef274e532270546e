import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from components.training.examples import SplitStore, image_bytes, read_split
from tests.support.images import REAL, SMOOTH, STRIPES, encode, write_examples

COUNT = 10


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


def test_images_that_are_read_along_are_those_of_the_files(numbered_split):
    split = read_split("train", numbered_split.files, with_images=True)
    expected = list(image_bytes(numbered_split).as_numpy_iterator())
    assert split.images.take(np.arange(split.count)) == expected
    assert split.images.take(np.array([4, 0, 4])) == [expected[4], expected[0], expected[4]]
    assert split.paths.tolist() == numbered_split.paths.tolist()


def test_a_kept_split_is_read_once_until_a_file_changes(numbered_split, tmp_path):
    copies = [str(shutil.copy(file, tmp_path)) for file in numbered_split.files]
    store = SplitStore()
    first = store.get("train", copies)
    assert store.get("train", copies, tmp_path) is first
    os.utime(copies[0], ns=(1, 1))
    assert store.get("train", copies) is not first


def test_only_the_newest_splits_are_kept(numbered_split):
    store = SplitStore()
    first = store.get("train", numbered_split.files)
    for name in ("eval", "test", "testonly"):
        store.get(name, numbered_split.files)
    assert store.get("train", numbered_split.files) is not first
