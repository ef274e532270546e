"""The words that `genattr` and its commands take. Nothing heavy is imported here."""

import argparse
from pathlib import Path

_DESCRIPTION = "Is this image camera-made or synthesised by a GAN, and by which generator?"

_EXAMPLES = """examples:
  genattr sample data/demo-images                       make a small synthetic image tree
  genattr prepare data/demo-images data/demo            turn an image tree into a dataset
  genattr run configs/demo.yaml                         train, evaluate, assemble, validate, push
  genattr serve runs/demo/serving/generator_attribution serve what was pushed
  genattr predict photo.jpg --model runs/demo/serving/generator_attribution
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="genattr",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_sample(commands)
    _add_prepare(commands)
    _add_run(commands)
    _add_serve(commands)
    _add_predict(commands)
    _add_import_weights(commands)
    _add_demo(commands)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, example: str
) -> argparse.ArgumentParser:
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


def _add_sample(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "sample",
        "make a synthetic image tree, for the demonstration and for tests",
        "genattr sample data/demo-images --per-source 200",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write real/ and fake/ into")
    parser.add_argument("--per-source", type=int, default=200, metavar="N", help="images a source (default 200)")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default 128)")
    parser.add_argument("--seed", type=int, default=0, help="of the images' content (default 0)")
    parser.add_argument("--generators", nargs="+", metavar="NAME", help="generators to sample (default: four of them)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def _add_prepare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "prepare",
        "turn an image tree into a dataset",
        "genattr prepare data/demo-images data/demo --size 128 --train 0.6 --eval 0.2 --test 0.2",
    )
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder that holds {real,fake}/<source>/<images>")
    parser.add_argument("out", metavar="OUT", type=Path, help="dataset folder; span-<N> is written into it")
    parser.add_argument("--size", type=int, default=128, help="window in pixels, cut out, never rescaled (default 128)")
    parser.add_argument("--crop", choices=("center", "celeba"), default="center", help="which window (default center)")
    parser.add_argument(
        "--perturb",
        choices=("none", "blur", "crop", "jpeg", "noise", "multi"),
        default="none",
        help="perturb about half of the images (default none)",
    )
    parser.add_argument(
        "--perturb-mode",
        choices=("corrected", "reference"),
        default="corrected",
        help="as the papers state (default), or exactly as the published implementation does, to compare numbers",
    )
    for split, share in (("train", "0.6"), ("eval", "0.2"), ("test", "0.2")):
        parser.add_argument(
            f"--{split}",
            type=_share,
            default=_share(share),
            metavar="N|F",
            help=f"images a source, or a fraction of them, for {split} (default {share})",
        )
    parser.add_argument("--span", type=int, default=1, help="number of the span to write (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of splits and perturbations (default 0)")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes (default 2); the result does not depend on it"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest's summary as JSON")


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "run",
        "run the pipeline on this machine, from a dataset to a pushed servable",
        "genattr run configs/demo.yaml --set primary.epochs=20",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file")
    parser.add_argument(
        "--runner",
        choices=("beam", "local"),
        default="beam",
        help="BeamDagRunner (default) or LocalDagRunner; the result is the same",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a dotted key"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "serve",
        "serve a servable by gRPC and REST, as TF Serving would (for laptops and tests)",
        "genattr serve runs/demo/serving/generator_attribution --grpc-port 8500 --rest-port 8501",
    )
    parser.add_argument("model_base_dir", metavar="MODEL_BASE_DIR", type=Path, help="folder that holds <version>/")
    parser.add_argument("--grpc-port", type=int, default=8500, help="0 takes any free port (default 8500)")
    parser.add_argument("--rest-port", type=int, default=8501, help="0 takes any free port (default 8501)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--model-name", default="generator_attribution", help="name that requests ask for")


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "predict",
        "ask for verdicts on images and folders of images",
        "genattr predict photos/ --model runs/demo/serving/generator_attribution --format jsonl -o verdicts.jsonl",
    )
    parser.add_argument("paths", metavar="IMAGE_OR_DIR", nargs="+", type=Path)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=Path, metavar="SERVABLE", help="servable, or the folder of its versions")
    model.add_argument("--grpc", metavar="HOST:PORT", help="ask a server by gRPC")
    model.add_argument("--rest", metavar="URL", help="ask a server by REST, e.g. http://127.0.0.1:8501")
    parser.add_argument("--model-name", default="generator_attribution", help="the model to ask a server for")
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table", help="(default table)")
    parser.add_argument("--json", action="store_const", const="jsonl", dest="format", help="the same as --format jsonl")
    parser.add_argument("--heatmaps", type=Path, metavar="OUT", help="write a picture of the evidence for each image")
    parser.add_argument("--batch-size", type=int, default=32, help="images a request (default 32)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of standard output")


def _add_import_weights(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "import-weights",
        "make a servable of published weights",
        "genattr import-weights attribution_ganfp_progan_dct.h5 -o models/ganfp/1 --statistics statistics/ganfp",
    )
    parser.add_argument(
        "files", metavar="H5", nargs="+", type=Path, help="published files; each attribution file: a head"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SERVABLE", help="new directory to write")
    parser.add_argument("--statistics", type=Path, metavar="DIR", help="mean.npy and std_dev.npy, for DCT models")
    parser.add_argument(
        "--source", nargs="+", metavar="NAME", help="the heads' names, in order (default: from the files' names)"
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "demo",
        "sample, prepare, run, serve and ask, with everything set",
        "genattr demo",
    )
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"), help="(default configs/demo.yaml)")
    parser.add_argument("--per-source", type=int, default=200, metavar="N", help="images a source (default 200)")


def _share(text: str) -> int | float:
    """Reads a count (whole number) or a fraction (with a decimal point)."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be a number of images (e.g. 200) or a fraction (e.g. 0.2), got '{text}'"
        ) from error
