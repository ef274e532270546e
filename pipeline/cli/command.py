"""Declaration of a command: its parser, its body, and the flags by which messages name its parameters."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Body: TypeAlias = Callable[[argparse.Namespace], int]

# "seed: must be ..." or "train, eval: must be ..." at the start of a line, "choose others by `splits`" anywhere.
_PARAMETERS = re.compile(r"^(\w+(?:, \w+)*)(?=: )|`(\w+)`", re.MULTILINE)


def add_command(commands: Commands, name: str, summary: str, example: str, body: Body) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: Subparsers of `genattr`.
        name: Name on the command line.
        summary: One line without a capital or a full stop.
        example: Command line shown below the options.
        body: Function of the parsed options that runs the command and returns its exit code.

    Returns:
        The command's parser, to add arguments to.
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
    parser.set_defaults(body=body, parser=parser)
    return parser


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add the configuration file that a command reads, and overrides of its keys."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a dotted key"
    )


def name_flags(message: str, options: argparse.Namespace) -> str:
    """Replace the names of parameters in a message by those that the command line gives them.

    Args:
        message: Text of a library. Parameters are named at the start of a line, before a colon, or in backquotes:
            "span: must be at least 0, got -1. Choose another by `span`."
        options: Parsed options, of whose command the flags are taken.

    Returns:
        The message with flags, e.g. --span, and with positional arguments as the help shows them, e.g. CONFIG. Names
        that the command does not know are left alone, and so is a path that is only spelled like a parameter.
    """
    words: dict[str, str] = {}
    for action in options.parser._actions:
        if str(getattr(options, action.dest, None)) != action.dest:
            flags = [option for option in action.option_strings if option.startswith("--")]
            words.setdefault(action.dest, (flags or [action.metavar or action.dest])[0])

    def replaced(match: re.Match[str]) -> str:
        names = (match[1] or match[2]).split(", ")
        return ", ".join(words[name] for name in names) if words.keys() >= set(names) else match[0]

    return _PARAMETERS.sub(replaced, message)
