"""The words that the commands about Kubeflow Pipelines take. Nothing heavy is imported here."""

import argparse
from pathlib import Path

from pipeline.cli.command import Commands, add_command, add_configuration


def add_compile(commands: Commands) -> None:
    """Adds `genattr compile`."""
    parser = add_command(
        commands,
        "compile",
        "write the pipeline as a Kubeflow Pipelines package",
        "genattr compile configs/kubeflow.yaml -o pipeline.yaml",
    )
    add_configuration(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="package to write, YAML")
    parser.add_argument("--json", action="store_true", help="print the tasks as JSON")


def add_submit(commands: Commands) -> None:
    """Adds `genattr submit`."""
    parser = add_command(
        commands,
        "submit",
        "run the pipeline once on Kubeflow Pipelines",
        "genattr submit configs/faces.yaml --host https://kubeflow.example.com/pipeline --wait",
    )
    add_configuration(parser)
    parser.add_argument(
        "--span", type=int, metavar="N", help="span to train on (default: as configured, or the newest)"
    )
    parser.add_argument("--image", metavar="IMAGE", help="of every task (default: kubeflow.image)")
    parser.add_argument(
        "--run-name",
        metavar="NAME",
        help="if a run of that name has not failed, it is taken instead of another (default: <name>-<time in UTC>)",
    )
    parser.add_argument("--wait", action="store_true", help="until the run ends; exit code 1 if it fails")
    _add_cluster(parser)


def add_schedule(commands: Commands) -> None:
    """Adds `genattr schedule`."""
    parser = add_command(
        commands,
        "schedule",
        "run the pipeline again and again on Kubeflow Pipelines, on the newest span",
        'genattr schedule configs/faces.yaml --host https://kubeflow.example.com/pipeline --cron "0 2 * * *"',
    )
    add_configuration(parser)
    doing = parser.add_mutually_exclusive_group(required=True)
    doing.add_argument(
        "--cron",
        metavar="FIELDS",
        help="make or replace the recurring run: minute hour day-of-month month day-of-week, in UTC; with six fields, "
        "second first; or @hourly, @daily, @weekly, @monthly",
    )
    doing.add_argument("--pause", action="store_true", help="pause the recurring run; runs in progress go on")
    doing.add_argument(
        "--resume", action="store_true", help="resume it; if times passed meanwhile, the last is made up for at once"
    )
    doing.add_argument("--delete", action="store_true", help="delete it; its runs are kept")
    doing.add_argument("--list", action="store_true", help="list all recurring runs of the experiment")
    parser.add_argument("--image", metavar="IMAGE", help="of every task, with --cron (default: kubeflow.image)")
    _add_cluster(parser)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    """Adds where the cluster is, and who asks. A token is never a word of a command: everybody sees those."""
    cluster = parser.add_argument_group("the cluster")
    cluster.add_argument("--host", required=True, metavar="URL", help="Kubeflow Pipelines, e.g. http://127.0.0.1:8080")
    cluster.add_argument("--namespace", metavar="NS", help="of your Kubeflow profile, where Kubeflow has several users")
    cluster.add_argument("--experiment", metavar="NAME", help="made if need be (default: the pipeline's name)")
    cluster.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file that holds a bearer token (default: that of KF_PIPELINES_SA_TOKEN_PATH, if it is set)",
    )
    cluster.add_argument("--ca", type=Path, metavar="PEM", dest="authority", help="authorities to trust")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
