"""Entry point of the `genattr` command: parses the arguments, runs the command, turns errors into exit codes.

Nothing heavy is imported here: `genattr --help` must not wait for TensorFlow. Each command imports what it needs once
its arguments are known to be good. Exit codes: 0 done, 1 failed, 2 bad usage (arguments or configuration).
"""

import argparse
import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli import output
from pipeline.cli.command import Body, name_flags
from pipeline.cli.output import BAD_USAGE, FAILED
from pipeline.cli.parser import build_parser
from pipeline.startup import end_on_sigterm, open_standard_streams, quiet_libraries, settle_environment
from serving.atomic import naming_storage_errors
from serving.names import printable, shortened

_FIXES = {
    errno.ENOSPC: " Free some space there, or write elsewhere.",
    errno.EDQUOT: " Free some of your quota there, or write elsewhere.",
    errno.EROFS: " Write elsewhere.",
}

_LOGGER = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after `genattr`; None takes those of the process.

    Returns:
        The exit code.
    """
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # in a locale that lacks a letter of some name
    end_on_sigterm()
    settle_environment()
    options = build_parser().parse_args(arguments)
    return guarded(options.body, options)


def guarded(body: Body, options: argparse.Namespace) -> int:
    """Run the body of a command; an error that it raises on purpose is printed in one line, without a traceback.

    Args:
        body: Function of the options that returns an exit code.
        options: Parsed options.

    Returns:
        The exit code: the command's own; 2 for bad configuration or arguments; 1 for anything that failed.
    """
    quiet_libraries(options.verbose)
    from components.errors import StepRefusedError
    from pipeline.config.schema import ConfigurationError

    try:
        code = body(options)
        with naming_storage_errors(output.STANDARD_OUTPUT):
            sys.stdout.flush()  # here, where an error of it has a message
        return code
    except (ConfigurationError, ValueError) as error:
        return _report(options, error, BAD_USAGE)
    except BrokenPipeError:
        # Whoever read our output (head, less) has gone. Nothing may be written any more, not even at exit.
        _silence_standard_output()
        return FAILED
    except (OSError, StepRefusedError) as error:
        if isinstance(error, OSError) and error.filename == output.STANDARD_OUTPUT:
            _silence_standard_output()
        return _report(options, error, FAILED)
    except KeyboardInterrupt:
        output.error("interrupted")
        return FAILED
    except Exception as error:
        if options.verbose:
            raise
        if not _is_ours(error):
            _print_place(error)
        return _report(options, error, FAILED)


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in ("components", "pipeline", "serving")


def _silence_standard_output() -> None:
    """Let what is still buffered go nowhere, since the interpreter flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_place(error: Exception) -> None:
    """Print where a library failed, and the kind of its error; the data that it may have put into it are cut."""
    place = "".join(traceback.format_tb(error.__traceback__))
    output.remark(f"{place}{type(error).__name__}: {shortened(str(error))}")


def _report(options: argparse.Namespace, error: BaseException, code: int) -> int:
    if options.verbose:
        _LOGGER.exception("the command failed")
    output.error(name_flags(_message(error), options))
    return code


def _has_no_directory() -> bool:
    """Return whether the current directory was removed while somebody still works in it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _message(error: BaseException) -> str:
    """Return the message of an error; the system's own with the path first, and what to do about a full disk."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is None:
        if isinstance(error, FileNotFoundError) and _has_no_directory():
            return "the current directory was removed. Change to another directory, and run the command again."
        return str(error)
    paths = " -> ".join(printable(os.fsdecode(path)) for path in (error.filename, error.filename2) if path is not None)
    fix = _FIXES.get(error.errno, "")
    return f"{paths}: {error.strerror} (errno {error.errno}).{fix}"


if __name__ == "__main__":
    sys.exit(main())
