"""What `genattr monitor` does, once its arguments are parsed."""

import argparse
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import console
from pipeline.cli.commands import DONE, FAILED, print_json
from pipeline.config.schema import PipelineConfig, load_config
from pipeline.startup import import_tensorflow

if TYPE_CHECKING:
    from pipeline.monitoring.gauges import Gauges
    from pipeline.monitoring.look import Look
    from pipeline.monitoring.trigger import RunStarter


def monitor(options: argparse.Namespace) -> int:
    """Looks at a request log. Exit code 1 if a threshold is breached."""
    _check(options)
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

    if options.listen is not None:
        from pipeline.monitoring.gauges import Gauges

        return _listen(options, look_once, Gauges(), starter)
    found = look_once()
    if options.json:
        print_json(found.to_dict())
    else:
        _tell(found)
    if found.breaches and starter is not None:
        started = starter.breached([each.column for each in found.breaches])
        console.remark(started.reason)
        if started.process is not None and started.process.wait() != 0:
            console.error(f"the run failed with exit code {started.process.returncode}")
    return FAILED if found.breaches else DONE


def _check(options: argparse.Namespace) -> None:
    """Refuses words that make no sense together, before anything is imported."""
    if options.listen is None:
        for name in ("every", "host"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name}: says how to look again and again, but nothing does. Add --listen PORT.")
    elif options.json or options.day is not None:
        word = "json" if options.json else "day"
        raise ValueError(f"--{word}: is about one look, but --listen looks again and again. Leave one of them out.")
    if options.every is not None and not options.every > 0:
        raise ValueError(f"--every: must be a number of seconds above 0, got {options.every:g}. For example 900.")
    if options.overrides and options.config is None:
        raise ValueError("--set: overrides a key of a configuration, but there is none. Add --config CONFIG.")
    if options.on_breach is not None and options.config is None:
        raise ValueError("--on-breach: runs the pipeline of a configuration. Add --config CONFIG.")
    if options.on_breach == "submit" and options.kubeflow is None:
        raise ValueError("--on-breach submit: needs to know the cluster. Add --kubeflow URL.")
    if options.on_breach != "submit":
        for name in ("kubeflow", "namespace", "token_file"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')}: is for --on-breach submit. Add that, or leave it out.")


def _servable(options: argparse.Namespace, config: PipelineConfig | None) -> Path | None:
    """Returns the servable whose reference is taken: the one named, else the one that the configuration has pushed."""
    if options.servable is not None or options.reference is not None or config is None:
        named: Path | None = options.servable
        return named
    pushed = config.serving_base
    return pushed if pushed.is_dir() and any(pushed.iterdir()) else None


def _starter(options: argparse.Namespace, config: PipelineConfig) -> "RunStarter | None":
    from pipeline.monitoring.trigger import RunStarter, run_command

    if options.on_breach is None:
        return None
    named = {"--host": options.kubeflow, "--namespace": options.namespace, "--token-file": options.token_file}
    cluster = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    return RunStarter(config, run_command(options.on_breach, options.config, options.overrides, cluster))


def _listen(
    options: argparse.Namespace, look_once: "Callable[[], Look]", gauges: "Gauges", starter: "RunStarter | None"
) -> int:
    """Looks until SIGTERM or SIGINT."""
    from pipeline.monitoring.exporter import look_repeatedly, metrics_server

    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    host = options.host or "127.0.0.1"

    def on_look(found: "Look") -> None:
        columns = [f"{each.column} ({each.kind} {each.bits:.3f})" for each in found.breaches]
        console.remark(f"{found.day}: {found.rows:,} rows, breaches: {', '.join(columns) or 'none'}")
        if found.breaches and starter is not None:
            started = starter.breached([each.column for each in found.breaches])
            console.remark(started.reason)
            if started.process is not None:
                gauges.run_started()

    with metrics_server(host, options.listen, gauges) as port:
        console.say(f"metrics  http://{host}:{port}/metrics")
        look_repeatedly(look_once, gauges, options.every or 900.0, on_look, console.error, stop)
    return DONE


def _tell(found: "Look") -> None:
    """Prints what was found for people."""
    version = "" if found.version is None else f" version {found.version}"
    days = ", ".join(day.isoformat() for day in found.baseline) or "none"
    console.say(f"day        {found.day}: {found.rows:,} rows of {found.model}{version}")
    console.say(f"before     {days}: {found.baseline_rows:,} rows")
    console.say(f"reference  {found.reference or 'none'}: {found.reference_rows:,} images")
    for note in found.notes:
        console.say(f"note       {note}")
    if found.malformed:
        console.say(f"note       {found.malformed:,} lines could not be read, e.g. {found.malformed_examples[0]}")
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
        console.table("Jensen-Shannon divergence, bits", headings, rows)
    console.say(f"breaches   {', '.join(f'{each.column} ({each.kind})' for each in found.breaches) or 'none'}")
