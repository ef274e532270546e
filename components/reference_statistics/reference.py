"""What the served model was judged on, measured as requests are: the images of a split, and the servable's answers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.examples import names
from components.examples.reading import NOT_RECORDED
from components.servable.asking import ask
from serving import contract
from serving.request_log.columns import ImageColumns, measure
from serving.request_log.entries import Answered

_QUALITY = re.compile(r"quality (\d+)")
_FEATURES = (names.IMAGE_BYTES, names.FORMAT, names.GIVEN_HEIGHT, names.GIVEN_WIDTH, names.COMPRESSION)


def judged_rows(servable: Path, files: Sequence[str], most: int) -> Iterator[tuple[ImageColumns, Answered]]:
    """Measures the images of a split, and asks the servable about them.

    Format, size and quality are those of the files as they were given to `prepare`, since users send files and not
    windows; the frequencies are those of the stored window, which is what the models see of a request too. Bytes are
    not recorded of given files, and left out.

    Args:
        servable: directory that holds saved_model.pb.
        files: GZIP-compressed TFRecord files of tf.Example; their records are shuffled.
        most: images to look at.

    Yields:
        what was measured and answered of each.
    """
    for rows, outputs in ask(servable, files, _FEATURES, most):
        for row in range(len(rows[names.FORMAT])):
            recorded = {name: values[row] for name, values in rows.items()}
            yield _given(recorded), _answered({name: values[row] for name, values in outputs.items()})


def _given(recorded: dict[str, Any]) -> ImageColumns:
    stored = measure(recorded[names.IMAGE_BYTES])
    as_given = int(recorded[names.GIVEN_WIDTH]) != NOT_RECORDED
    compression = recorded[names.COMPRESSION].decode("utf-8", "replace")
    quality = _QUALITY.search(compression)
    return replace(
        stored,
        format=recorded[names.FORMAT].decode("utf-8", "replace"),
        height=int(recorded[names.GIVEN_HEIGHT]) if as_given else stored.height,
        width=int(recorded[names.GIVEN_WIDTH]) if as_given else stored.width,
        jpeg_quality=int(quality[1]) if quality else None if compression else stored.jpeg_quality,
        bytes=None,
    )


def _answered(outputs: dict[str, Any]) -> Answered:
    sources = [name.decode("utf-8") for name in outputs[contract.OUTPUT_SOURCE_NAMES].tolist()]
    probabilities = [float(value) for value in outputs[contract.OUTPUT_SOURCE_PROBABILITIES]]
    return Answered(
        model=contract.DEFAULT_MODEL_NAME,
        version=None,
        fake_probability=float(outputs[contract.OUTPUT_FAKE_PROBABILITY]),
        source_probabilities=dict(zip(sources, probabilities, strict=True)),
        verdict=outputs[contract.OUTPUT_VERDICT].decode("utf-8"),
    )
