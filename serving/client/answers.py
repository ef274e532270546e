"""What a client gets, whichever way it asks: an `Answer` an image, or a `PredictionError`.

Needs neither TensorFlow nor grpc.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from serving import contract
from serving.bad_rows import named_row


@dataclass(frozen=True)
class Heatmaps:
    """Where the evidence lies.

    Attributes:
        detection: float32 of shape (height, width): what each place contributes to "synthesised".
        sources: the same for each source.
    """

    detection: np.ndarray
    sources: dict[str, np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What the servable says of one image.

    Attributes:
        fake_probability: 0..1, that the image is synthesised. A float32, written with the fewest digits that read back
            as the same float32, so that every way of asking gives equal answers.
        source_probabilities: the same for each source: 0..1, that the image comes from it.
        verdict: a source's name, or one of `contract.RESERVED_VERDICTS`.
        heatmaps: only if the signature `explain` was asked.
        fake_probability_range: lowest and highest fake probability of the image and its mild re-savings, of a servable
            that judges these as well; else None.
    """

    fake_probability: float
    source_probabilities: dict[str, float]
    verdict: str
    heatmaps: Heatmaps | None = field(default=None, compare=False)
    fake_probability_range: tuple[float, float] | None = None


class PredictionError(Exception):
    """A batch was refused, or could not be computed.

    Args:
        code: name of the gRPC status code, e.g. "INVALID_ARGUMENT", whichever protocol was spoken.
        message: what is wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def bad_row(self) -> int | None:
        """The row that is at fault, from 0; None if the message names none."""
        named = named_row(self.message)
        return named[0] if named else None

    @property
    def reason(self) -> str:
        """The message without the row that it starts with."""
        named = named_row(self.message)
        return named[1] if named else self.message


class ServerError(PredictionError):
    """A server answered with an error, or with something that is not the contract's."""


class ServerUnreachableError(ServerError):
    """No server answers at the address."""


class ConnectionBrokenError(ServerError):
    """The connection ended before an answer came; what is at the other end may be no such server at all."""


class Predictor(Protocol):
    """Anything that answers for a batch of images: a server by gRPC or REST, or a servable in this process."""

    def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Asks for a batch.

        Args:
            images: encoded images.
            signature: `serving_default`, or `explain` for heatmaps as well.

        Returns:
            an answer for each image, in their order; none for an empty batch.

        Raises:
            PredictionError: if the batch was refused; one bad image refuses all, and `bad_row` names it.
        """


def answers_from_outputs(outputs: Mapping[str, Any], rows: int) -> list[Answer]:
    """Turns a servable's outputs into answers.

    Args:
        outputs: arrays or nested lists by output name, batch first; strings as bytes or str.
        rows: how many images were asked for.

    Returns:
        an answer for each row.

    Raises:
        ServerError: if an output of the contract is missing or not of its shape.
    """
    missing = [name for name in contract.PREDICTION_OUTPUTS if name not in outputs]
    if missing:
        raise ServerError("INTERNAL", f"answer lacks {', '.join(missing)}: the model does not keep the contract.")
    try:
        return [_answer(outputs, row) for row in _rows(outputs, rows)]
    except (TypeError, ValueError, IndexError) as error:
        raise ServerError("INTERNAL", f"answer is not of the contract's shape: {error}") from error


def _rows(outputs: Mapping[str, Any], rows: int) -> range:
    for name, values in outputs.items():
        if len(values) != rows:
            raise ValueError(f"{name} has {len(values)} rows for {rows} images")
    return range(rows)


def _answer(outputs: Mapping[str, Any], row: int) -> Answer:
    names = [_text(name) for name in outputs[contract.OUTPUT_SOURCE_NAMES][row]]
    probabilities = [_shortest(value) for value in outputs[contract.OUTPUT_SOURCE_PROBABILITIES][row]]
    heatmaps = None
    if contract.OUTPUT_DETECTION_HEATMAP in outputs:
        detection = np.asarray(outputs[contract.OUTPUT_DETECTION_HEATMAP][row], np.float32)
        sources = [np.asarray(values, np.float32) for values in outputs[contract.OUTPUT_SOURCE_HEATMAPS][row]]
        heatmaps = Heatmaps(detection, dict(zip(names, sources, strict=True)))
    span = outputs.get(contract.OUTPUT_FAKE_PROBABILITY_RANGE)
    lowest_and_highest = None
    if span is not None:
        lowest, highest = span[row]
        lowest_and_highest = (_shortest(lowest), _shortest(highest))
    return Answer(
        fake_probability=_shortest(outputs[contract.OUTPUT_FAKE_PROBABILITY][row]),
        source_probabilities=dict(zip(names, probabilities, strict=True)),
        verdict=_text(outputs[contract.OUTPUT_VERDICT][row]),
        heatmaps=heatmaps,
        fake_probability_range=lowest_and_highest,
    )


def _shortest(value: Any) -> float:
    return float(str(np.float32(value)))


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else value
