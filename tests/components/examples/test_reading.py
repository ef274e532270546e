"""What is read back of examples that were written without TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from components.examples import names
from components.examples.reading import NOT_RECORDED, feature_spec, read_batches, records
from components.examples.records import RecordWriter, encode_example


def write(path, first, count, **optional):
    with RecordWriter(path) as writer:
        for number in range(first, first + count):
            writer.write(encode_example({names.PATH: f"{number}".encode(), names.LABEL: number % 2, **optional}))
    return path


@pytest.fixture
def files(tmp_path):
    return [write(tmp_path / "b.gz", 3, 4), write(tmp_path / "a.gz", 0, 3)]


def test_files_are_read_in_the_order_of_their_names(files):
    batches = list(read_batches(files, (names.PATH, names.LABEL), 5))
    assert [len(batch[names.PATH]) for batch in batches] == [5, 2]
    assert np.concatenate([batch[names.PATH] for batch in batches]).tolist() == [b"%d" % n for n in range(7)]
    labels = np.concatenate([batch[names.LABEL] for batch in batches])
    assert labels.dtype == np.int64
    assert labels.tolist() == [n % 2 for n in range(7)]


def test_reading_ends_where_it_is_told_to(files):
    assert [len(batch[names.LABEL]) for batch in read_batches(files, (names.LABEL,), 4, most=6)] == [4, 2]


def test_records_parse_to_the_same_inside_a_dataset(files):
    spec = feature_spec((names.PATH,))
    parsed = records(files).batch(7).map(lambda serialized: tf.io.parse_example(serialized, spec)[names.PATH])
    assert next(iter(parsed)).numpy().tolist() == [b"%d" % n for n in range(7)]


def test_what_a_dataset_does_not_record_is_told_from_what_it_does(tmp_path):
    features = (names.GIVEN_WIDTH, names.COMPRESSION, names.RECOMPRESSION, names.PERTURBATION)
    (without,) = read_batches([write(tmp_path / "a.gz", 0, 1)], features, 1)
    assert [without[name][0] for name in features] == [NOT_RECORDED, b"", 0, b""]
    recorded = {names.GIVEN_WIDTH: 40, names.COMPRESSION: b"quality 75", names.RECOMPRESSION: 90}
    (with_all,) = read_batches([write(tmp_path / "b.gz", 0, 1, **recorded)], features, 1)
    assert [with_all[name][0] for name in features] == [40, b"quality 75", 90, b""]


def test_a_feature_that_every_dataset_has_is_missed(files):
    with pytest.raises(tf.errors.InvalidArgumentError, match=names.SOURCE):
        list(read_batches(files, (names.SOURCE,), 4))


def test_a_truncated_file_is_an_error(files):
    files[0].write_bytes(files[0].read_bytes()[:-20])
    with pytest.raises(tf.errors.OpError):
        list(read_batches(files, (names.LABEL,), 4))
