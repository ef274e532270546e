"""`genattr monitor`: compares logged requests with references, once or again and again."""

import argparse
import signal
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command, name_flags
from pipeline.cli.output import DONE, FAILED, print_json
from pipeline.startup import import_tensorflow
from serving.servable.shipped import model_argument

if TYPE_CHECKING:
    from pipeline.config.schema import PipelineConfig
    from pipeline.monitoring.gauges import Gauges
    from pipeline.monitoring.look import Look
    from pipeline.monitoring.trigger import RunStarter


def add_monitor(commands: Commands) -> None:
    """Add `genattr monitor`."""
    parser = add_command(
        commands,
        "monitor",
        "compare logged requests with what the servable was judged on, and with the days before",
        "genattr monitor requests/ --servable runs/faces/serving/generator_attribution\n"
        "  genattr monitor requests/ --config configs/faces.yaml --on-breach run\n"
        "  genattr monitor requests/ --servable /models/generator_attribution --listen 9102 --every 900",
        _monitor,
    )
    parser.description = f"""{parser.description}
Exit code 0: nothing is above its threshold; 1: something is, or the comparison
failed; 2: bad usage. Too few rows raise no alarm, and the table says so."""
    parser.add_argument("log", metavar="LOG_FOLDER", type=Path, help="what --request-log was given")
    reference = parser.add_mutually_exclusive_group()
    reference.add_argument(
        "--servable",
        type=model_argument,
        metavar="SERVABLE",
        help="servable, the folder of its versions, or a name: faces (default: that of the configuration, if it has "
        "pushed one)",
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
    exporter.add_argument(
        "--listen", type=int, metavar="PORT", dest="port", help="serve /metrics and /healthz; 0: any free port"
    )
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


def _monitor(options: argparse.Namespace) -> int:
    """Compare a request log with references. Exit code 1 if a threshold is breached."""
    _check(options)
    from pipeline.config.schema import load_config

    config = None if options.config is None else load_config(options.config, options.overrides)
    servable = _servable(options, config)
    starter = None if config is None else _starter(options, config)
    import_tensorflow(options.verbose)
    from components.monitoring.parameters import MonitoringParameters
    from pipeline.monitoring.look import look
    from pipeline.monitoring.reference import find_reference

    parameters = MonitoringParameters() if config is None else config.monitoring

    def look_once() -> "Look":
        found = look(
            options.log, parameters, find_reference(servable, options.reference), options.day, options.model_name
        )
        if options.report is not None:
            from pipeline.monitoring.report import write_look

            write_look(found, options.report)
        return found

    if options.port is not None:
        from pipeline.monitoring.gauges import Gauges

        return _listen(options, look_once, Gauges(), starter)
    found = look_once()
    if options.json:
        print_json(found.to_dict())
    else:
        _print_look(found, options)
    if found.breaches and starter is not None:
        started = starter.breached([each.column for each in found.breaches])
        output.remark(started.reason)
        if started.process is not None and started.process.wait() != 0:
            output.error(f"the run failed with exit code {started.process.returncode}")
    return FAILED if found.breaches else DONE


def _check(options: argparse.Namespace) -> None:
    """Reject incompatible options before anything is imported."""
    if options.port is None:
        for name in ("every", "host"):
            if getattr(options, name) is not None:
                raise ValueError(f"{name}: says how to look again and again, but nothing does. Add --listen PORT.")
    elif options.json or options.day is not None:
        name = "json" if options.json else "day"
        raise ValueError(f"{name}: is about one look, but --listen looks again and again. Leave one of them out.")
    if options.every is not None and not options.every > 0:
        raise ValueError(f"every: must be a number of seconds above 0, got {options.every:g}. For example 900.")
    if options.overrides and options.config is None:
        raise ValueError("overrides: overrides a key of a configuration, but there is none. Add --config CONFIG.")
    if options.on_breach is not None and options.config is None:
        raise ValueError("on_breach: runs the pipeline of a configuration. Add --config CONFIG.")
    if options.on_breach == "submit" and options.kubeflow is None:
        raise ValueError("on_breach: submit needs to know the cluster. Add --kubeflow URL.")
    if options.on_breach != "submit":
        for name in ("kubeflow", "namespace", "token_file"):
            if getattr(options, name) is not None:
                raise ValueError(f"{name}: is for --on-breach submit. Add that, or leave it out.")


def _servable(options: argparse.Namespace, config: "PipelineConfig | None") -> Path | None:
    """Return the servable whose reference is taken: the one named, else the one that the configuration has pushed."""
    if options.servable is not None:
        from serving.servable.shipped import resolve_model

        return resolve_model(options.servable)
    if options.reference is not None or config is None:
        return None
    pushed = config.serving_base
    return pushed if pushed.is_dir() and any(pushed.iterdir()) else None


def _starter(options: argparse.Namespace, config: "PipelineConfig") -> "RunStarter | None":
    from pipeline.monitoring.trigger import RunStarter, run_command

    if options.on_breach is None:
        return None
    named = {"--host": options.kubeflow, "--namespace": options.namespace, "--token-file": options.token_file}
    cluster = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    return RunStarter(config, run_command(options.on_breach, options.config, options.overrides, cluster))


def _listen(
    options: argparse.Namespace, look_once: "Callable[[], Look]", gauges: "Gauges", starter: "RunStarter | None"
) -> int:
    """Inspect the log again and again until SIGTERM or SIGINT."""
    from pipeline.monitoring.exporter import look_repeatedly, metrics_server

    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    host = options.host or "127.0.0.1"

    def on_look(found: "Look") -> None:
        columns = [f"{each.column} ({each.kind} {each.bits:.3f})" for each in found.breaches]
        output.remark(f"{found.day}: {found.rows:,} rows, breaches: {', '.join(columns) or 'none'}")
        if found.breaches and starter is not None:
            started = starter.breached([each.column for each in found.breaches])
            output.remark(started.reason)
            if started.process is not None:
                gauges.run_started()

    def on_error(message: str) -> None:
        output.error(name_flags(message, options))

    with metrics_server(host, options.port, gauges) as port:
        output.say(f"metrics  http://{host}:{port}/metrics")
        look_repeatedly(look_once, gauges, options.every or 900.0, on_look, on_error, stop)
    return DONE


def _print_look(found: "Look", options: argparse.Namespace) -> None:
    """Print an inspection for people."""
    version = "" if found.version is None else f" version {found.version}"
    days = ", ".join(day.isoformat() for day in found.baseline) or "none"
    output.say(f"day        {found.day}: {found.rows:,} rows of {found.model}{version}")
    output.say(f"before     {days}: {found.baseline_rows:,} rows")
    output.say(f"reference  {found.reference or 'none'}: {found.reference_rows:,} images")
    for note in found.notes:
        output.say(f"note       {name_flags(note, options)}")
    if found.malformed:
        output.say(f"note       {found.malformed:,} lines could not be read, e.g. {found.malformed_examples[0]}")
    headings = ("column", "kind", "divergence", "noise", "threshold", "rows", "others", "state")
    rows = [
        (
            each.column,
            each.kind,
            f"{each.bits:.4f}",
            f"{each.noise:.4f}",
            "-" if each.threshold is None else f"{each.threshold:g}",
            f"{each.rows:,}",
            f"{each.other_rows:,}",
            each.state,
        )
        for each in found.divergences
    ]
    if rows:
        output.table("Jensen-Shannon divergence, bits", headings, rows)
    output.say(f"breaches   {', '.join(f'{each.column} ({each.kind})' for each in found.breaches) or 'none'}")
