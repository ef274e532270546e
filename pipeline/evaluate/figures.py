"""Figures of an evaluation: every model of a servable, over every slice of the images, as one JSON document.

A figure that is not defined (no images, or one class only) is None, and its slice says why under `undefined`. Nothing
here divides by a count that may be 0.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.metrics.confusion import verdict_confusion
from components.metrics.scores import check_scores, roc_auc_interval, summarise
from pipeline.evaluate.scores import (
    PRIMARY,
    TEST_ONLY,
    UNPERTURBED,
    HeadMatch,
    Images,
    ServableScores,
)
from serving import contract

# Figures that a perturbation's effect is told by. A drop is the unperturbed figure minus the perturbed one: of the two
# errors at the end, which grow, it is negative.
DROPS = ("roc_auc", "average_precision", "balanced_accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5", "eer", "ece")


def evaluation_figures(scores: ServableScores) -> dict[str, Any]:
    """Computes all figures.

    Args:
        scores: what was said and what is true.

    Returns:
        Plain values for JSON:

        - `models`: of the primary module, then of every head: `name`, `task`, `threshold`, `matched` ("label",
          "instance", "architecture" or "absent"), `sources` (those it should claim), and `results`: perturbation ->
          `overall` (all images), `by_split`, `by_source`, `by_perturbation` (as the dataset was prepared), each slice
          as `slice_figures`; `confusion` as `confusion_figures`; and, except for "none", `drop`.
        - `verdicts`: perturbation -> `overall` and `by_split`, each as `verdict_figures`.

    Raises:
        ValueError: if a probability is not in 0..1 or a verdict is none that the servable can give.
    """
    truth = scores.ground_truth
    models: list[dict[str, Any]] = []
    for column in range(truth.shape[1]):
        match = None if column == 0 else scores.heads[column - 1]
        results: dict[str, dict[str, Any]] = {}
        for perturbation, answers in scores.answers.items():
            result = _model_figures(
                scores.images, truth[:, column], answers.raw[:, column], float(scores.thresholds[column])
            )
            if perturbation != UNPERTURBED:
                base = results[UNPERTURBED]["overall"]
                result["drop"] = {name: _difference(base[name], result["overall"][name]) for name in DROPS}
            results[perturbation] = result
        models.append({**_describe(match, scores), "results": results})
    everything = np.ones(scores.images.count, bool)
    verdicts = {
        perturbation: {
            "overall": verdict_figures(scores, perturbation, everything),
            "by_split": {
                split: verdict_figures(scores, perturbation, scores.images.splits == split)
                for split in _values(scores.images.splits)
            },
        }
        for perturbation in scores.answers
    }
    return {"models": models, "verdicts": verdicts}


def slice_figures(labels: np.ndarray, values: np.ndarray, threshold: float) -> dict[str, Any]:
    """Returns every metric of `summarise` for one slice, and what it rests on.

    Args:
        labels: integers [n], 0 or 1; n may be 0.
        values: floats [n], 0..1.
        threshold: operating point, 0..1.

    Returns:
        `images`, `positives`, `roc_auc`, `roc_auc_interval` ([low, high], 95 %), `average_precision`,
        `balanced_accuracy`, `tpr_at_fpr_1`, `tpr_at_fpr_5`, `eer`, `ece`, `true_positive_rate` and
        `false_positive_rate` at the threshold, and `undefined`: why figures are None, or None if none is.
    """
    labels, values = check_scores(labels, values)
    summary = summarise(labels, values, threshold)
    called = values >= threshold
    low, high = roc_auc_interval(labels, values)
    figures: dict[str, Any] = {"images": labels.size, "positives": int(labels.sum())}
    for name, value in summary.items():
        if name not in ("threshold", "count", "positives"):
            figures[name] = _defined(value)
        if name == "roc_auc":
            figures["roc_auc_interval"] = None if math.isnan(low) else [low, high]
    figures["true_positive_rate"] = _share(called[labels == 1])
    figures["false_positive_rate"] = _share(called[labels == 0])
    figures["undefined"] = _why_undefined(labels)
    return figures


def confusion_figures(labels: np.ndarray, values: np.ndarray, threshold: float) -> dict[str, Any]:
    """Returns the two-by-two confusion matrix of one model.

    Args:
        labels: integers [n], 0 or 1.
        values: floats [n], 0..1.
        threshold: operating point.

    Returns:
        `counts` [[true negatives, false positives], [false negatives, true positives]]: rows are the truth; `shares` of
        all images; and `accuracy`, `precision`, `recall`, `f1`, None where their denominator is 0.
    """
    labels, called = np.asarray(labels).astype(np.int64), np.asarray(values) >= threshold
    counts = np.bincount(2 * labels + called, minlength=4).reshape(2, 2)
    (true_negatives, false_positives), (false_negatives, true_positives) = counts.tolist()
    total = int(counts.sum())
    return {
        "counts": counts.tolist(),
        "shares": [[_ratio(count, total) for count in row] for row in counts.tolist()],
        "accuracy": _ratio(true_negatives + true_positives, total),
        "precision": _ratio(true_positives, true_positives + false_positives),
        "recall": _ratio(true_positives, true_positives + false_negatives),
        "f1": _ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives),
    }


def verdict_figures(scores: ServableScores, perturbation: str, chosen: np.ndarray) -> dict[str, Any]:
    """Returns how right the verdicts on some images are.

    Args:
        scores: what was said and what is true.
        perturbation: which answers.
        chosen: bool [n], which images.

    Returns:
        - `images`, `accuracy` (share of right verdicts; of a fake that no head stands for, `unknown_generator` is
          right) and `balanced_accuracy` (the mean of that share over the rows of the matrix that hold images). A
          contradiction is right of no image, and neither is `uncertain`: both stay in what the share is taken of.
        - `confusion`: `rows` (truth), `columns` (verdicts), `counts`, as `confusion.verdict_confusion`.
        - `contradictions`: `count` of images that the primary module calls real while a head claims them,
          `predicted_real`, `share_of_images`, and `share_of_predicted_real` (invalid attributions out of those that are
          predicted real); None where there are none to take a share of. An uncertain image is not predicted real.
        - `uncertain`, where the servable gives that verdict: `band` [lowest, highest] if it has one, `count`,
          `share_of_images`, and `accuracy_of_others`, the share of right verdicts among the images that are not
          uncertain; None without any.
        - `unknown_generator`: for `testonly_fakes` and for `fakes_without_head` their `images`, the `count` of them
          that got this verdict, and its `rate`.
    """
    images, heads = scores.images, scores.head_names
    labels, groups = images.labels[chosen], scores.true_groups[chosen]
    verdicts = scores.answers[perturbation].verdicts[chosen]
    # A source may be called "real" though it lies under fake/; as a row it must not look like a verdict.
    reserved = np.isin(groups, contract.RESERVED_VERDICTS) & (labels == contract.FAKE_LABEL)
    groups = np.where(reserved, np.char.add("fake/", groups), groups)
    can_be_uncertain = scores.can_be_uncertain
    rows, columns, matrix = verdict_confusion(groups.tolist(), verdicts.tolist(), heads, labels, can_be_uncertain)
    rights = [columns.index(row if row in columns else contract.VERDICT_UNKNOWN_GENERATOR) for row in rows]
    right = matrix[np.arange(len(rows)), rights]
    totals = matrix.sum(axis=1)
    filled = totals > 0
    uncertain = verdicts == contract.VERDICT_UNCERTAIN
    called_real = (scores.predictions(perturbation)[chosen, 0] == contract.REAL_LABEL) & ~uncertain
    contradicted = int((verdicts == contract.VERDICT_CONTRADICTION).sum())
    unknown = verdicts == contract.VERDICT_UNKNOWN_GENERATOR
    fake = labels == contract.FAKE_LABEL
    figures = {
        "images": labels.size,
        "accuracy": _ratio(int(right.sum()), labels.size),
        "balanced_accuracy": float((right[filled] / totals[filled]).mean()) if filled.any() else None,
        "confusion": {"rows": rows, "columns": columns, "counts": matrix.tolist()},
        "contradictions": {
            "count": contradicted,
            "predicted_real": int(called_real.sum()),
            "share_of_images": _ratio(contradicted, labels.size),
            "share_of_predicted_real": _ratio(contradicted, int(called_real.sum())),
        },
        "unknown_generator": {
            "testonly_fakes": _rate(unknown, fake & images.test_only[chosen]),
            "fakes_without_head": _rate(unknown, fake & ~np.isin(groups, heads)),
        },
    }
    if can_be_uncertain:
        count = int(uncertain.sum())
        figures["uncertain"] = {
            **({"band": list(scores.uncertain_band)} if scores.uncertain_band else {}),
            "count": count,
            "share_of_images": _ratio(count, labels.size),
            "accuracy_of_others": _ratio(int(right.sum()), labels.size - count),
        }
    return figures


def notes(document: Mapping[str, Any]) -> list[str]:
    """Returns sentences on what to mind when reading the figures of an evaluation's document."""
    said = []
    for model in document["models"]:
        name = model["name"]
        overall = model["results"][UNPERTURBED]["overall"]
        if model["matched"] == "architecture":
            said.append(
                f"{name} was matched at architecture level: it should claim {', '.join(model['sources'])}, "
                "the sources of that architecture in the dataset."
            )
        elif model["matched"] == "absent":
            said.append(
                f"{name} is no source and no architecture of the dataset: every image counts as not its own, and most "
                "of its figures are not defined."
            )
        elif overall["undefined"] and overall["images"]:
            said.append(f"{name}: {overall['undefined']} among those that were asked, so most figures are not defined.")
    if not document["images"]:
        said.append("No image was judged: no figure is defined.")
    if document["verdicts"][UNPERTURBED]["overall"]["contradictions"]["predicted_real"] == 0 and document["images"]:
        said.append("The primary module called no image real: the share of contradictions among them is not defined.")
    return said


