"""`genattr serve`: the embedded server, for laptops and tests."""

import argparse
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE
from pipeline.startup import import_tensorflow
from serving.servable.shipped import model_argument
from serving.server.arguments import add_server_arguments, options_from

if TYPE_CHECKING:
    from serving.server.configuration.options import Addresses, ServerOptions


def add_serve(commands: Commands) -> None:
    """Add `genattr serve`."""
    parser = add_command(
        commands,
        "serve",
        "serve a servable by gRPC and REST, as TF Serving would (for laptops and tests)",
        "genattr serve faces --ui\n"
        "  genattr serve runs/demo/serving/generator_attribution --ui\n"
        "  genattr serve --model-config-file models.config --batching-parameters-file batching_parameters.txt",
        _serve,
    )
    parser.add_argument(
        "model_base_dir",
        metavar="MODEL_BASE_DIR",
        type=model_argument,
        nargs="?",
        help="folder that holds <version>/, or a model's name: faces",
    )
    add_server_arguments(parser)


def _serve(options: argparse.Namespace) -> int:
    """Serve a servable until a signal stops the process."""
    logging.getLogger("serving").setLevel(logging.INFO)
    from serving.servable.shipped import resolve_model
    from serving.server.lifecycle import run_server
    from serving.server.memory import bound_arenas
    from serving.server.protocols.ports import require_free_ports
    from serving.server.telemetry.access_log import write_access_log

    server = options_from(options, options.model_base_dir)
    if server.model_base_path is not None:
        server = replace(server, model_base_path=resolve_model(server.model_base_path))
    require_free_ports(server)
    write_access_log(options.access_log)
    bound_arenas()
    import_tensorflow(options.verbose)
    run_server(server, ready=lambda addresses: _print_addresses(addresses, server))
    return DONE


def _print_addresses(addresses: "Addresses", server: "ServerOptions") -> None:
    """Print the addresses of a server, and the commands that ask it."""
    from rich.markup import escape

    name = server.model_name if server.model_config_file is None else str(server.model_config_file)
    output.terminal().print(f"serving [bold]{escape(name)}[/] version {addresses.version}; stop with Ctrl-C")
    output.say(f"  gRPC  {addresses.grpc}    genattr predict IMAGE --grpc {addresses.grpc}")
    output.say(f"  REST  {addresses.rest}    genattr predict IMAGE --rest {addresses.rest}")
    if server.page:
        output.say(f"  page  {addresses.rest}/ui/")
