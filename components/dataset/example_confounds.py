"""The confound check of a pipeline run: the same as preparation makes, on what examples record of their files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.dataset.compression import NOT_JPEG
from components.dataset.confounds import ConfoundReport, GivenFile, judge_confounds, measure_confounds
from components.dataset.parameters import ConfoundParameters
from components.examples import names
from components.examples.reading import NOT_RECORDED, read_batches

# Shares need no more, and records are shuffled; a larger dataset should not be read twice for them.
_MOST_RECORDS = 50_000
_BATCH = 256
_FEATURES = (
    *(names.LABEL, names.FORMAT, names.HEIGHT, names.WIDTH),
    *(names.GIVEN_HEIGHT, names.GIVEN_WIDTH, names.COLOUR_MODE, names.COMPRESSION, names.RECOMPRESSION),
)


@dataclass(frozen=True)
class RecordedFile:
    """The file that one example was made of.

    Attributes:
        given: The file as it was given.
        recompression: JPEG quality at which it was stored like every other one, 0 if it was not.
    """

    given: GivenFile
    recompression: int


def find_confounds(files: Iterable[RecordedFile], parameters: ConfoundParameters) -> ConfoundReport:
    """Measure what tells real from fake beside the picture, and judge it.

    Args:
        files: Files of all splits that are trained on, evaluated and tested.
        parameters: Limit from which a property counts; the action is left to the caller.
    """
    everything = list(files)
    figures = measure_confounds(file.given for file in everything)
    # One common JPEG step masks formats; images that went through different ones, or some through none, are not alike.
    qualities = {file.recompression for file in everything}
    return judge_confounds(figures, parameters, recompressed=len(qualities) == 1 and 0 not in qualities)


def read_given_files(paths: Sequence[str | Path]) -> Iterator[RecordedFile]:
    """Read what is recorded of up to 50,000 files; their images are not decoded.

    Args:
        paths: GZIP-compressed TFRecord files of tf.Examples with the features in `names.REQUIRED`.

    Yields:
        One file per example, in the order of the records. Where the size as given is not recorded it is that of the
        stored image.
    """
    for batch in read_batches(paths, _FEATURES, _BATCH, _MOST_RECORDS):
        for row in range(len(batch[names.LABEL])):
            yield _recorded({name: values[row] for name, values in batch.items()})


def _recorded(values: dict[str, bytes | int]) -> RecordedFile:
    file_format = _text(values[names.FORMAT])
    as_given = int(values[names.GIVEN_WIDTH]) != NOT_RECORDED
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
