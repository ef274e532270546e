"""The report of an evaluation: one HTML file that needs nothing beside it, no network and no script.

It looks like the report of a run: its style is taken from there. Whatever comes from outside is escaped.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.evaluate.figures import notes
from pipeline.evaluate.files import class_names, curve_sets
from pipeline.evaluate.scores import PRIMARY, TEST_ONLY, UNPERTURBED, ServableScores
from pipeline.report import plots
from pipeline.report import text as report_text
from pipeline.report.model_view import ROUGH_BELOW
from pipeline.report.run import CARDS_SHOWN, COLUMNS
from serving import contract

REFUSED_SHOWN = 50


def render_evaluation(document: Mapping[str, Any], scores: ServableScores) -> str:
    """Returns the report as one HTML document; the same evaluation gives the same text.

    Args:
        document: what metrics.json holds.
        scores: what the curves are drawn of.
    """
    models = document["models"]
    curves = []
    for column, model in enumerate(models):
        sets, key = curve_sets(scores, column), f"model-{column}"
        roc = plots.roc_plot(sets, model["threshold"], f"{key}-roc", f"ROC curve of {model['name']}")
        recall = plots.precision_recall_plot(
            sets, model["threshold"], f"{key}-pr", f"Precision-recall curve of {model['name']}"
        )
        labels, values = sets["all images"]
        names = class_names(model)
        histogram = plots.histogram_plot(
            labels, values, model["threshold"], names, f"{key}-scores", f"Probabilities of {model['name']} by class"
        )
        curves.append({"model": model, "classes": names, "roc": roc, "recall": recall, "histogram": histogram})
    text = _environment().from_string(_resource("templates/evaluation.html"))
    return text.render(
        document=document,
        style=Markup(_style()),  # noqa: S704 - our own style sheet, out of our own file
        tiles=_tiles(document),
        cautions=[*notes(document), *_rough(models)],
        columns=COLUMNS,
        curves=curves,
        sources=_source_rows(models),
        matrices=[(name, _verdict_rows(verdicts["overall"])) for name, verdicts in document["verdicts"].items()],
        cards_shown=CARDS_SHOWN,
        refused_shown=REFUSED_SHOWN,
        base=UNPERTURBED,
        test_only=TEST_ONLY,
        unknown=contract.VERDICT_UNKNOWN_GENERATOR,
    ).lstrip()  # the template's macros leave empty lines before the document type


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns the figures at the top: name, value, explanation."""
    primary = next(model for model in document["models"] if model["task"] == "detection")
    overall = primary["results"][UNPERTURBED]["overall"]
    verdicts = document["verdicts"][UNPERTURBED]["overall"]
    interval = overall["roc_auc_interval"]
    number, share, count = report_text.number, report_text.share, report_text.count
    shown = [
        (
            "Detection ROC-AUC",
            number(overall["roc_auc"]),
            f"95 % interval {number(interval[0])} to {number(interval[1])}" if interval else overall["undefined"] or "",
        )
    ]
    heads = [
        (model["results"][UNPERTURBED]["overall"]["roc_auc"], model["name"])
        for model in document["models"]
        if model["task"] != "detection"
    ]
    known = [(area, name) for area, name in heads if area is not None]
    if known:
        shown.append(("Weakest head's ROC-AUC", number(min(known)[0]), min(known)[1]))
    balanced = share(verdicts["balanced_accuracy"])
    shown.append(("Right verdicts", share(verdicts["accuracy"]), f"{balanced} if every row counted the same"))
    contradictions = verdicts["contradictions"]
    shown.append(
        (
            "Contradictions",
            share(contradictions["share_of_predicted_real"]),
            f"{count(contradictions['count'])} of {count(contradictions['predicted_real'])} called real",
        )
    )
    if "uncertain" in verdicts:
        uncertain = verdicts["uncertain"]
        lowest, highest = uncertain["band"]
        said = f"{lowest:g} to {highest:g}; of the others {share(uncertain['accuracy_of_others'])} right"
        shown.append(("Uncertain", share(uncertain["share_of_images"]), said))
    unknown = verdicts["unknown_generator"]["testonly_fakes"]
    if unknown["images"]:
        said = f"{count(unknown['count'])} of {count(unknown['images'])} test-only fakes"
        shown.append(("Unknown generator said", share(unknown["rate"]), said))
    judged = " + ".join(f"{count(images)} {split}" for split, images in document["dataset"]["splits"].items() if images)
    shown.append(("Images judged", count(document["images"]), judged))
    return shown


def _rough(models: Sequence[Mapping[str, Any]]) -> list[str]:
    rough = []
    for model in models:
        overall = model["results"][UNPERTURBED]["overall"]
        positives, negatives = overall["positives"], overall["images"] - overall["positives"]
        if 0 < min(positives, negatives) < ROUGH_BELOW:
            rough.append(f"{model['name']} ({positives:,} positive, {negatives:,} negative)")
    if not rough:
        return []
    return [
        f"Rough figures: fewer than {ROUGH_BELOW} images of a class for {report_text.enumeration(rough)}. "
        "Read each ROC-AUC with its 95 % interval, which stands below it, and rates at 1 % FPR as anecdotes."
    ]


def _source_rows(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row a source, real ones first, test-only ones last, with a cell a model."""
    primary = next(model for model in models if model["name"] == PRIMARY)["results"][UNPERTURBED]["by_source"]
    ordered = sorted(primary, key=lambda s: (primary[s]["test_only"], primary[s]["real_or_fake"], s))
    return [
        {
            "source": source,
            "test_only": primary[source]["test_only"],
            "label": primary[source]["real_or_fake"],
            "images": primary[source]["own_images"],
            "cells": [model["results"][UNPERTURBED]["by_source"][source] for model in models],
        }
        for source in ordered
    ]


def _verdict_rows(verdicts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the confusion matrix of the verdicts with shares of each row, and which cell is right."""
    matrix = verdicts["confusion"]
    rows = []
    for name, counts in zip(matrix["rows"], matrix["counts"], strict=True):
        total = sum(counts)
        right = name if name in matrix["columns"] else contract.VERDICT_UNKNOWN_GENERATOR
        cells = [
            {"images": count, "share": count / total if total else 0.0, "right": column == right}
            for column, count in zip(matrix["columns"], counts, strict=True)
        ]
        rows.append({"name": name, "images": total, "cells": cells})
    return {"columns": matrix["columns"], "rows": rows, "figures": verdicts}


def _resource(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    """Returns the style sheet of the run's report, so that both look the same."""
    return _resource("templates/run.html").partition("<style>")[2].partition("</style>")[0]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=report_text.number,
        share=report_text.share,
        count=report_text.count,
        signed=_signed,
        breakable=lambda name: Markup("_<wbr>").join(str(name).split("_")),  # join escapes what it joins
        svg=lambda plot: Markup(plot.svg),  # noqa: S704 - our own drawing: text from outside is in its legend
    )
    return environment


def _signed(drop: float | None) -> str:
    """Returns by how much a figure changed: a drop of 0.25 is written as a change of minus 0.250."""
    if drop is None:
        return report_text.MISSING
    return "\u00b10" if abs(drop) < 0.0005 else f"{-drop:+.3f}".replace("-", "\u2212")
