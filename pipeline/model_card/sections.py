"""A model card in sections of sentences, points and tables, from which every format is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model_card.describe import DescribedServable
from pipeline.report.text import MISSING, count, number, share
from serving.servable.trained_on import TrainedOn

_REAL, _FAKE = "real", "fake"
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class Table:
    """A table: what it shows, headings, and rows of as many cells."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One section: its title, sentences, points of a list, and tables, in this order."""

    title: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def card_sections(described: DescribedServable) -> list[Section]:
    """Returns the sections of a card; those of which nothing is known are left out, and named in the last.

    Args:
        described: the servable.
    """
    card = described.card
    sections = [Section("Servable", (described.description.in_words(), str(described.description.version.path)))]
    if card is None:
        sections.append(Section("Operating points", tables=(_thresholds(described),)))
    else:
        sections += [
            Section("Intended use", points=tuple(card["intended_use"])),
            Section("Known limits", points=tuple(card["known_limits"])),
            _data(card["data"]),
            _figures(card),
            _figures_by_source(card["models"]),
            Section("Operating points", tables=(_points(card["models"]),)),
            _lineage(card["lineage"]),
        ]
    if described.trained_on is not None:
        sections.insert(1, licences(described.trained_on))
    if described.lineage:
        sections.append(_executions(described))
    if described.unknown:
        sections.append(Section("Not known", points=described.unknown))
    return sections


def licences(stated: TrainedOn) -> Section:
    """Return the section on training data and the terms that images and weights stand under."""
    rows = tuple(
        (source.name, source.label, count(source.images), source.licence or _NOT_STATED) for source in stated.sources
    )
    made = f"Trained by pipeline {stated.pipeline}{f', recipe {stated.recipe}' if stated.recipe else ''}"
    sentences = (f"{made}; pushed on {stated.date}.", f"Licence of the weights: {stated.licence or _NOT_STATED}.")
    table = Table("Training images", ("source", "class", "images", "origin and licence"), rows)
    return Section("Licences", sentences, tables=(table,))


def _thresholds(described: DescribedServable) -> Table:
    said = described.description
    rows = (("primary", number(said.detection, 4)), *((name, number(at, 4)) for name, at in said.sources.items()))
    return Table("Thresholds on the probability", ("model", "threshold"), tuple(rows))


def _data(spans: Sequence[Mapping[str, Any]]) -> Section:
    return Section("Data", tables=tuple(_span(span) for span in spans))


def _span(span: Mapping[str, Any]) -> Table:
    splits = ("train", "eval", "test", "testonly")
    rows = [
        (
            name,
            _FAKE if source["label"] else _REAL,
            *(count(source[split]) for split in splits),
            ", ".join(f"{kind} {count(images)}" for kind, images in source["formats"].items()),
        )
        for name, source in (span["sources"] or {}).items()
    ]
    about = ", ".join(f"{name} {value}" for name, value in span["preparation"].items() if value is not None)
    digest = f"digest {span['digest']}" if span["digest"] else "its manifest was not there"
    title = [
        f"Span {span['span']}: {digest}",
        f"trained on it: {', '.join(span['models'])}",
        *([about] if about else []),
    ]
    return Table("; ".join(title), ("source", "class", *splits, "formats as given"), tuple(rows))


def _figures(card: Mapping[str, Any]) -> Section:
    rows = []
    for model in (*card["models"], *card["left_out"]):
        if model["figures"] is None:
            continue
        overall = model["figures"]["overall"]
        rows.append(
            (
                model["name"],
                "yes" if model["blessed"] else "no, left out",
                f"{count(overall['images'])} ({count(overall['positives'])})",
                _interval(overall["roc_auc"], number),
                _interval(overall["true_positive_rate"], share),
                _interval(overall["false_positive_rate"], share),
                number(overall["average_precision"]),
                number(overall["balanced_accuracy"]),
                _calibration_error(overall),
            )
        )
    headings = ("model", "blessed", "images (positive)", "ROC-AUC", "TPR", "FPR", "AP", "balanced accuracy", "ECE")
    return Section(
        "Figures",
        ("On the test split, which neither training nor the choice of thresholds saw. In brackets: 95 % intervals.",),
        tables=(Table("Every model; rates at its threshold", headings, tuple(rows)),),
    )


