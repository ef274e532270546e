"""`genattr evaluate`: measures a servable on a dataset."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE, FAILED
from pipeline.startup import import_tensorflow
from serving.servable.shipped import model_argument


def add_evaluate(commands: Commands) -> None:
    """Add `genattr evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        "measure a servable on a dataset: predictions, figures, curves, confusion matrices, a report",
        "genattr evaluate runs/demo/serving/generator_attribution data/demo -o reports/demo --perturb all",
        _evaluate,
    )
    parser.add_argument(
        "servable",
        metavar="SERVABLE",
        type=model_argument,
        help="servable, the folder of its versions, or a name: faces",
    )
    parser.add_argument("dataset", metavar="DATASET", type=Path, help="prepared dataset, the folder of its spans")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="REPORT", help="folder; an earlier evaluation is replaced"
    )
    parser.add_argument("--span", type=int, metavar="N", help="number of the span (default: the newest)")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=("train", "eval", "test", "testonly"),
        metavar="SPLIT",
        dest="splits",
        help="which images: of train, eval, test, testonly (default: test testonly)",
    )
    parser.add_argument(
        "--perturb",
        nargs="+",
        choices=("none", "blur", "crop", "jpeg", "noise", "all"),
        default=["none"],
        metavar="NAME",
        dest="perturbations",
        help="ask again with every image perturbed: of blur, crop, jpeg, noise, or all (default: none)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of how strongly each image is perturbed (default 0)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a request (default 32)")
    parser.add_argument("--json", action="store_true", help="print metrics.json")


def _evaluate(options: argparse.Namespace) -> int:
    """Measure a servable on a dataset. Exit code 1 if any image could not be judged."""
    from components.dataset.perturbations import ORDER
    from pipeline.evaluate.evaluation import EvaluationOptions, check, evaluate
    from serving.servable.shipped import resolve_model

    chosen = ORDER if "all" in options.perturbations else [name for name in ORDER if name in options.perturbations]
    evaluation = EvaluationOptions(
        servable=resolve_model(options.servable),
        dataset=options.dataset,
        output=options.output,
        span=options.span,
        splits=tuple(options.splits) if options.splits else None,
        perturbations=tuple(chosen),
        seed=options.seed,
        batch_size=options.batch_size,
    )
    check(evaluation)
    import_tensorflow(options.verbose)
    with output.progress("asking") as advance:
        outcome = evaluate(evaluation, progress=advance)
    if options.json:
        output.print_json(outcome.document)
    else:
        _print_evaluation(outcome.document, outcome.report)
    if outcome.refused:
        output.error(f"{outcome.refused} images could not be judged; see refused.jsonl in {options.output}")
    return FAILED if outcome.refused else DONE


def _print_evaluation(document: Mapping[str, Any], report: Path) -> None:
    """Print the figures of an evaluation, under each perturbation, and the path of the report.

    Args:
        document: Content of metrics.json.
        report: HTML file.
    """
    figures = {
        "roc_auc": "ROC-AUC",
        "average_precision": "avg. precision",
        "balanced_accuracy": "bal. accuracy",
        "tpr_at_fpr_5": "TPR at 5% FPR",
        "eer": "EER",
    }
    rows = []
    for model in document["models"]:
        for name, result in model["results"].items():
            values = [result["overall"][figure] for figure in figures]
            shown = ["-" if value is None else f"{value:.3f}" for value in values]
            rows.append((model["name"], name, *shown, f"{model['threshold']:.3f}"))
    headings = ("model", "perturbation", *figures.values(), "threshold")
    output.table(f"{document['images']:,} images judged", headings, rows, numbers=headings[2:])
    for name, verdicts in document["verdicts"].items():
        overall = verdicts["overall"]
        contradictions = overall["contradictions"]
        accuracy = "not defined" if overall["accuracy"] is None else f"{overall['accuracy']:.3f}"
        uncertain = f"; uncertain: {overall['uncertain']['count']:,}" if "uncertain" in overall else ""
        output.say(
            f"verdicts ({name}): accuracy {accuracy}; contradictions: {contradictions['count']:,} of "
            f"{contradictions['predicted_real']:,} called real{uncertain}"
        )
    output.say(f"report  {report}")
