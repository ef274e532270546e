"""`genattr predict`: verdicts on images, of a servable or of a server."""

import argparse
import json
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE, FAILED
from pipeline.startup import import_tensorflow
from serving.atomic import naming_storage_errors, write_text
from serving.contract import DEFAULT_MODEL_NAME
from serving.names import printable
from serving.request_log.arguments import add_request_log_arguments, request_log_options
from serving.servable.shipped import model_argument

if TYPE_CHECKING:
    from serving.client import ClientOptions
    from serving.client.file_search import FoundImages
    from serving.client.pictures import PictureStyle
    from serving.client.predict import Row


def add_predict(commands: Commands) -> None:
    """Add `genattr predict`."""
    parser = add_command(
        commands,
        "predict",
        "ask for verdicts on images and folders of images",
        "genattr predict photo.jpg\n"
        "  genattr predict photos/ --model runs/demo/serving/generator_attribution --format jsonl -o verdicts.jsonl\n"
        "  find photos -newer verdicts.csv -name '*.jpg' -print0 | genattr predict --from0 - --rest http://127.0.0.1:8501\n"
        "  genattr predict photos/ --model models/ganfp --heatmaps maps/ --sourcetags --heatmap-scale reference",
        _predict,
    )
    parser.add_argument(
        "paths",
        metavar="IMAGE_OR_DIR",
        nargs="*",
        type=_path,
        help="image files and directories; - reads one image from standard input",
    )
    parser.add_argument(
        "--from0",
        type=Path,
        metavar="FILE",
        help="read more paths from FILE, each ended by NUL, as find -print0 writes them; - is standard input",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--model",
        type=model_argument,
        metavar="SERVABLE",
        help="servable, the folder of its versions, or a model that comes with the product (default: faces)",
    )
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
    parser.add_argument(
        "--counts", type=Path, metavar="FILE", help="write how many entries were judged, missed and skipped, as JSON"
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


def _path(text: str) -> Path:
    """Return a path; only "-" itself is standard input, "./-" is a file."""
    path = Path(text)
    return path.absolute() if path == Path("-") and text != "-" else path


def _predict(options: argparse.Namespace) -> int:
    """Ask for verdicts. Exit code 1 if any image could not be judged."""
    from pipeline.cli.predictions import WRITERS, summarise
    from serving import contract
    from serving.client import open_predictor
    from serving.client.file_search import read_streams
    from serving.client.predict import predict_files
    from serving.request_log.client_log import client_log

    client = _client_options(options)
    request_log = request_log_options(options)
    found, listed = _find(options)
    paths = list(dict.fromkeys((*found.images, *listed)))
    _require_other_files(options, paths)
    shipped = _settle_model(options)
    style = _picture_style(options, paths)
    contents = read_streams(found.images)
    if not options.rest:
        import_tensorflow(options.verbose)
    tally = _Tally()
    with ExitStack() as stack:
        stack.enter_context(naming_storage_errors(options.output or output.STANDARD_OUTPUT))
        stream = sys.stdout
        if options.output:
            stream = stack.enter_context(options.output.open("w", encoding="utf-8", newline=""))
        advance = stack.enter_context(output.progress("asking"))
        predictor = stack.enter_context(
            open_predictor(model=options.model, grpc=options.grpc, rest=options.rest, options=client)
        )
        signature = contract.SIGNATURE_EXPLAIN if options.heatmaps else contract.SIGNATURE_DEFAULT
        served = getattr(predictor, "version", None)  # of a directory; a server does not say which one answered
        version = options.version if served is None else served.number
        log = stack.enter_context(client_log(request_log, options.model_name, version, output.remark))

        def counted(rows: "Iterable[Row]") -> "Iterator[Row]":
            for number, row in enumerate(rows, start=1):
                advance(number, len(paths) + len(found.missed), str(row.path))
                tally.add(row)
                if style is not None and row.verdict is not None:
                    from serving.client.pictures import write_heatmaps

                    write_heatmaps(row, options.heatmaps, getattr(predictor, "view", None), style)
                yield row if shipped is None else replace(row, model=shipped)

        rows = predict_files(predictor, paths, options.batch_size, signature, on_answer=log, contents=contents)
        WRITERS[options.format](counted(chain(rows, _missed_rows(found))), stream)
        skipped = found.summary()
        if skipped and options.format == "table":
            stream.write(f"{skipped}\n")
        stream.flush()
    if skipped and options.format != "table":
        output.remark(skipped)
    if options.counts:
        write_text(options.counts, json.dumps(tally.to_json(found), indent=2) + "\n")
    if options.summary or sys.stderr.isatty():
        output.remark(summarise(tally.verdicts))
    if tally.errors:
        output.error(f"{tally.errors} of {tally.images} images could not be judged; the reason stands beside each.")
    return FAILED if tally.errors else DONE


def _settle_model(options: argparse.Namespace) -> dict[str, Any] | None:
    """Replace a model's name by its path, and no model at all by the default one.

    Returns:
        Name, version and training data of a model that comes with the product, once they are printed; else None.
    """
    from serving.servable.shipped import default_model, identity, introduction, resolve_model

    if options.model is None and (options.grpc or options.rest):
        return None
    options.model = default_model() if options.model is None else resolve_model(options.model)
    model = identity(options.model)
    if model is not None:
        output.remark(introduction(model))
    return model


class _Tally:
    """Count of what became of the images."""

    def __init__(self) -> None:
        self.verdicts: list[str] = []
        self.errors = 0

    def add(self, row: "Row") -> None:
        if row.verdict is None:
            self.errors += 1
        else:
            self.verdicts.append(row.verdict)

    @property
    def images(self) -> int:
        return len(self.verdicts) + self.errors

    def to_json(self, found: "FoundImages") -> dict[str, Any]:
        """Return {"entries", "judged", "errors", "skipped": {reason: n}}; entries are the sum of all others."""
        skipped = found.skipped
        entries = self.images + sum(skipped.values())
        return {"entries": entries, "judged": len(self.verdicts), "errors": self.errors, "skipped": skipped}


def _find(options: argparse.Namespace) -> "tuple[FoundImages, list[Path]]":
    """Return what the arguments stand for, and the paths of the list that was named."""
    from serving.client.file_search import STANDARD_INPUT, FoundImages, find, mode_of, read_names

    if not options.paths and options.from0 is None:
        raise ValueError("paths: name images or directories, - for standard input, or a list of paths by `from0`.")
    if STANDARD_INPUT in options.paths and (options.from0 == STANDARD_INPUT or sys.stdin.isatty()):
        found = "a list of paths" if options.from0 == STANDARD_INPUT else "a terminal"
        raise ValueError(f"paths: - reads an image from standard input, which is {found}. Name the image's file.")
    listed = [] if options.from0 is None else read_names(options.from0)
    directories = [path for path in listed if stat.S_ISDIR(mode_of(path))]
    given = find([*options.paths, *directories]) if options.paths or directories else FoundImages()
    return given, [path for path in listed if path not in set(directories)]


def _require_other_files(options: argparse.Namespace, images: Sequence[Path]) -> None:
    """Refuse to write over an image that is to be judged, under whatever name."""
    from serving.client.file_search import mode_of

    for name in ("output", "counts"):
        target = getattr(options, name)
        if target is None or not target.is_file():
            continue
        if same := next((path for path in images if stat.S_ISREG(mode_of(path)) and path.samefile(target)), None):
            raise ValueError(f"{name}: {printable(target)} is the image {printable(same)}. Name another file.")


def _missed_rows(found: "FoundImages") -> "Iterator[Row]":
    from serving.client.predict import Row

    for item in found.missed:
        yield Row(item.path, error=item.detail)


def _client_options(options: argparse.Namespace) -> "ClientOptions | None":
    """Return how a server is asked, None if a directory is; reject incompatible options before anything is asked."""
    from serving.client import ClientOptions

    fields = ("model_name", "version", "label", "concurrency", "deadline", "tls_ca", "tls_certificate", "tls_key")
    chosen = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    if options.grpc is not None or options.rest is not None:
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
    from serving.client.pictures import PictureStyle, check_earlier, check_names

    style = PictureStyle(options.heatmap_scale or "relative", not options.nolabels, options.sourcetags, _model(options))
    check_names(images, style)
    check_earlier(images, options.heatmaps, style)
    return style


def _model(options: argparse.Namespace) -> str:
    """Return the model that is asked, as pictures name it."""
    if options.model is not None:
        from serving.servable.versions import find_version

        return printable(find_version(options.model).path.resolve())
    asked = options.model_name or DEFAULT_MODEL_NAME
    version = f" version {options.version}" if options.version is not None else ""
    label = f" label {options.label}" if options.label is not None else ""
    return f"{options.grpc or options.rest} {asked}{version}{label}"
