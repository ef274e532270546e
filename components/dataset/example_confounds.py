"""What examples record of the files that they were made of; their images are not decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from components.dataset.confounds import NOT_JPEG, GivenFile
from components.examples import names

# Shares need no more, and records are shuffled; a larger dataset should not be read twice for them.
_MOST_RECORDS = 50_000
_BATCH = 256

_NOT_RECORDED = -1
_SPEC = {
    names.LABEL: tf.io.FixedLenFeature([], tf.int64),
    names.FORMAT: tf.io.FixedLenFeature([], tf.string),
    names.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    names.WIDTH: tf.io.FixedLenFeature([], tf.int64),
    # Datasets of before these were written lack them, and so may datasets that others made.
    names.GIVEN_HEIGHT: tf.io.FixedLenFeature([], tf.int64, _NOT_RECORDED),
    names.GIVEN_WIDTH: tf.io.FixedLenFeature([], tf.int64, _NOT_RECORDED),
    names.COLOUR_MODE: tf.io.FixedLenFeature([], tf.string, ""),
    names.COMPRESSION: tf.io.FixedLenFeature([], tf.string, ""),
    names.RECOMPRESSION: tf.io.FixedLenFeature([], tf.int64, 0),
}


@dataclass(frozen=True)
class RecordedFile:
    """One example's file.

    Attributes:
        given: the file as it was given.
        recompression: JPEG quality at which it was stored like every other one, 0 if it was not.
    """

    given: GivenFile
    recompression: int


def read_given_files(paths: Sequence[str]) -> Iterator[RecordedFile]:
    """Reads what is recorded of up to 50,000 files.

    Args:
        paths: gzip-compressed TFRecord files of tf.Examples with the features in `names.REQUIRED`.

    Yields:
        One an example, in the order of the records. Where the size as given is not recorded it is that of the stored
        image.
    """
    records = tf.data.TFRecordDataset(list(paths), compression_type="GZIP").take(_MOST_RECORDS).batch(_BATCH)
    for batch in records.map(lambda serialized: tf.io.parse_example(serialized, _SPEC)).as_numpy_iterator():
        for row in range(len(batch[names.LABEL])):
            yield _recorded({name: values[row] for name, values in batch.items()})


def _recorded(values: dict[str, bytes | int]) -> RecordedFile:
    file_format = _text(values[names.FORMAT])
    as_given = int(values[names.GIVEN_WIDTH]) != _NOT_RECORDED
    width, height = (names.GIVEN_WIDTH, names.GIVEN_HEIGHT) if as_given else (names.WIDTH, names.HEIGHT)
    # Of a file that is no JPEG the compression is known without a record.
    compression = _text(values[names.COMPRESSION]) or (None if file_format == "JPEG" else NOT_JPEG)
    return RecordedFile(
        GivenFile(
            label=int(values[names.LABEL]),
            format=file_format,
            compression=compression,
            size=(int(values[width]), int(values[height])),
            colour_mode=_text(values[names.COLOUR_MODE]) or None,
        ),
        int(values[names.RECOMPRESSION]),
    )


def _text(value: bytes | int) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
