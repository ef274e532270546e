"""What the leave-one-generator-out evaluation leaves behind.

The ModelEvaluation artifact:
    open_set.json       all figures, for machines
    turns.npz           for each turn the scored images: source, path, claimed source, acceptance scores
"""

import json
from pathlib import Path

import numpy as np

from components.metrics.open_set_turns import OpenSetEvaluation, OpenSetTurn, to_document

FIGURES_FILE = "open_set.json"
TURNS_FILE = "turns.npz"

_SCORES = "scores/"


def write_evaluation(folder: Path, evaluation: OpenSetEvaluation) -> None:
    """Writes both files; the folder is made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(to_document(evaluation), indent=2, allow_nan=False)
    (folder / FIGURES_FILE).write_text(document + "\n")
    arrays: dict[str, np.ndarray] = {"split": np.array(evaluation.split)}
    for number, turn in enumerate(evaluation.turns):
        parts = {"left_out": np.array(turn.left_out), "sources": turn.sources, "paths": turn.paths}
        parts |= {"claimed": turn.claimed, **{f"{_SCORES}{name}": values for name, values in turn.scores.items()}}
        arrays |= {f"{number}/{part}": values for part, values in parts.items()}
    np.savez_compressed(folder / TURNS_FILE, allow_pickle=False, **arrays)


def read_evaluation(folder: Path) -> OpenSetEvaluation:
    """Reads turns.npz; the order of turns and scores is that in which they were written."""
    turns: list[OpenSetTurn] = []
    with np.load(folder / TURNS_FILE, allow_pickle=False) as arrays:
        while f"{len(turns)}/left_out" in arrays.files:
            prefix = f"{len(turns)}/"
            parts = {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
            scores = {name.removeprefix(_SCORES): values for name, values in parts.items() if name.startswith(_SCORES)}
            turns.append(
                OpenSetTurn(str(parts["left_out"]), parts["sources"], parts["paths"], parts["claimed"], scores)
            )
        return OpenSetEvaluation(str(arrays["split"]), turns)
