"""The words that `genattr monitor` takes. Nothing heavy is imported here."""

import argparse
from datetime import date
from pathlib import Path

from pipeline.cli.command import Commands, add_command


def add_monitor(commands: Commands) -> None:
    """Adds `genattr monitor`."""
    parser = add_command(
        commands,
        "monitor",
        "compare logged requests with what the servable was judged on, and with the days before",
        "genattr monitor requests/ --servable runs/faces/serving/generator_attribution\n"
        "  genattr monitor requests/ --config configs/faces.yaml --on-breach run\n"
        "  genattr monitor requests/ --servable /models/generator_attribution --listen 9102 --every 900",
    )
    parser.description = f"""{parser.description}
Exit code 0: nothing is above its threshold; 1: something is, or the comparison
failed; 2: bad usage. Too few rows raise no alarm, and the table says so."""
    parser.add_argument("log", metavar="LOG_FOLDER", type=Path, help="what --request-log was given")
    reference = parser.add_mutually_exclusive_group()
    reference.add_argument(
        "--servable",
        type=Path,
        metavar="SERVABLE",
        help="servable, or the folder of its versions (default: that of the configuration, if it has pushed one)",
    )
    reference.add_argument("--reference", type=Path, metavar="FILE", help="reference statistics themselves")
    parser.add_argument("--config", type=Path, metavar="CONFIG", help="YAML file; its section `monitoring` is used")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a dotted key of it"
    )
    parser.add_argument(
        "--day", type=_day, metavar="YYYY-MM-DD", help="which day, in UTC (default: the newest that is logged)"
    )
    parser.add_argument("--model-name", metavar="NAME", help="whose rows (default: the model with most of them)")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--report", type=Path, metavar="HTML", help="write what was found, with the shares of classes")
    exporter = parser.add_argument_group("again and again, for Prometheus")
    exporter.add_argument("--listen", type=int, metavar="PORT", help="serve /metrics and /healthz; 0: any free port")
    exporter.add_argument("--every", type=float, metavar="SECONDS", help="between two looks (default 900)")
    exporter.add_argument("--host", metavar="ADDRESS", help="where to listen (default 127.0.0.1: this machine only)")
    breach = parser.add_argument_group("when a threshold is breached")
    breach.add_argument(
        "--on-breach",
        choices=("run", "submit"),
        help="run the pipeline of --config here, or submit it to Kubeflow Pipelines; once in monitoring.cooldown_hours",
    )
    breach.add_argument("--kubeflow", metavar="URL", help="Kubeflow Pipelines, for submit")
    breach.add_argument("--namespace", metavar="NS", help="of your Kubeflow profile, for submit")
    breach.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds a bearer token, for submit")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a day such as 2026-11-25, got {text!r}") from error