def _describe(match: HeadMatch | None, scores: ServableScores) -> dict[str, Any]:
    if match is None:
        fakes = _values(scores.images.sources[scores.images.labels == contract.FAKE_LABEL])
        return {
            "name": PRIMARY,
            "task": "detection",
            "threshold": float(scores.thresholds[0]),
            "matched": "label",
            "sources": fakes,
        }
    return {
        "name": match.head,
        "task": "attribution",
        "threshold": float(scores.thresholds[1 + scores.heads.index(match)]),
        "matched": match.level,
        "sources": list(match.sources),
    }


def _model_figures(images: Images, labels: np.ndarray, values: np.ndarray, threshold: float) -> dict[str, Any]:
    """Returns the figures of one model, for one perturbation, over all slices."""

    def over(chosen: np.ndarray) -> dict[str, Any]:
        return slice_figures(labels[chosen], values[chosen], threshold)

    return {
        "overall": over(np.ones(images.count, bool)),
        "by_split": {split: over(images.splits == split) for split in _values(images.splits)}
        | _test_only_figures(images, labels, values, threshold),
        "by_source": {
            source: _source_figures(images, source, labels, values, threshold) for source in _values(images.sources)
        },
        "by_perturbation": {name: over(images.perturbations == name) for name in _values(images.perturbations) if name},
        "confusion": confusion_figures(labels, values, threshold),
    }


