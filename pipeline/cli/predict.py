"""`genattr predict`: verdicts on images, of a servable or of a server."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE, FAILED
from pipeline.startup import import_tensorflow
from serving.request_log.arguments import add_request_log_arguments, request_log_options

if TYPE_CHECKING:
    from serving.client import ClientOptions
    from serving.client.pictures import PictureStyle
    from serving.client.predict import Row


def add_predict(commands: Commands) -> None:
    """Add `genattr predict`."""
    parser = add_command(
        commands,
        "predict",
        "ask for verdicts on images and folders of images",
        "genattr predict photos/ --model runs/demo/serving/generator_attribution --format jsonl -o verdicts.jsonl\n"
        "  genattr predict photos/ --model models/ganfp --heatmaps maps/ --sourcetags --heatmap-scale reference",
        _predict,
    )
    parser.add_argument("paths", metavar="IMAGE_OR_DIR", nargs="+", type=Path)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=Path, metavar="SERVABLE", help="servable, or the folder of its versions")
    model.add_argument("--grpc", metavar="HOST:PORT", help="ask a server by gRPC")
    model.add_argument("--rest", metavar="URL", help="ask a server by REST, e.g. http://127.0.0.1:8501")
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table", help="(default table)")
    parser.add_argument("--json", action="store_const", const="jsonl", dest="format", help="the same as --format jsonl")
    parser.add_argument("--heatmaps", type=Path, metavar="OUT", help="write a picture of the evidence for each image")
    parser.add_argument(
        "--heatmap-scale",
        choices=("relative", "absolute", "reference"),
        help="colours of the pictures: relative to each map's own maximum (default); absolute, values from 1 on alike; "
        "reference, as the published pictures",
    )
    parser.add_argument("--nolabels", action="store_true", help="no verdicts and probabilities in the pictures")
    parser.add_argument(
        "--sourcetags", action="store_true", help="name the pictures <folder>_<stem>.png after their images' folders"
    )
    parser.add_argument(
        "--summary", action="store_true", help="shares of verdicts on standard error, even if that is no terminal"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images a request (default 32)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of standard output")
    _add_client_arguments(parser)
    add_request_log_arguments(parser, share=1.0)


def _add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a server is asked. None stands for the default of ClientOptions, so that `--model` can refuse them."""
    asking = parser.add_argument_group("asking a server, with --grpc or --rest")
    asking.add_argument("--model-name", metavar="NAME", help="the model (default generator_attribution)")
    version = asking.add_mutually_exclusive_group()
    version.add_argument("--version", type=int, metavar="N", help="its version (default: the newest)")
    version.add_argument("--label", metavar="L", help="the version with this label, e.g. stable")
    asking.add_argument("--concurrency", type=int, metavar="N", help="requests in flight (default 4)")
    asking.add_argument(
        "--deadline", type=float, metavar="SECONDS", help="longest wait for a batch, repetitions included (default 60)"
    )
    asking.add_argument(
        "--tls-ca", type=Path, metavar="PEM", help="authorities to trust; with --grpc, they are what asks for TLS"
    )
    asking.add_argument(
        "--tls-cert",
        type=Path,
        metavar="PEM",
        dest="tls_certificate",
        help="certificate to show, if the server wants one",
    )
    asking.add_argument("--tls-key", type=Path, metavar="PEM", help="private key of --tls-cert")


def _predict(options: argparse.Namespace) -> int:
    """Ask for verdicts. Exit code 1 if any image could not be judged."""
    from pipeline.cli.predictions import WRITERS, summarise
    from serving import contract
    from serving.client import open_predictor
    from serving.client.predict import find_images, predict_files
    from serving.request_log.client_log import client_log

    client = _client_options(options)
    request_log = request_log_options(options)
    images = find_images(options.paths)
    style = _picture_style(options, images)
    if not options.rest:
        import_tensorflow(options.verbose)
    failures = 0
    verdicts: list[str] = []
    with ExitStack() as stack:
        stream = sys.stdout
        if options.output:
            stream = stack.enter_context(options.output.open("w", newline=""))
        advance = stack.enter_context(output.progress("asking"))
        predictor = stack.enter_context(
            open_predictor(model=options.model, grpc=options.grpc, rest=options.rest, options=client)
        )
        signature = contract.SIGNATURE_EXPLAIN if options.heatmaps else contract.SIGNATURE_DEFAULT
        served = getattr(predictor, "version", None)  # of a directory; a server does not say which one answered
        version = options.version if served is None else served.number
        log = stack.enter_context(client_log(request_log, options.model_name, version, output.remark))

        def counted(rows: "Iterable[Row]") -> "Iterator[Row]":
            nonlocal failures
            for number, row in enumerate(rows, start=1):
                advance(number, len(images), str(row.path))
                if row.verdict is None:
                    failures += 1
                else:
                    verdicts.append(row.verdict)
                    if style is not None:
                        from serving.client.pictures import write_heatmaps

                        write_heatmaps(row, options.heatmaps, getattr(predictor, "view", None), style)
                yield row

        rows = predict_files(predictor, images, batch_size=options.batch_size, signature=signature, on_answer=log)
        WRITERS[options.format](counted(rows), stream)
    if options.summary or sys.stderr.isatty():
        output.remark(summarise(verdicts))
    if failures:
        output.error(f"{failures} of {len(images)} images could not be judged; the reason stands beside each.")
    return FAILED if failures else DONE


def _client_options(options: argparse.Namespace) -> "ClientOptions | None":
    """Return how a server is asked, None if a directory is; reject incompatible options before anything is asked."""
    from serving.client import ClientOptions

    fields = ("model_name", "version", "label", "concurrency", "deadline", "tls_ca", "tls_certificate", "tls_key")
    chosen = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    if options.model is None:
        return ClientOptions(batch_size=options.batch_size, **chosen)
    for name in chosen:
        raise ValueError(f"{name}: says how a server is asked, but --model asks none. Use --grpc or --rest.")
    return None


def _picture_style(options: argparse.Namespace, images: Sequence[Path]) -> "PictureStyle | None":
    """Return how pictures are drawn, None if none are wanted; reject incompatible options before anything is asked."""
    if options.heatmaps is None:
        for name in ("nolabels", "sourcetags", "heatmap_scale"):
            if getattr(options, name):
                raise ValueError(f"{name}: says how pictures are made, but none are. Add --heatmaps OUT.")
        return None
    from serving.client.pictures import PictureStyle, check_names

    style = PictureStyle(options.heatmap_scale or "relative", not options.nolabels, options.sourcetags)
    check_names(images, style)
    return style
