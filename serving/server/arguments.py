"""The words of the command line that say how to serve, for `genattr serve` and `python -m serving.server` alike."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from serving import contract
from serving.request_log.arguments import add_request_log_arguments, request_log_options

if TYPE_CHECKING:
    from serving.server.configuration.options import ServerOptions
    from serving.server.configuration.parameters import BatchingParameters, Monitoring, TlsFiles


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds everything but the model's directory itself."""
    parser.add_argument("--model-name", default=contract.DEFAULT_MODEL_NAME, help="name that requests ask for")
    parser.add_argument(
        "--model-config-file", type=Path, metavar="FILE", help="TF Serving's models.config: models, policies, labels"
    )
    listen = parser.add_argument_group("where it listens")
    listen.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    listen.add_argument("--grpc-port", type=int, default=contract.DEFAULT_GRPC_PORT, help="0: any free (default 8500)")
    listen.add_argument("--rest-port", type=int, default=contract.DEFAULT_REST_PORT, help="0: any free (default 8501)")
    listen.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate, for both ports")
    listen.add_argument("--tls-key", type=Path, metavar="PEM", help="private key of the certificate")
    listen.add_argument(
        "--tls-client-ca", type=Path, metavar="PEM", help="clients must show a certificate of this authority"
    )
    listen.add_argument("--ssl-config-file", type=Path, metavar="FILE", help="TF Serving's file for the same")
    batching = parser.add_argument_group("batching")
    batching.add_argument("--batching-parameters-file", type=Path, metavar="FILE", help="TF Serving's file")
    batching.add_argument("--max-batch-size", type=int, metavar="ROWS", help="rows computed together (default 32)")
    batching.add_argument(
        "--batch-timeout-micros", type=int, metavar="N", help="wait for a batch to fill (default 0: never)"
    )
    batching.add_argument(
        "--max-enqueued-batches", type=int, metavar="N", help="batches that may wait; more is refused (default 64)"
    )
    batching.add_argument(
        "--num-batch-threads", type=int, metavar="N", help="batches computed at the same time (default: cores)"
    )
    life = parser.add_argument_group("life")
    life.add_argument(
        "--poll-seconds", type=float, default=2.0, metavar="S", help="look for new versions (default 2; 0: never)"
    )
    life.add_argument(
        "--drain-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="a stop waits for those in flight (default 30)",
    )
    life.add_argument("--monitoring-config-file", type=Path, metavar="FILE", help="TF Serving's file; metrics are on")
    life.add_argument(
        "--access-log", type=Path, metavar="FILE", help="one JSON object a request; - is standard error (default: none)"
    )
    life.add_argument("--ui", action="store_true", help="serve the page for people, at http://HOST:REST_PORT/ui/")
    add_request_log_arguments(parser, share=0.1)


def options_from(arguments: argparse.Namespace, model_base_path: Path | None) -> "ServerOptions":
    """Reads the files that were named and returns the options.

    Args:
        arguments: what was parsed by a parser with `add_server_arguments`.
        model_base_path: the model's directory, if one was given.

    Returns:
        The options.

    Raises:
        ValueError: if a value cannot be, a file is damaged, or two say different things.
        OSError: if a file cannot be read.
    """
    from serving.server.configuration.options import ServerOptions

    if (model_base_path is None) == (arguments.model_config_file is None):
        raise ValueError("give either the folder of a model's versions or --model-config-file, and not both.")
    return ServerOptions(
        model_base_path=model_base_path,
        model_config_file=arguments.model_config_file,
        model_name=arguments.model_name,
        host=arguments.host,
        grpc_port=arguments.grpc_port,
        rest_port=arguments.rest_port,
        batching=_batching(arguments),
        monitoring=_monitoring(arguments.monitoring_config_file),
        tls=_tls(arguments),
        poll_seconds=arguments.poll_seconds,
        drain_seconds=arguments.drain_seconds,
        page=arguments.ui,
        request_log=request_log_options(arguments),
    )


def _batching(arguments: argparse.Namespace) -> "BatchingParameters":
    from serving.server.configuration.files import read_batching_parameters
    from serving.server.configuration.parameters import BatchingParameters

    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if arguments.batching_parameters_file is None:
        return BatchingParameters(**given)
    if given:
        option = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{option}: cannot be given together with --batching-parameters-file. Put it into the file.")
    return read_batching_parameters(arguments.batching_parameters_file)


def _monitoring(path: Path | None) -> "Monitoring":
    from serving.server.configuration.files import read_monitoring_config
    from serving.server.configuration.parameters import Monitoring

    return Monitoring(enabled=True) if path is None else read_monitoring_config(path)


def _tls(arguments: argparse.Namespace) -> "TlsFiles | None":
    from serving.server.configuration.files import read_ssl_config
    from serving.server.configuration.parameters import TlsFiles

    given = [arguments.tls_cert, arguments.tls_key, arguments.tls_client_ca]
    if arguments.ssl_config_file is not None:
        if any(given):
            raise ValueError("--ssl-config-file: cannot be given together with --tls-cert, --tls-key, --tls-client-ca.")
        return read_ssl_config(arguments.ssl_config_file)
    if not any(given):
        return None
    if arguments.tls_cert is None or arguments.tls_key is None:
        raise ValueError("--tls-cert and --tls-key: must be given together.")
    return TlsFiles(
        certificate=arguments.tls_cert,
        key=arguments.tls_key,
        client_authority=arguments.tls_client_ca,
        require_client=arguments.tls_client_ca is not None,
    )
