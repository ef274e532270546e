"""Copying a pushed servable to the models that come with the product: weights, card, and answers to hold it to."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.pusher.push import LINEAGE_FILE
from components.servable.card_file import read_card, write_card
from pipeline.model_card.describe import describe_servable
from pipeline.model_card.rendering import as_markdown
from pipeline.model_card.sections import Section, Table, card_sections
from pipeline.model_card.shipped_answers import ANSWERS_FILE, sample_answers
from pipeline.report.text import count, number
from serving import atomic
from serving.servable.trained_on import read_trained_on
from serving.servable.versions import find_version, list_versions

CARD = "README.md"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NOT_SHIPPED = {"Lineage", "Who made what from what", "Not known"}  # of one machine, nobody else's
_FIGURES = {
    "roc_auc": "ROC-AUC",
    "average_precision": "AP",
    "tpr_at_fpr_1": "TPR at 1% FPR",
    "tpr_at_fpr_5": "TPR at 5% FPR",
    "eer": "EER",
    "ece": "ECE",
}


@dataclass(frozen=True)
class Shipment:
    """A model as it was shipped.

    Attributes:
        version: Its version directory.
        size: Size of that in bytes.
        removed: Versions that were there before.
    """

    version: Path
    size: int
    removed: tuple[int, ...]


def ship(
    servable: Path, name: str, models: Path, again: str = "", evaluations: Mapping[str, Mapping[str, Any]] | None = None
) -> Shipment:
    """Copy the newest version of a servable, with its card and its answers; earlier versions of the model go.

    Args:
        servable: Version directory, or the directory of the versions.
        name: Name of the model: lower-case letters, digits, "_" and "-".
        models: Directory of the models that come with the product.
        again: Commands that train the model again, for its card; "" if none is known.
        evaluations: Name of a dataset -> content of metrics.json of its `genattr evaluate`, for the card.

    Returns:
        What was shipped.

    Raises:
        ServableError: If there is no servable.
        ValueError: If the name cannot be used, or the servable does not state the licence of its weights.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name: must be lower-case letters, digits, '_' and '-', got '{name}'. For example faces.")
    version = find_version(servable)
    stated = read_trained_on(version.path)
    if stated is None or stated.licence is None:
        raise ValueError(
            f"servable: {version.path} does not state the licence of its weights, so nobody may know what they may be "
            "used for. Set licences.weights in its configuration, and push it again with genattr run."
        )
    base, target = models / name, models / name / str(version.number)
    earlier = list_versions(base) if base.is_dir() else []
    with atomic.replace_directory(target) as staging:
        shutil.copytree(version.path, staging, dirs_exist_ok=True)
        _strip(staging)
    for each in earlier:
        if each.number != version.number:
            shutil.rmtree(each.path)
    answers = {"version": version.number, "images": sample_answers(target)}
    atomic.write_text(base / ANSWERS_FILE, json.dumps(answers, indent=2) + "\n")
    atomic.write_text(base / CARD, _card(target, name, again, evaluations or {}))
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return Shipment(target, size, tuple(each.number for each in earlier if each.number != version.number))


def _strip(version: Path) -> None:
    """Remove from a version directory what only the metadata store that it was pushed beside can make sense of."""
    (version / LINEAGE_FILE).unlink(missing_ok=True)
    card = read_card(version)
    if card is not None:
        for artifact in card["lineage"]["artifacts"]:
            artifact["uri"] = str(PurePosixPath(*PurePosixPath(artifact["uri"]).parts[-3:]))
        write_card(card, version)


def _card(version: Path, name: str, again: str, evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    described = describe_servable(version)
    sections = [section for section in card_sections(described) if section.title not in _NOT_SHIPPED]
    ways = (
        f"`genattr predict photo.jpg --model {name}`",
        f"`genattr serve {name} --ui`",
        f"`genattr evaluate {name} DATASET -o REPORT`",
        f"`primary: {{model: {name}}}` in a configuration adds heads for other generators to it",
    )
    sections[0] = Section("Use", (described.description.in_words(),), ways)
    sections += [_evaluation(dataset, document) for dataset, document in evaluations.items()]
    if again:
        sections.append(Section("Train it again", (f"`{again}`",)))
    return as_markdown(f"{name}, version {version.name}", sections)


def _evaluation(dataset: str, document: Mapping[str, Any]) -> Section:
    rows = [
        (
            model["name"],
            perturbation,
            count(result["overall"]["images"]),
            *(number(result["overall"][figure]) for figure in _FIGURES),
        )
        for model in document["models"]
        for perturbation, result in model["results"].items()
    ]
    splits = (f"{count(images)} of {split}" for split, images in document["dataset"]["splits"].items() if images)
    sentence = f"By genattr evaluate, on {count(document['images'])} images: {', '.join(splits)}."
    headings = ("model", "perturbation", "images", *_FIGURES.values())
    return Section(f"Measured on {dataset}", (sentence,), tables=(Table("Every model", headings, tuple(rows)),))