def _figures_by_source(models: Sequence[Mapping[str, Any]]) -> Section:
    return Section("Figures by source", tables=tuple(_by_source(model) for model in models if model["figures"]))


def _by_source(model: Mapping[str, Any]) -> Table:
    rows = [
        (source, count(cell["images"]), _interval(cell["called"], share), _interval(cell["roc_auc"], number))
        for source, cell in model["figures"]["sources"].items()
    ]
    called = "called fake" if model["task"] == "detection" else f"called {model['name']}"
    return Table(model["name"], ("source", "images", called, "ROC-AUC against the other class"), tuple(rows))


def _points(models: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            model["name"],
            number(model["operating_point"]["threshold"], 4),
            str(model["operating_point"]["rule"]),
            _operating_note(model),
            _calibration_note(model),
        )
        for model in models
    ]
    headings = ("model", "threshold", "rule", "note", "calibration of the probability")
    return Table("Thresholds on the probability, chosen on the eval split", headings, tuple(rows))


def _lineage(lineage: Mapping[str, Any]) -> Section:
    versions = ", ".join(f"{library} {version}" for library, version in lineage["versions"].items())
    sentences = (
        f"Assembled in run {lineage['run_id'] or 'unknown'} of pipeline {lineage['pipeline'] or 'unknown'}, execution "
        f"{lineage['execution']}, by code of digest {lineage['source_digest']}.",
        f"Versions: {versions}.",
    )
    rows = [
        (
            made["role"],
            str(made["id"]),
            f"{made['node']}, execution {made['execution']}" if made["node"] else MISSING,
            ", ".join(str(other) for other in made["made_from"]) or MISSING,
            made["uri"],
        )
        for made in lineage["artifacts"]
    ]
    headings = ("what", "artifact", "made by", "from", "where")
    return Section("Lineage", sentences, tables=(Table("What it is made from", headings, tuple(rows)),))


def _executions(described: DescribedServable) -> Section:
    rows = [
        (
            str(execution.id),
            execution.node,
            execution.run_id,
            execution.source_digest or MISSING,
            ", ".join(f"{artifact.key} {artifact.id}" for artifact in execution.inputs) or MISSING,
            ", ".join(f"{artifact.key} {artifact.id}" for artifact in execution.outputs) or MISSING,
        )
        for execution in described.lineage
    ]
    headings = ("execution", "node", "run", "code", "read", "wrote")
    return Section("Who made what from what", tables=(Table("From the metadata store", headings, tuple(rows)),))


def _calibration_error(overall: Mapping[str, Any]) -> str:
    """Returns the expected calibration error, with what it was before; cards of earlier releases have no interval."""
    figures = overall.get("calibration")
    if figures is None:
        return number(overall["ece"])
    before = "" if figures["before"] is None else f"; before calibration {number(figures['before'])}"
    return f"{_interval(figures['after'], number)}{before}"


def _operating_note(model: Mapping[str, Any]) -> str:
    """Returns the note on the threshold, and on the distance beyond which a head claims nothing."""
    notes = [str(model["operating_point"]["note"])]
    if model.get("distance"):
        distance = model["distance"]
        notes.append(f"only within squared distance {number(distance['limit'], 4)}: {distance['note']}")
    return "; ".join(filter(None, notes)) or MISSING


def _calibration_note(model: Mapping[str, Any]) -> str:
    calibration = model.get("calibration")
    return str(calibration["note"]) if calibration else MISSING


def _interval(figure: Mapping[str, float | None], written: Any) -> str:
    if figure["value"] is None:
        return MISSING
    return f"{written(figure['value'])} ({written(figure['low'])} to {written(figure['high'])})"
