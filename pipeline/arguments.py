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
    _add_arrange(commands)
    _add_split_collages(commands)
    _add_prepare(commands)
    _add_run(commands)
    _add_evaluate(commands)
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
        "genattr prepare data/demo-images data/demo --size 128 --train 0.6 --eval 0.2 --test 0.2\n"
        "  genattr prepare images data/mine --recompress 90 --confound fail",
    )
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder that holds {real,fake}/<source>/<images>")
    parser.add_argument("out", metavar="OUT", type=Path, help="dataset folder; span-<N> is written into it")
    parser.add_argument("--size", type=int, default=128, help="side in pixels (default 128); smaller ones are rejected")
    parser.add_argument(
        "--crop",
        choices=("center", "celeba", "resize"),
        default="center",
        help="the middle (default), or the face window of CelebA's 178 x 218 px images: both cut out, never rescaled. "
        "resize shrinks the central square as the published FacesHQ+ set-up did: it changes fingerprints, so use it to "
        "reproduce such a set-up and for nothing else",
    )
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
    parser.add_argument(
        "--recompress",
        type=_recompression,
        metavar="QUALITY|png",
        help="last step for every image, so that no file tells its class: JPEG of quality 1..100, 4:2:0 (masks earlier "
        "JPEG traces, best below their quality; strong ones, rescaling and missing colours stay visible), or png (the "
        "same container alone; JPEG traces stay). Images that are asked about later are taken as they come",
    )
    parser.add_argument(
        "--confound",
        choices=("warn", "fail", "off"),
        default="warn",
        help="if file format, JPEG compression, resolution or colour mode tells real from fake: warn (default), or "
        "fail (exit code 1) before anything is written",
    )
    parser.add_argument(
        "--confound-limit",
        type=float,
        default=0.75,
        metavar="B",
        help="balanced accuracy from which one of these counts, 0.5..1 (default 0.75)",
    )
    for split, share in (("train", "0.6"), ("eval", "0.2"), ("test", "0.2")):
        parser.add_argument(
            f"--{split}",
            type=_share,
            default=_share(share),
            metavar="N|F",
            help=f"images a source, or a fraction of them, for {split} (default {share})",
        )
    parser.add_argument(
        "--split-order",
        choices=("hashed", "reference"),
        default="hashed",
        help="by content, so that no image changes its split when others come (default), or by the numbers in the "
        "files' names and in the order of the published implementation; needs whole numbers of images",
    )
    parser.add_argument(
        "--real-factor",
        type=int,
        default=1,
        metavar="N",
        help="camera sources give N times the images asked for (default 1); needs whole numbers of images",
    )
    parser.add_argument("--span", type=int, default=1, help="number of the span to write (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of splits and perturbations (default 0)")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes (default 2); the result does not depend on it"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest's summary as JSON")


def _add_arrange(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "arrange",
        "make an image tree of a downloaded, published data set",
        "genattr arrange faceshqplus downloads/Faces-HQ --check\n"
        "  genattr arrange ganfp downloads images/ganfp --folder real_celeba=/data/celeba/img_align_celeba_png",
    )
    parser.add_argument("layout", metavar="LAYOUT", choices=("ganfp", "faceshqplus"), help="ganfp or faceshqplus")
    parser.add_argument("downloaded", metavar="DOWNLOADED", type=Path, help="folder that holds the downloaded folders")
    parser.add_argument("out", metavar="OUT", type=Path, nargs="?", help="image tree to make; not needed with --check")
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        type=_folder,
        metavar="SOURCE=DIR",
        dest="folders",
        help="where a source's images lie, if not in the folder that docs/published-datasets.md names; may be repeated",
    )
    parser.add_argument(
        "--amount", type=int, metavar="N", help="images a source, the first by number (default: as published)"
    )
    parser.add_argument("--copy", action="store_true", help="copy files, instead of linking where that is possible")
    parser.add_argument("--check", action="store_true", help="only say what is there, or missing (exit code 2)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def _add_split_collages(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "split-collages",
        "cut sheets of generated images into single images, never rescaled",
        "genattr split-collages stargan-v2/results images/faces/fake_testonly/starganv2_celebahq --tile 256",
    )
    parser.add_argument("collages", metavar="COLLAGES", nargs="+", type=Path, help="sheets, or folders of them")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write 000000.png, 000001.png ... into")
    parser.add_argument("--tile", type=int, required=True, metavar="PIXELS", help="height and width of one image")
    for what in ("row", "column"):
        parser.add_argument(
            f"--skip-first-{what}",
            action=argparse.BooleanOptionalAction,
            default=True,
            help=f"leave the first {what} out: a StarGAN v2 sheet shows its inputs there",
        )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes (default 2); the result does not depend on it"
    )
    parser.add_argument("--json", action="store_true", help="print what was cut, and what was refused, as JSON")


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


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands,
        "evaluate",
        "measure a servable on a dataset: predictions, figures, curves, confusion matrices, a report",
        "genattr evaluate runs/demo/serving/generator_attribution data/demo -o reports/demo --perturb all",
    )
    parser.add_argument("servable", metavar="SERVABLE", type=Path, help="servable, or the folder of its versions")
    parser.add_argument("dataset", metavar="DATASET", type=Path, help="prepared dataset, the folder of its spans")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="REPORT", help="folder; an earlier evaluation is replaced"
    )
    parser.add_argument("--span", type=int, metavar="N", help="number of the span (default: the newest)")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=("train", "eval", "test", "testonly"),
        metavar="SPLIT",
        dest="splits",
        help="which images: of train, eval, test, testonly (default: test testonly)",
    )
    parser.add_argument(
        "--perturb",
        nargs="+",
        choices=("none", "blur", "crop", "jpeg", "noise", "all"),
        default=["none"],
        metavar="NAME",
        help="ask again with every image perturbed: of blur, crop, jpeg, noise, or all (default: none)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of how strongly each image is perturbed (default 0)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a request (default 32)")
    parser.add_argument("--json", action="store_true", help="print metrics.json")


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
        "genattr predict photos/ --model runs/demo/serving/generator_attribution --format jsonl -o verdicts.jsonl\n"
        "  genattr predict photos/ --model models/ganfp --heatmaps maps/ --sourcetags --heatmap-scale reference",
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


def _recompression(text: str) -> int | str:
    """Reads a JPEG quality, or "png"."""
    if text == "png":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a JPEG quality (1 to 100, e.g. 90) or png, got '{text}'") from error


def _folder(text: str) -> tuple[str, Path]:
    """Reads SOURCE=DIR."""
    source, separator, folder = text.partition("=")
    if not (source and separator and folder):
        raise argparse.ArgumentTypeError(f"must have the form SOURCE=DIR, e.g. real_celeba=/data/celeba, got '{text}'")
    return source, Path(folder)


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
