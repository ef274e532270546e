"""The `genattr` command: parses, checks, and hands over.

Nothing heavy is imported here: `genattr --help` must not wait for TensorFlow. Each command imports what it needs once
its arguments are known to be good. Exit codes: 0 done, 1 failed, 2 bad usage (arguments or configuration).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from pipeline.arguments import build_parser

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `genattr`; None takes those of the process.

    Returns:
        The exit code.
    """
    # Before anything imports TensorFlow: Keras 3 for everybody, and no start-up chatter from native code.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    options = build_parser().parse_args(arguments)
    from pipeline import commands

    command: Command = getattr(commands, options.command.replace("-", "_"))
    return commands.guarded(command, options)


if __name__ == "__main__":
    sys.exit(main())
