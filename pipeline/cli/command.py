"""How a command of `genattr` is declared: one parser each, with an example in its help."""

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Adds a command.

    Args:
        commands: to add to.
        name: as it is typed.
        summary: one line, without a capital or a full stop.
        example: shown below the options.

    Returns:
        Its parser, to add arguments to.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--verbose", action="store_true", help="log what the libraries say, and tracebacks")
    return parser


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Adds the configuration that a command reads, and what is overridden in it."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a dotted key"
    )
