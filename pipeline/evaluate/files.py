"""The folder that an evaluation writes: arrays, rows, figures, pictures and the report, all of it or nothing.

REPORT/
  report.html            self-contained
  metrics.json           every figure (`figures.py`)
  images.jsonl           one line an image, in the order of the arrays' rows
  raw_predictions.npy    float32 [n, 1 + heads]: detection, then each head
  predictions.npy        int8    [n, 1 + heads]: the same, called at the servable's own operating points
  ground_truth.npy       int8    [n, 1 + heads]
  refused.jsonl          one line an image that could not be judged, with the reason
  plots/*.png            ROC and precision-recall curves, confusion matrices
  perturbed/<name>/      the arrays and images.jsonl again, with every image under this perturbation
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluate.pictures import confusion_png, precision_recall_png, roc_png
from pipeline.evaluate.scores import UNPERTURBED, ServableScores
from serving import atomic

FORMAT = "genattr evaluation 1"  # how a folder of ours is told from any other

REPORT, METRICS, IMAGES, REFUSED = "report.html", "metrics.json", "images.jsonl", "refused.jsonl"
RAW, PREDICTIONS, TRUTH = "raw_predictions.npy", "predictions.npy", "ground_truth.npy"
PLOTS, PERTURBED = "plots", "perturbed"
_OURS = frozenset({REPORT, METRICS, IMAGES, REFUSED, RAW, PREDICTIONS, TRUTH, PLOTS, PERTURBED})


def require_replaceable(folder: Path) -> None:
    """Checks that nothing but an earlier evaluation would be overwritten.

    Args:
        folder: where a report is to be written; may be missing.

    Raises:
        ValueError: if it is a file, or a folder that holds anything else than an evaluation.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder}: must be a folder, or not be there; a file stands there. Name another one with -o.")
    strange = sorted(entry.name for entry in folder.iterdir() if entry.name not in _OURS)
    if strange or (any(folder.iterdir()) and not _is_evaluation(folder)):
        raise ValueError(
            f"{folder}: must be new, empty, or an earlier evaluation, which is replaced; it holds "
            f"{', '.join(strange[:3]) or 'no metrics.json of ours'}. Name another one with -o."
        )


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Provide a temporary directory to write into, and put it in the place of `folder` when the block ends.

    Args:
        folder: Directory that is made or replaced, as `require_replaceable` allows.

    Yields:
        The temporary directory. It is removed if the block fails, and `folder` is then as it was.
    """
    folder = folder.resolve()
    with atomic.replace_directory(folder) as staging:
        yield staging
        require_replaceable(folder)  # again: evaluating takes a while


def write_scores(folder: Path, scores: ServableScores, refused: Sequence[Mapping[str, str]]) -> None:
    """Writes arrays and rows.

    Args:
        folder: an existing folder.
        scores: what was said and what is true.
        refused: of each image that could not be judged: path, source, split, reason.
    """
    truth = scores.ground_truth
    for perturbation, answers in scores.answers.items():
        inside = folder if perturbation == UNPERTURBED else folder / PERTURBED / perturbation
        inside.mkdir(parents=True, exist_ok=True)
        np.save(inside / RAW, answers.raw.astype(np.float32), allow_pickle=False)
        np.save(inside / PREDICTIONS, scores.predictions(perturbation), allow_pickle=False)
        np.save(inside / TRUTH, truth, allow_pickle=False)
        images = scores.images
        columns = (images.paths, images.splits, images.sources, images.labels, images.perturbations, answers.verdicts)
        with (inside / IMAGES).open("w", encoding="utf-8") as file:
            for path, split, source, label, prepared, verdict in zip(*columns, strict=True):
                row = {"path": path, "split": split, "source": source, "label": int(label), "verdict": verdict}
                if prepared:
                    row["perturbation"] = prepared
                file.write(json.dumps({key: _plain(value) for key, value in row.items()}, ensure_ascii=False) + "\n")
    with (folder / REFUSED).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in refused)


def write_metrics(folder: Path, document: Mapping[str, Any]) -> None:
    """Writes metrics.json: plain values without NaN, so that any JSON reader takes it."""
    text = json.dumps({"format": FORMAT, **document}, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / METRICS).write_text(text + "\n", encoding="utf-8")


def write_pictures(folder: Path, scores: ServableScores, document: Mapping[str, Any]) -> None:
    """Writes curves and confusion matrices as PNG files into `plots/`.

    Args:
        folder: an existing folder.
        scores: what was said and what is true.
        document: the figures, as `figures.evaluation_figures`.
    """
    plots = folder / PLOTS
    plots.mkdir()
    names = file_names([model["name"] for model in document["models"]])
    for column, model in enumerate(document["models"]):
        name, key = model["name"], names[column]
        sets = curve_sets(scores, column)
        (plots / f"roc_{key}.png").write_bytes(roc_png(sets, f"ROC of {name}"))
        (plots / f"precision_recall_{key}.png").write_bytes(
            precision_recall_png(sets, f"Precision and recall of {name}")
        )
        classes = class_names(model)
        for perturbation, result in model["results"].items():
            suffix = "" if perturbation == UNPERTURBED else f"_{perturbation}"
            (plots / f"confusion_{key}{suffix}.png").write_bytes(
                confusion_png(classes, classes, np.array(result["confusion"]["counts"]), f"{name}{suffix}", "truth")
            )
    for perturbation, verdicts in document["verdicts"].items():
        matrix = verdicts["overall"]["confusion"]
        suffix = "" if perturbation == UNPERTURBED else f"_{perturbation}"
        (plots / f"verdicts{suffix}.png").write_bytes(
            confusion_png(
                matrix["rows"], matrix["columns"], np.array(matrix["counts"]), f"Verdicts{suffix}", "true source"
            )
        )


def curve_sets(scores: ServableScores, column: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns what the curves of one model are drawn of: name -> labels and probabilities.

    All images come first; then, if there are any, all but the test-only ones; then each perturbation.
    """
    labels = scores.ground_truth[:, column]
    raw = {name: answers.raw[:, column] for name, answers in scores.answers.items()}
    sets = {"all images": (labels, raw[UNPERTURBED])}
    test_only = scores.images.test_only
    if test_only.any() and not test_only.all():
        sets["without test-only sources"] = (labels[~test_only], raw[UNPERTURBED][~test_only])
    return sets | {name: (labels, values) for name, values in raw.items() if name != UNPERTURBED}


def class_names(model: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what labels 0 and 1 of a model's question are called."""
    return ("real", "fake") if model["task"] == "detection" else ("others", model["name"])


def file_names(names: Sequence[str]) -> list[str]:
    """Returns a different, harmless file name for each name.

    Example:
        >>> file_names(["primary", "a/b", "a b"])
        ['primary', 'a_b', 'a_b-2']
    """
    given: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:80]
        key, number = plain, 1
        while key.lower() in {other.lower() for other in given}:  # some file systems do not tell cases apart
            number += 1
            key = f"{plain}-{number}"
        given.append(key)
    return given


def _is_evaluation(folder: Path) -> bool:
    try:
        document = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value