def _test_only_figures(images: Images, labels: np.ndarray, values: np.ndarray, threshold: float) -> dict[str, Any]:
    """Returns the figures of test-only sources, held against images of other splits where they lack a class."""
    chosen = images.test_only
    if not chosen.any():
        return {}
    present = set(labels[chosen].tolist())
    against = TEST_ONLY
    if present != {0, 1} and (others := ~chosen & ~np.isin(labels, list(present))).any():
        chosen, against = chosen | others, "other splits"
    return {TEST_ONLY: {**slice_figures(labels[chosen], values[chosen], threshold), "against": against}}


def _source_figures(
    images: Images, source: str, labels: np.ndarray, values: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Returns the figures of one source against the other class: a source by itself holds only one.

    The other class is taken from the same side, test-only or not; where that has no such image, from the other side.
    """
    own = images.sources == source
    positive = round(float(labels[own].mean()))
    other = labels != positive
    test_only = bool(images.test_only[own].all())
    same_side = other & (images.test_only == test_only)
    other = same_side if same_side.any() else other
    chosen = own | other
    return {
        **slice_figures(labels[chosen], values[chosen], threshold),
        "own_images": int(own.sum()),
        "label": positive,
        "real_or_fake": int(images.labels[own].max()),
        "test_only": test_only,
        "mean_probability": float(values[own].mean(dtype=np.float64)),
        "called": _share(values[own] >= threshold),
    }


def _values(array: np.ndarray) -> list[str]:
    return sorted({str(value) for value in array})


def _why_undefined(labels: np.ndarray) -> str | None:
    if not labels.size:
        return "no images"
    if labels.min() == labels.max():
        return f"no {'negative' if labels[0] else 'positive'} image"
    return None


def _difference(base: float | None, value: float | None) -> float | None:
    return None if base is None or value is None else base - value


def _rate(hits: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    count, total = int((hits & chosen).sum()), int(chosen.sum())
    return {"images": total, "count": count, "rate": _ratio(count, total)}


def _share(called: np.ndarray) -> float | None:
    return float(called.mean()) if called.size else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
