"""Does the servable answer, over the wire, what the trained models say?"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.errors import StepRefusedError
from components.servable_validator.parameters import ValidationParameters
from components.servable_validator.process import server_process
from components.training.examples import Split, image_bytes
from serving import contract
from serving.client import Answer, Predictor, open_predictor

_BATCH = 16


@dataclass(frozen=True)
class ValidationRecord:
    """What was compared.

    Attributes:
        images: number of images asked about, by gRPC and by REST each.
        largest_difference: between a served probability and that of the trained model.
        verdicts: how often each verdict was given.
    """

    images: int
    largest_difference: float
    verdicts: Mapping[str, int]


def validate(
    servable: Path, primary: Path, heads: Mapping[str, Path], split: Split, parameters: ValidationParameters
) -> ValidationRecord:
    """Starts the servable in a fresh process, asks it, and compares with the models as they were trained.

    Args:
        servable: directory that holds the assembled saved_model.pb.
        primary: SavedModel of the primary module as its trainer exported it.
        heads: source -> SavedModel of the head as its trainer exported it, in the order of the servable's outputs.
        split: images to ask about.
        parameters: how many, and how exact.

    Returns:
        What was compared.

    Raises:
        StepRefusedError: if the server does not start, or an answer differs; the message names image and model.
    """
    chosen = _spread(split, parameters.images)
    images = [image for index, image in enumerate(image_bytes(split).as_numpy_iterator()) if index in chosen]
    paths = split.paths[sorted(chosen)]
    expected = _expected(primary, heads, images)
    with tempfile.TemporaryDirectory(prefix="validation-") as folder:
        shutil.copytree(servable, Path(folder) / "1")
        with server_process(Path(folder), parameters.start_timeout) as addresses:
            with open_predictor(grpc=addresses["grpc"]) as predictor:
                by_grpc = _ask(predictor, images)
            with open_predictor(rest=addresses["rest"]) as predictor:
                by_rest = _ask(predictor, images)
    difference = max(
        _compare("gRPC", by_grpc, expected, list(heads), paths, parameters.tolerance),
        _compare("REST", by_rest, expected, list(heads), paths, parameters.tolerance),
    )
    verdicts = [answer.verdict for answer in by_grpc]
    for path, grpc_verdict, rest_answer in zip(paths, verdicts, by_rest, strict=True):
        if grpc_verdict != rest_answer.verdict:
            raise StepRefusedError(f"{path}: verdict '{grpc_verdict}' by gRPC, '{rest_answer.verdict}' by REST.")
    return ValidationRecord(len(images), difference, {name: verdicts.count(name) for name in sorted(set(verdicts))})


def _spread(split: Split, count: int) -> set[int]:
    """Returns indices that take turns among the sources, so that each is asked about."""
    turns = np.zeros(split.count, np.int64)
    for source in split.source_names:
        members = np.flatnonzero(split.sources == source)
        turns[members] = np.arange(len(members))
    return set(np.argsort(turns, kind="stable")[:count].tolist())


def _expected(primary: Path, heads: Mapping[str, Path], images: Sequence[bytes]) -> np.ndarray:
    """Returns float32 (images, 1 + heads): the trained models' probabilities, the primary module's first."""
    columns = [_scores(primary, images, contract.OUTPUT_FAKE_PROBABILITY)]
    columns.extend(_scores(head, images, contract.OUTPUT_SOURCE_PROBABILITIES) for head in heads.values())
    return np.stack(columns, axis=1)


def _scores(model: Path, images: Sequence[bytes], output: str) -> np.ndarray:
    signature = tf.saved_model.load(str(model)).signatures[contract.SIGNATURE_DEFAULT]
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    return np.concatenate([signature(image_bytes=tf.constant(batch))[output].numpy().reshape(-1) for batch in batches])


def _ask(predictor: Predictor, images: Sequence[bytes]) -> list[Answer]:
    return [
        answer
        for start in range(0, len(images), _BATCH)
        for answer in predictor.predict(images[start : start + _BATCH])
    ]


def _compare(
    wire: str, answers: Sequence[Answer], expected: np.ndarray, sources: list[str], paths: np.ndarray, tolerance: float
) -> float:
    """Returns the largest difference; refuses one above the tolerance."""
    served_sources = list(answers[0].source_probabilities)
    if served_sources != sources:
        raise StepRefusedError(f"by {wire}, the servable answers for sources {served_sources}, trained were {sources}.")
    served = np.array([[answer.fake_probability, *answer.source_probabilities.values()] for answer in answers])
    difference = np.abs(served - expected)
    if not np.all(difference <= tolerance):  # written so that NaN is refused as well
        row, column = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        raise StepRefusedError(
            f"{paths[row]}: by {wire}, {['primary', *sources][column]} answers {served[row, column]:.6f}; the trained "
            f"model says {expected[row, column]:.6f} (tolerance {tolerance:g}). The servable is not what was trained."
        )
    return float(difference.max())
