"""The `genattr` command: parses, checks, and hands over.

Nothing heavy is imported here: `genattr --help` must not wait for TensorFlow. Each command imports what it needs once
its arguments are known to be good. Exit codes: 0 done, 1 failed, 2 bad usage (arguments or configuration).
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from pipeline.cli.parser import build_parser
from pipeline.signals import end_when_told
from pipeline.startup import settle_environment

Command = Callable[[argparse.Namespace], int]

# Commands that stand in a module of their own; all others are in `commands`.
_ELSEWHERE = {
    **dict.fromkeys(("compile", "submit", "schedule"), "kubeflow"),
    **dict.fromkeys(("promote", "rollback", "retain"), "rollout"),
    **dict.fromkeys(("describe", "sources"), "sources"),
    "monitor": "monitor",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `genattr`; None takes those of the process.

    Returns:
        The exit code.
    """
    end_when_told()
    settle_environment()
    options = build_parser().parse_args(arguments)
    from pipeline.cli import commands

    module = importlib.import_module(f"pipeline.cli.{_ELSEWHERE.get(options.command, 'commands')}")
    command: Command = getattr(module, options.command.replace("-", "_"))
    return commands.guarded(command, options)


if __name__ == "__main__":
    sys.exit(main())
