import gzip
from pathlib import Path

import pytest

from components.examples.records import RecordWriter, encode_example


def test_examples_are_what_tensorflow_parses():
    import tensorflow as tf

    features = {"image_bytes": bytes(range(256)) * 300, "label": 1, "zero": 0, "large": 2**62, "empty": b""}
    example = tf.train.Example.FromString(encode_example(features))
    found = {
        name: (feature.bytes_list.value or feature.int64_list.value)[0]
        for name, feature in example.features.feature.items()
    }
    assert found == features


def test_records_are_what_tensorflow_reads(tmp_path: Path):
    import tensorflow as tf

    records = [b"", b"x", bytes(100_000), "é".encode()]
    with RecordWriter(tmp_path / "file.gz") as writer:
        for record in records:
            writer.write(record)
    assert list(tf.data.TFRecordDataset(str(tmp_path / "file.gz"), "GZIP").as_numpy_iterator()) == records


def test_a_damaged_record_is_noticed(tmp_path: Path):
    import tensorflow as tf

    with RecordWriter(tmp_path / "file.gz") as writer:
        writer.write(b"some record")
    raw = bytearray(gzip.decompress((tmp_path / "file.gz").read_bytes()))
    raw[14] ^= 1
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(tmp_path / "file")))


def test_negative_integers_are_refused():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        encode_example({"label": -1})
