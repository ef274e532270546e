"""Scores of perturbed copies, as a servable gives them, and the file that keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from components.examples import names
from components.servable.asking import ask
from serving import contract

SCORES_FILE = "scores.npz"

_STRINGS = (names.PERTURBATION, names.PATH, names.SOURCE)
_FEATURES = (*_STRINGS, names.LABEL)


@dataclass(frozen=True, eq=False)
class CopyScores:
    """What a servable says of every copy of every image, ordered by perturbation, then path.

    Attributes:
        perturbation: strings [n], which copy it is; "clean" is the image as it was.
        path: strings [n], relative to the image tree.
        label: int64 [n], 0 real, 1 fake.
        source: strings [n].
        fake_probability: float32 [n].
        heads: strings [heads], the sources that the servable has a head for.
        source_probabilities: float32 [n, heads].
    """

    perturbation: np.ndarray
    path: np.ndarray
    label: np.ndarray
    source: np.ndarray
    fake_probability: np.ndarray
    heads: np.ndarray
    source_probabilities: np.ndarray


def score_copies(servable: Path, files: Sequence[str]) -> CopyScores:
    """Asks a servable about all copies.

    Args:
        servable: directory that holds saved_model.pb.
        files: GZIP-compressed TFRecord files of tf.Example, as PerturbedExamples writes them.

    Returns:
        The scores; the same whatever order the copies lie in.

    Raises:
        ValueError: if there are no copies.
    """
    batches = list(ask(servable, files, _FEATURES))
    if not batches:
        raise ValueError(f"files: must hold at least one copy, got {len(files)} files without any.")
    recorded = {name: np.concatenate([batch.recorded[name] for batch in batches]) for name in _FEATURES}
    fake, sources = (
        np.concatenate([batch.answered[output] for batch in batches])
        for output in (contract.OUTPUT_FAKE_PROBABILITY, contract.OUTPUT_SOURCE_PROBABILITIES)
    )
    perturbation, path, source = (_text(recorded[name]) for name in _STRINGS)
    order = np.lexsort((path, perturbation))
    return CopyScores(
        perturbation=perturbation[order],
        path=path[order],
        label=recorded[names.LABEL][order],
        source=source[order],
        fake_probability=fake[order],
        heads=_text(batches[0].answered[contract.OUTPUT_SOURCE_NAMES][0]),
        source_probabilities=sources[order],
    )


def write_copy_scores(scores: CopyScores, folder: Path) -> None:
    """Writes scores.npz; the folder is made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / SCORES_FILE, allow_pickle=False, **vars(scores))


def read_copy_scores(folder: Path) -> CopyScores:
    """Reads what `write_copy_scores` wrote."""
    with np.load(folder / SCORES_FILE, allow_pickle=False) as arrays:
        return CopyScores(**{field.name: arrays[field.name] for field in fields(CopyScores)})


def _text(values: np.ndarray) -> np.ndarray:
    return np.array([value.decode("utf-8") for value in values.tolist()], np.str_)
