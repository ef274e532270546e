"""`genattr ship`: copies a pushed servable to the models that come with the product."""

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE
from pipeline.startup import import_tensorflow

_MEGABYTE = 1e6


def add_ship(commands: Commands) -> None:
    """Add `genattr ship`."""
    parser = add_command(
        commands,
        "ship",
        "copy a pushed servable to the models that come with the product, with its card and answers to hold it to",
        "genattr ship runs/faces_model/serving/generator_attribution faces --evaluation reports/faces_model",
        _ship,
    )
    parser.add_argument("servable", metavar="SERVABLE", type=Path, help="servable, or the folder of its versions")
    parser.add_argument("name", metavar="NAME", help="the model's name; its earlier versions are removed")
    parser.add_argument(
        "--models", type=Path, default=Path("models"), metavar="DIR", help="folder of the models (default models)"
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        nargs="+",
        default=[],
        metavar="REPORT",
        dest="evaluations",
        help="folders that genattr evaluate wrote, whose figures the card shows",
    )
    parser.add_argument("--again", default="", metavar="COMMAND", help="what trains it again, for the card")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _ship(options: argparse.Namespace) -> int:
    """Copy a pushed servable to the models that come with the product."""
    evaluations = dict(_metrics(report) for report in options.evaluations)
    import_tensorflow(options.verbose)
    from pipeline.model_card.shipping import ship

    shipped = ship(options.servable, options.name, options.models, options.again, evaluations)
    if options.json:
        output.print_json(
            {"version": str(shipped.version), "size_bytes": shipped.size, "removed": list(shipped.removed)}
        )
        return DONE
    output.say(f"model    {shipped.version}, {shipped.size / _MEGABYTE:.1f} MB")
    output.say(f"card     {shipped.version.parent / 'README.md'}")
    output.say(f"answers  {shipped.version.parent / 'answers.json'}")
    if shipped.removed:
        output.say(f"removed  {', '.join(map(str, shipped.removed))}")
    return DONE


def _metrics(report: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of the dataset that a report is on, and its figures."""
    path = report / "metrics.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dataset = Path(content["dataset"]["path"]).name
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"evaluations: {path} is damaged: {error}. Evaluate again with genattr evaluate.") from error
    return dataset, content
