"""The words that `genattr` and its commands take. Nothing heavy is imported here."""

import argparse
from pathlib import Path

from pipeline.cli.command import Commands, add_command, add_configuration
from pipeline.cli.data import add_arrange, add_prepare, add_sample, add_split_collages
from pipeline.cli.kubeflow_arguments import add_compile, add_schedule, add_submit
from pipeline.cli.monitor_arguments import add_monitor
from pipeline.cli.rollout_arguments import add_promote, add_retain, add_rollback
from pipeline.cli.sources_arguments import add_describe, add_sources
from serving.request_log.arguments import add_request_log_arguments
from serving.server.arguments import add_server_arguments

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
    add_sample(commands)
    add_arrange(commands)
    add_split_collages(commands)
    add_prepare(commands)
    _add_run(commands)
    add_sources(commands)
    add_describe(commands)
    _add_evaluate(commands)
    add_compile(commands)
    add_submit(commands)
    add_schedule(commands)
    _add_serve(commands)
    add_promote(commands)
    add_rollback(commands)
    add_retain(commands)
    _add_predict(commands)
    add_monitor(commands)
    _add_import_weights(commands)
    _add_demo(commands)
    return parser


def _add_run(commands: Commands) -> None:
    parser = add_command(
        commands,
        "run",
        "run the pipeline on this machine, from a dataset to a pushed servable",
        "genattr run configs/demo.yaml --set primary.epochs=20",
    )
    add_configuration(parser)
    parser.add_argument(
        "--runner",
        choices=("beam", "local"),
        default="beam",
        help="BeamDagRunner (default) or LocalDagRunner; the result is the same",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_evaluate(commands: Commands) -> None:
    parser = add_command(
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


def _add_serve(commands: Commands) -> None:
    parser = add_command(
        commands,
        "serve",
        "serve a servable by gRPC and REST, as TF Serving would (for laptops and tests)",
        "genattr serve runs/demo/serving/generator_attribution --ui\n"
        "  genattr serve --model-config-file models.config --batching-parameters-file batching_parameters.txt",
    )
    parser.add_argument(
        "model_base_dir", metavar="MODEL_BASE_DIR", type=Path, nargs="?", help="folder that holds <version>/"
    )
    add_server_arguments(parser)


def _add_predict(commands: Commands) -> None:
    parser = add_command(
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
    _add_server_questions(parser)
    add_request_log_arguments(parser, share=1.0)


def _add_server_questions(parser: argparse.ArgumentParser) -> None:
    """Adds how a server is asked. None stands for the default of ClientOptions, so that `--model` can refuse them."""
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


def _add_import_weights(commands: Commands) -> None:
    parser = add_command(
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


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        "sample, prepare, run, serve and ask, with everything set",
        "genattr demo",
    )
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"), help="(default configs/demo.yaml)")
    parser.add_argument("--per-source", type=int, default=200, metavar="N", help="images a source (default 200)")
