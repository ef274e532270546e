"""The words that `genattr sources` and `genattr describe` take. Nothing heavy is imported here."""

import argparse
from pathlib import Path

from pipeline.cli.command import Commands, add_command, add_configuration

_WHAT_IT_DOES = """
Both are runs of the pipeline on the primary module of the newest pushed version:
its span is pinned, every trained model comes from the cache, and the run stops
before it would train another. What is done stands in sources.json under
output_root; later runs take it up. The configuration file is not edited.
"""


def add_sources(commands: Commands) -> None:
    """Adds `genattr sources list|add|retire`."""
    parser = add_command(
        commands,
        "sources",
        "list the sources of a pipeline, add one, or retire one",
        "genattr sources list configs/demo.yaml\n"
        "  genattr sources add configs/demo.yaml newgan_demo --span 2\n"
        "  genattr sources retire configs/demo.yaml newgan_demo",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = _action(actions, "list", "list sources, their images, figures, and since when they are served")
    listed.add_argument("--json", action="store_true", help="print the rows as JSON")
    added = _action(actions, "add", "train one head on the primary module that is served, and serve it with the others")
    added.add_argument("source", metavar="NAME", help="the source: a folder of the image tree, e.g. newgan_celeba")
    images = added.add_mutually_exclusive_group()
    images.add_argument(
        "--span", type=int, metavar="N", help="train its head on this span (default: the newest that holds it)"
    )
    images.add_argument(
        "--images",
        type=Path,
        metavar="TREE",
        help="image tree with the source's images beside those of the others: it is prepared first, as the next span, "
        "with the parameters of the newest",
    )
    _add_running(added)
    retired = _action(actions, "retire", "serve the others without this head; its artifacts stay")
    retired.add_argument("source", metavar="NAME", help="the source")
    _add_running(retired)


def add_describe(commands: Commands) -> None:
    """Adds `genattr describe`."""
    parser = add_command(
        commands,
        "describe",
        "print the model card of a servable: use, data, figures, limits, lineage",
        "genattr describe runs/demo/serving/generator_attribution\n"
        "  genattr describe runs/demo/serving/generator_attribution --format html -o card.html",
    )
    parser.add_argument("servable", metavar="SERVABLE", type=Path, help="servable, or the folder of its versions")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--format", choices=("markdown", "html"), default="markdown", help="(default markdown)")
    shape.add_argument("--json", action="store_true", help="print the card as JSON")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="CONFIG",
        help="whose metadata store adds the whole lineage (default: the one beside the servable, if there is one)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of standard output")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    # `default` would let the inner parser's False replace a --verbose that stands before the action.
    parser = actions.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}." + ("" if name == "list" else f"\n{_WHAT_IT_DOES}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_configuration(parser)
    return parser


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runner",
        choices=("beam", "local"),
        default="beam",
        help="BeamDagRunner (default) or LocalDagRunner; the result is the same",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
