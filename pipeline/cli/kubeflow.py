"""What the commands about Kubeflow Pipelines do, once their arguments are parsed."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import console
from pipeline.cli.commands import DONE, FAILED, print_json, tell
from pipeline.config.kubeflow import KubeflowParameters
from pipeline.config.schema import PipelineConfig, load_config, validated
from pipeline.sources.registry import with_registered_sources
from pipeline.startup import import_tensorflow

if TYPE_CHECKING:
    from pipeline.kubeflow.connection import Connection
    from pipeline.kubeflow.packages import Package


def compile(options: argparse.Namespace) -> int:  # noqa: A001 (the command's name)
    """Writes the Kubeflow Pipelines package of a configuration."""
    config = load_config(options.config, options.overrides)
    import_tensorflow(options.verbose)
    from pipeline.kubeflow.compilation import compile_package

    tasks = compile_package(with_registered_sources(config), options.output)
    if options.json:
        print_json({"package": str(options.output), "tasks": tasks})
    else:
        console.say(f"package  {options.output}: {len(tasks)} tasks")
    return DONE


def submit(options: argparse.Namespace) -> int:
    """Runs the pipeline once on Kubeflow Pipelines. With --wait, exit code 1 if the run failed."""
    from pipeline.kubeflow.client import connect
    from pipeline.kubeflow.submissions import RunRequest, wait_for
    from pipeline.kubeflow.submissions import submit as submit_run

    config = load_config(options.config, options.overrides)
    request = RunRequest(
        pipeline=config.name,
        experiment=_experiment(config, options),
        image=_image(config, options),
        service_account=config.kubeflow.service_account,
        span=options.span,
        run_name=options.run_name,
    )
    cluster = connect(_connection(options))
    submitted = submit_run(cluster, _compiled(config, options.verbose), request)
    if not options.json:
        console.say(f"{'submitted' if submitted.made else 'found    '}  {submitted.name} ({submitted.state.lower()})")
        console.say(f"page       {submitted.link}")
    if not options.wait:
        if options.json:
            print_json(submitted.to_dict())
        return DONE
    with console.progress("running") as advance:
        ended = wait_for(cluster, submitted.run_id, advance)
    if options.json:
        print_json({**submitted.to_dict(), **ended.to_dict()})
    else:
        console.say(f"{ended.state.lower():<9}  {submitted.name}")
    if not ended.succeeded:
        console.error(f"{submitted.name}: {ended.state.lower()}" + (f": {ended.message}" if ended.message else ""))
        for task in ended.failed:
            console.error(f"{task.name}: {task.message or 'failed without a message; see its log on the page'}")
    return DONE if ended.succeeded else FAILED


def schedule(options: argparse.Namespace) -> int:
    """Makes, replaces, pauses, resumes, deletes or lists recurring runs on Kubeflow Pipelines."""
    from pipeline.kubeflow import schedules
    from pipeline.kubeflow.client import connect
    from pipeline.kubeflow.connection import check_names
    from pipeline.kubeflow.cron import parse_cron

    if options.image is not None and options.cron is None:
        raise ValueError(
            "--image: says what a recurring run runs, but only --cron makes one. Add --cron, or leave it out."
        )
    config = load_config(options.config, options.overrides)
    experiment = _experiment(config, options)
    check_names(experiment=experiment)
    connection = _connection(options)
    if options.list:
        runs = schedules.recurring_runs_in(connect(connection), experiment)
        if options.json:
            print_json([run.to_dict() for run in runs])
        else:
            rows = [(run.name, run.state, run.cron or "", run.when(), run.run_id) for run in runs]
            console.table(f"recurring runs of {experiment}", ("name", "state", "cron", "when", "id"), rows)
        return DONE
    if options.cron is not None:
        account = config.kubeflow.service_account
        cron = parse_cron(options.cron)
        request = schedules.ScheduleRequest(config.name, experiment, cron, _image(config, options), account)
        cluster = connect(connection)
        outcome = schedules.schedule(cluster, _compiled(config, options.verbose), request)
    else:
        change = schedules.pause if options.pause else schedules.resume if options.resume else schedules.delete
        outcome = change(connect(connection), experiment, config.name)
    tell(options, outcome)
    return DONE


def _experiment(config: PipelineConfig, options: argparse.Namespace) -> str:
    return config.name if options.experiment is None else options.experiment


def _connection(options: argparse.Namespace) -> "Connection":
    from pipeline.kubeflow.connection import Connection

    return Connection(options.host, options.namespace, options.token_file, options.authority)


def _image(config: PipelineConfig, options: argparse.Namespace) -> str:
    """Returns the image that tasks run, checked as that of the configuration."""
    if options.image is None:
        return config.kubeflow.image
    return validated(KubeflowParameters, {"image": options.image}, "--").image


def _compiled(config: PipelineConfig, verbose: bool) -> "Package":
    import_tensorflow(verbose)
    from pipeline.kubeflow.compilation import compile_package
    from pipeline.kubeflow.packages import read_package

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        # What was added or retired is seen where output_root is: on the volume that tasks share.
        compile_package(with_registered_sources(config), path)
        return read_package(path)
