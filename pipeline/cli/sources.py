"""What `genattr sources` and `genattr describe` do, once their arguments are parsed."""

import argparse
import json
import sys

from pipeline.cli import console
from pipeline.cli.commands import DONE, FAILED, print_json, tell
from pipeline.config.schema import load_config
from pipeline.startup import import_tensorflow


def sources(options: argparse.Namespace) -> int:
    """Lists sources, adds one, or retires one. Exit code 1 if it was not added or retired."""
    return {"list": _list, "add": _change, "retire": _change}[options.action](options)


def describe(options: argparse.Namespace) -> int:
    """Prints the model card of a servable."""
    from pipeline.model_card.describe import describe_servable
    from pipeline.model_card.rendering import as_html, as_markdown
    from pipeline.model_card.sections import card_sections

    config = load_config(options.config) if options.config else None
    described = describe_servable(options.servable, config)
    if options.json:
        text = json.dumps(described.to_dict(), indent=2) + "\n"
    else:
        render = as_html if options.format == "html" else as_markdown
        text = render(described.title, card_sections(described))
    if options.output:
        options.output.write_text(text, encoding="utf-8")
        console.remark(f"card  {options.output}")
    else:
        sys.stdout.write(text)
    return DONE


def _list(options: argparse.Namespace) -> int:
    config = load_config(options.config, options.overrides)
    from pipeline.sources.listing import HEADINGS, list_sources

    rows = list_sources(config)
    if options.json:
        print_json([row.to_dict() for row in rows])
    else:
        console.table(f"sources of {config.name}", HEADINGS, [row.cells() for row in rows])
    return DONE


def _change(options: argparse.Namespace) -> int:
    config = load_config(options.config, options.overrides)
    listener = console.RunConsole(silent=options.json)
    listener.loading()
    import_tensorflow(options.verbose)
    from pipeline.sources.change import add_source, prepare_images, retire_source

    if options.action == "retire":
        change = retire_source(config, options.source, options.runner, listener)
    else:
        span = options.span
        if options.images is not None:
            with console.progress("preparing") as advance:
                span = prepare_images(config, options.source, options.images, advance)
        with listener.watching_epochs():
            change = add_source(config, options.source, span, options.runner, listener)
    tell(options, change)
    if not change.done:
        console.error(change.error)
    return DONE if change.done else FAILED
