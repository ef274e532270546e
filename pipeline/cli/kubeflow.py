"""Commands about Kubeflow Pipelines: compile, submit, schedule."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command, add_configuration
from pipeline.cli.output import DONE, FAILED, print_json
from pipeline.startup import import_tensorflow

if TYPE_CHECKING:
    from pipeline.config.schema import PipelineConfig
    from pipeline.kubeflow.connection import Connection
    from pipeline.kubeflow.packages import Package


def add_compile(commands: Commands) -> None:
    """Add `genattr compile`."""
    parser = add_command(
        commands,
        "compile",
        "write the pipeline as a Kubeflow Pipelines package",
        "genattr compile configs/kubeflow.yaml -o pipeline.yaml",
        _compile,
    )
    add_configuration(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="package to write, YAML")
    parser.add_argument("--json", action="store_true", help="print the tasks as JSON")


def _compile(options: argparse.Namespace) -> int:
    """Write the Kubeflow Pipelines package of a configuration."""
    from pipeline.config.schema import load_config

    config = load_config(options.config, options.overrides)
    import_tensorflow(options.verbose)
    from pipeline.kubeflow.compilation import compile_package
    from pipeline.sources.registry import with_registered_sources

    tasks = compile_package(with_registered_sources(config), options.output)
    if options.json:
        print_json({"package": str(options.output), "tasks": tasks})
    else:
        output.say(f"package  {options.output}: {len(tasks)} tasks")
    return DONE


def add_submit(commands: Commands) -> None:
    """Add `genattr submit`."""
    parser = add_command(
        commands,
        "submit",
        "run the pipeline once on Kubeflow Pipelines",
        "genattr submit configs/faces.yaml --host https://kubeflow.example.com/pipeline --wait",
        _submit,
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


def _submit(options: argparse.Namespace) -> int:
    """Run the pipeline once on Kubeflow Pipelines. With --wait, exit code 1 if the run failed."""
    from pipeline.config.schema import load_config
    from pipeline.kubeflow.client import connect
    from pipeline.kubeflow.submissions import RunRequest, submit, wait_for

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
    submitted = submit(cluster, _compiled(config, options.verbose), request)
    if not options.json:
        output.say(f"{'submitted' if submitted.made else 'found    '}  {submitted.name} ({submitted.state.lower()})")
        output.say(f"page       {submitted.link}")
    if not options.wait:
        if options.json:
            print_json(submitted.to_dict())
        return DONE
    with output.progress("running") as advance:
        ended = wait_for(cluster, submitted.run_id, advance)
    if options.json:
        print_json({**submitted.to_dict(), **ended.to_dict()})
    else:
        output.say(f"{ended.state.lower():<9}  {submitted.name}")
    if not ended.succeeded:
        output.error(f"{submitted.name}: {ended.state.lower()}" + (f": {ended.message}" if ended.message else ""))
        for task in ended.failed:
            output.error(f"{task.name}: {task.message or 'failed without a message; see its log on the page'}")
    return DONE if ended.succeeded else FAILED


def add_schedule(commands: Commands) -> None:
    """Add `genattr schedule`."""
    parser = add_command(
        commands,
        "schedule",
        "run the pipeline again and again on Kubeflow Pipelines, on the newest span",
        'genattr schedule configs/faces.yaml --host https://kubeflow.example.com/pipeline --cron "0 2 * * *"',
        _schedule,
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


def _schedule(options: argparse.Namespace) -> int:
    """Make, replace, pause, resume, delete or list recurring runs on Kubeflow Pipelines."""
    from pipeline.config.schema import load_config
    from pipeline.kubeflow import schedules
    from pipeline.kubeflow.client import connect
    from pipeline.kubeflow.connection import check_names
    from pipeline.kubeflow.cron import parse_cron

    if options.image is not None and options.cron is None:
        raise ValueError(
            "image: says what a recurring run runs, but only --cron makes one. Add --cron, or leave it out."
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
            output.table(f"recurring runs of {experiment}", ("name", "state", "cron", "when", "id"), rows)
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
    output.outcome(options, outcome)
    return DONE


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the cluster's address and the user's credentials. A token comes from a file: everybody sees arguments."""
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


def _experiment(config: "PipelineConfig", options: argparse.Namespace) -> str:
    return config.name if options.experiment is None else options.experiment


def _connection(options: argparse.Namespace) -> "Connection":
    from pipeline.kubeflow.connection import Connection

    return Connection(options.host, options.namespace, options.token_file, options.authority)


def _image(config: "PipelineConfig", options: argparse.Namespace) -> str:
    """Return the image that tasks run, checked like that of the configuration."""
    from pipeline.config.kubeflow import KubeflowParameters
    from pipeline.config.schema import validated

    if options.image is None:
        return config.kubeflow.image
    return validated(KubeflowParameters, {"image": options.image}).image


def _compiled(config: "PipelineConfig", verbose: bool) -> "Package":
    import_tensorflow(verbose)
    from pipeline.kubeflow.compilation import compile_package
    from pipeline.kubeflow.packages import read_package
    from pipeline.sources.registry import with_registered_sources

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pipeline.yaml"
        # Sources that were added or retired are recorded under output_root: on the volume that tasks share.
        compile_package(with_registered_sources(config), path)
        return read_package(path)
