"""The report of an evaluation as one HTML file."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluate.figures import notes
from pipeline.evaluate.files import class_names, curve_sets
from pipeline.evaluate.scores import PRIMARY, TEST_ONLY, UNPERTURBED, ServableScores
from pipeline.report import plots
from pipeline.report.model_view import COLUMNS, rough_figures
from pipeline.report.page import render_page
from pipeline.report.text import count, number, share
from pipeline.report.verdicts import verdict_rows
from serving import contract

REFUSED_SHOWN = 50


def render_evaluation(document: Mapping[str, Any], scores: ServableScores) -> str:
    """Return the report as one HTML document; the same evaluation gives the same text.

    Args:
        document: Content of metrics.json.
        scores: Answers from which the curves are drawn.
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
    matrices = []
    for name, verdicts in document["verdicts"].items():
        figures = verdicts["overall"]
        confusion = figures["confusion"]
        rows = verdict_rows(confusion["rows"], confusion["columns"], confusion["counts"])
        matrices.append((name, {"rows": rows, "figures": figures}))
    return render_page(
        "evaluation.html",
        document=document,
        tiles=_tiles(document),
        cautions=[*notes(document), *rough_figures(_class_sizes(models))],
        columns=COLUMNS,
        curves=curves,
        sources=_source_rows(models),
        matrices=matrices,
        refused_shown=REFUSED_SHOWN,
        base=UNPERTURBED,
        test_only=TEST_ONLY,
        unknown=contract.VERDICT_UNKNOWN_GENERATOR,
    )


def _class_sizes(models: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    overall = {model["name"]: model["results"][UNPERTURBED]["overall"] for model in models}
    return {name: (each["positives"], each["images"] - each["positives"]) for name, each in overall.items()}


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures at the top: name, value, explanation."""
    primary = next(model for model in document["models"] if model["task"] == "detection")
    overall = primary["results"][UNPERTURBED]["overall"]
    verdicts = document["verdicts"][UNPERTURBED]["overall"]
    interval = overall["roc_auc_interval"]
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
        band = "{:g} to {:g}; ".format(*uncertain["band"]) if "band" in uncertain else ""
        said = f"{band}of the others {share(uncertain['accuracy_of_others'])} right"
        shown.append(("Uncertain", share(uncertain["share_of_images"]), said))
    unknown = verdicts["unknown_generator"]["testonly_fakes"]
    if unknown["images"]:
        said = f"{count(unknown['count'])} of {count(unknown['images'])} test-only fakes"
        shown.append(("Unknown generator said", share(unknown["rate"]), said))
    judged = " + ".join(f"{count(images)} {split}" for split, images in document["dataset"]["splits"].items() if images)
    shown.append(("Images judged", count(document["images"]), judged))
    return shown


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
