"""Results of benchmarks/recipes.py: one JSON line for each finished piece, so that a killed run continues.

A piece is the primary module of a fold, one head of it, its turns of unknown generators, or one measurement with a
source left out. The file of a row is append-only; a line that a kill cut short is ignored, and its piece done again.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PRIMARY, HEAD, TURNS, UNSEEN, FEW = "primary", "head", "turns", "unseen", "few"


class Results:
    """Finished pieces of one row.

    Args:
        directory: Directory of result files; made if absent.
        row: Name of the row, which names the file.
        identity: Digest of everything that decides the figures: images, configuration, schedule.
    """

    def __init__(self, directory: Path, row: str, identity: str) -> None:
        self._path = directory / f"{re.sub(r'[^A-Za-z0-9]+', '_', row).strip('_')}.jsonl"
        self._row, self.identity = row, identity

    def get(self, fold: int, piece: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the figures of a piece: those of the file, else computed and appended to it.

        Args:
            fold: Number of the fold.
            piece: Name of the piece.
            compute: Function that returns its figures, JSON-serialisable.
        """
        key = {"row": self._row, "identity": self.identity, "fold": fold, "piece": piece}
        for record in self._records():
            if all(record.get(name) == value for name, value in key.items()):
                return record["figures"]
        figures = compute()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({**key, "figures": figures})
        # Begins a line of its own even where a kill left half of one.
        cut_short = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
        with self._path.open("a") as file:
            file.write(("\n" if cut_short else "") + line + "\n")
        return figures

    def _records(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue  # cut short by a kill
        return found


def summarise(folds: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the figures of a row.

    Args:
        folds: Figures of each fold by piece.

    Returns:
        Means over folds, but for the true-positive rate and ECE on images as they are, which are of the images of all
        folds together.
    """
    from components.metrics import scores as metrics

    primaries = [fold[PRIMARY] for fold in folds]
    labels, fake = (np.concatenate([one[name] for one in primaries]) for name in ("labels", "fake"))
    heads = sorted(piece for piece in folds[0] if piece.startswith(f"{HEAD}:"))
    turns = [fold[TURNS] for fold in folds if TURNS in fold]
    return {
        "roc_auc": _means([one["roc_auc"] for one in primaries]),
        "roc_auc_by_fold": [one["roc_auc"]["plain"] for one in primaries],
        "tpr_at_5_fpr": metrics.tpr_at_fpr(labels, fake, 0.05),
        "tpr_at_5_fpr_by_copy": _means([one["tpr_at_5_fpr"] for one in primaries]),
        "ece": metrics.expected_calibration_error(labels, fake),
        "ece_by_copy": _means([one["ece"] for one in primaries]),
        "heads": {name.partition(":")[2]: _means([fold[name]["roc_auc"] for fold in folds]) for name in heads},
        "unknown_recall": _means([one["recall"] for one in turns]) if turns else {},
        "unseen": {
            piece: figures for fold in folds for piece, figures in fold.items() if piece.startswith((UNSEEN, FEW))
        },
        "cpu_seconds": {
            "primary": primaries[-1]["cpu_seconds"],
            "heads": sum(folds[-1][name]["cpu_seconds"] for name in heads),
        },
    }


def header(kinds: Sequence[str]) -> str:
    """Return the head of the table of rows that are judged on these kinds of copies."""
    readable = [kind.replace("_", " ") for kind in kinds]
    columns = ["recipe", "folds", "ROC-AUC", *readable, "TPR at 5% FPR", "ECE", "highest ECE of copies"]
    columns += ["heads", *(f"heads, {kind}" for kind in readable), "unknown recall", "CPU-s a fold"]
    return "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def table_row(figures: dict[str, Any], kinds: Sequence[str]) -> str:
    """Return one row of the table."""
    heads, all_kinds = figures["heads"].values(), ("plain", *kinds)
    cells = [figures["recipe"], str(figures["folds"])]
    cells += [f"{figures['roc_auc'][kind]:.3f}" for kind in all_kinds]
    cells += [f"{figures['tpr_at_5_fpr']:.2f}", f"{figures['ece']:.3f}"]
    cells += [f"{max(figures['ece_by_copy'][kind] for kind in kinds):.3f}"]
    cells += [f"{np.mean([one[kind] for one in heads]):.3f}" if heads else "" for kind in all_kinds]
    cells += [", ".join(f"{score} {recall:.2f}" for score, recall in figures["unknown_recall"].items())]
    return "| " + " | ".join([*cells, f"{sum(figures['cpu_seconds'].values()):.0f}"]) + " |"


def _means(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
