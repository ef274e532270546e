"""The embedded server as a process of its own.

    python -m serving.server --model-base-path runs/demo/serving/generator_attribution --grpc-port 0 --rest-port 0

writes one line to standard output when it is ready, {"grpc": "127.0.0.1:41231", "rest": "http://127.0.0.1:41233",
"version": 1}, logs to standard error, and ends on SIGTERM or SIGINT after the requests in flight are answered.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.errors import ServableError, ServerStartError
from serving.server.arguments import add_server_arguments, options_from
from serving.server.configuration.options import Addresses
from serving.server.lifecycle import run_server
from serving.server.memory import bound_arenas
from serving.server.telemetry.access_log import write_access_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m serving.server`: returns 0, 1 if it cannot start, 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m serving.server", description="Serve a model by gRPC and REST.")
    parser.add_argument("--model-base-path", type=Path, help="directory that holds <version>/ servables")
    add_server_arguments(parser)
    parser.set_defaults(access_log=Path("-"))
    parser.add_argument(
        "--until-end-of-input",
        action="store_true",
        help="stop when standard input ends, so that a server never outlives the process that started it",
    )
    parsed = parser.parse_args(arguments)
    try:
        options = options_from(parsed, parsed.model_base_path)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Off by default on processors without AVX-512, where convolutions take three times as long without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else TensorFlow's notes on the CPU drown the log
    write_access_log(parsed.access_log)
    bound_arenas()
    if parsed.until_end_of_input:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        run_server(options, _write_ready_line)
    except (ServableError, ServerStartError, ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _stop_at_end_of_input() -> None:
    """Waits for the other end of standard input to go, however it goes, and asks for a graceful stop."""
    while sys.stdin.buffer.read(1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _write_ready_line(addresses: Addresses) -> None:
    line = {"grpc": addresses.grpc, "rest": addresses.rest, "version": addresses.version}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
