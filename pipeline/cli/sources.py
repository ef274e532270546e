"""Commands about the sources of a pipeline, and the model card of a servable: sources, describe."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Body, Commands, add_command, add_configuration, name_flags
from pipeline.cli.output import DONE, FAILED, print_json
from pipeline.cli.run import RunConsole, add_runner
from pipeline.startup import import_tensorflow
from serving.atomic import naming_storage_errors
from serving.servable.shipped import model_argument

if TYPE_CHECKING:
    from pipeline.config.schema import PipelineConfig
    from pipeline.sources.change import Change

_WHAT_IT_DOES = """
Both are runs of the pipeline on the primary module of the newest pushed version:
its span is pinned, every trained model comes from the cache, and the run stops
before it would train another. What is done stands in sources.json under
output_root; later runs take it up. The configuration file is not edited.
"""


def add_sources(commands: Commands) -> None:
    """Add `genattr sources list|add|retire`."""
    parser = add_command(
        commands,
        "sources",
        "list the sources of a pipeline, add one, or retire one",
        "genattr sources list configs/demo.yaml\n"
        "  genattr sources add configs/demo.yaml newgan_demo --span 2\n"
        "  genattr sources retire configs/demo.yaml newgan_demo",
        _list,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = _action(actions, "list", "list sources, their images, figures, and since when they are served", _list)
    listed.add_argument("--json", action="store_true", help="print the rows as JSON")
    added = _action(
        actions, "add", "train one head on the primary module that is served, and serve it with the others", _add
    )
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
    add_runner(added)
    added.add_argument("--json", action="store_true", help="print what was done as JSON")
    retired = _action(actions, "retire", "serve the others without this head; its artifacts stay", _retire)
    retired.add_argument("source", metavar="NAME", help="the source")
    add_runner(retired)
    retired.add_argument("--json", action="store_true", help="print what was done as JSON")


def _action(actions: Commands, name: str, summary: str, body: Body) -> argparse.ArgumentParser:
    # `default` would let the inner parser's False replace a --verbose that stands before the action.
    parser = actions.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}." + ("" if name == "list" else f"\n{_WHAT_IT_DOES}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(body=body, parser=parser)
    add_configuration(parser)
    return parser


def _list(options: argparse.Namespace) -> int:
    """List the sources of a pipeline."""
    from pipeline.config.schema import load_config
    from pipeline.sources.listing import HEADINGS, list_sources

    config = load_config(options.config, options.overrides)
    rows = list_sources(config)
    if options.json:
        print_json([row.to_dict() for row in rows])
    else:
        output.table(f"sources of {config.name}", HEADINGS, [row.cells() for row in rows])
    return DONE


def _add(options: argparse.Namespace) -> int:
    """Add a source. Exit code 1 if it was not added."""
    config, listener = _begin(options)
    from pipeline.sources.change import add_source, prepare_images

    span = options.span
    if options.images is not None:
        with output.progress("preparing") as advance:
            span = prepare_images(config, options.source, options.images, advance)
    with listener.watching_epochs():
        change = add_source(config, options.source, span, options.runner, listener)
    return _end(options, change)


def _retire(options: argparse.Namespace) -> int:
    """Retire a source. Exit code 1 if it was not retired."""
    config, listener = _begin(options)
    from pipeline.sources.change import retire_source

    return _end(options, retire_source(config, options.source, options.runner, listener))


def _begin(options: argparse.Namespace) -> "tuple[PipelineConfig, RunConsole]":
    """Read the configuration, and import TensorFlow while the console says so."""
    from pipeline.config.schema import load_config

    config = load_config(options.config, options.overrides)
    listener = RunConsole(silent=options.json)
    listener.loading()
    import_tensorflow(options.verbose)
    return config, listener


def _end(options: argparse.Namespace, change: "Change") -> int:
    """Print what was done, or why it was not."""
    output.outcome(options, change)
    if not change.done:
        output.error(name_flags(change.error, options))
    return DONE if change.done else FAILED


def add_describe(commands: Commands) -> None:
    """Add `genattr describe`."""
    parser = add_command(
        commands,
        "describe",
        "print the model card of a servable: use, data, figures, limits, lineage",
        "genattr describe runs/demo/serving/generator_attribution\n"
        "  genattr describe runs/demo/serving/generator_attribution --format html -o card.html",
        _describe,
    )
    parser.add_argument(
        "servable",
        metavar="SERVABLE",
        type=model_argument,
        help="servable, the folder of its versions, or a name: faces",
    )
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


def _describe(options: argparse.Namespace) -> int:
    """Print the model card of a servable."""
    from pipeline.config.schema import load_config
    from pipeline.model_card.describe import describe_servable
    from pipeline.model_card.rendering import as_html, as_markdown
    from pipeline.model_card.sections import card_sections
    from serving.servable.shipped import resolve_model

    config = load_config(options.config) if options.config else None
    described = describe_servable(resolve_model(options.servable), config)
    if options.json:
        text = json.dumps(described.to_dict(), indent=2) + "\n"
    else:
        render = as_html if options.format == "html" else as_markdown
        text = render(described.title, card_sections(described))
    if options.output:
        with naming_storage_errors(options.output):
            options.output.write_text(text, encoding="utf-8")
        output.remark(f"card  {options.output}")
    else:
        sys.stdout.write(text)
    return DONE
