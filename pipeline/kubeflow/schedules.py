"""The recurring run of a pipeline on Kubeflow Pipelines: made, replaced, paused, resumed, deleted.

A pipeline has one recurring run, found by its name in its experiment. Kubeflow cannot change a recurring run, only make
another. One that replaces another is made paused; then the old one is paused, the new one enabled, and the old one
deleted. So two are never enabled at once, and no time is missed: Kubeflow counts the times of a recurring run from when
it was made, and makes up for the last one that passed while it was paused. A call that broke off in the middle is
completed by the next one.
"""

import contextlib
import re
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.kubeflow.client import Cluster, ClusterError, NotThereError
from pipeline.kubeflow.connection import check_names
from pipeline.kubeflow.cron import CronSchedule, parse_stored_cron
from pipeline.kubeflow.cron_words import in_words
from pipeline.kubeflow.packages import Package, PinnedVersion, pin
from pipeline.kubeflow.recurring_runs import (
    RecurringRun,
    delete_recurring_run,
    enable_recurring_run,
    get_recurring_run,
    list_recurring_runs,
)

Action = Literal["created", "replaced", "unchanged", "paused", "resumed", "deleted"]

_REPLACES = re.compile(r"Replaces (?P<identifier>\S+), which was (?P<state>enabled|paused)\.")


@dataclass(frozen=True)
class ScheduleRequest:
    """What is to run again and again.

    Attributes:
        pipeline: name of the pipeline, and of its recurring run.
        experiment: name of the experiment; it is made if need be.
        cron: when.
        image: of every task.
        service_account: that tasks run as.

    Raises:
        ValueError: if a name cannot be one.
    """

    pipeline: str
    experiment: str
    cron: CronSchedule
    image: str
    service_account: str

    def __post_init__(self) -> None:
        check_names(experiment=self.experiment, image=self.image)

    @property
    def parameters(self) -> dict[str, str]:
        """The runtime parameters of the package. A scheduled run takes the span of the configuration, or the newest."""
        return {"span": "", "image": self.image}


@dataclass(frozen=True)
class Outcome:
    """What a call did.

    Attributes:
        action: what it did.
        name: of the pipeline.
        run: the recurring run afterwards; None if it was deleted.
        removed: identifiers of recurring runs that were deleted.
    """

    action: Action
    name: str
    run: RecurringRun | None
    removed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        run = None if self.run is None else self.run.to_dict()
        return {"action": self.action, "name": self.name, "recurring_run": run, "removed": list(self.removed)}

    def lines(self) -> list[str]:
        """Returns what people are told."""
        if self.run is None:
            return [f"{self.action:<9}  {self.name}" + ("" if self.removed else " (it was not scheduled)")]
        lines = [f"{self.action:<9}  {self.name}: {self.run.when()}"]
        if not self.run.enabled:
            lines.append("paused     nothing runs until it is resumed")
        return [*lines, f"page       {self.run.link}"]


def schedule(cluster: Cluster, package: Package, request: ScheduleRequest) -> Outcome:
    """Makes the recurring run of a pipeline what is asked for. One that was paused stays so.

    Args:
        cluster: to run on.
        package: compiled pipeline; it is kept on the cluster as a pipeline version.
        request: what is to run, and when.

    Raises:
        ValueError: if the package lacks the parameters.
        ClusterError: if the cluster cannot be asked, or refuses; or somebody else schedules the pipeline right now.
    """
    package.require(request.parameters)
    experiment = cluster.experiment(request.experiment, create=True)
    version = pin(cluster, request.pipeline, package)
    before = list_recurring_runs(cluster, experiment, request.pipeline)
    known = {run.run_id for run in before}
    enabled = not before or any(run.enabled for run in before) or _broke_off_enabled(before)
    made = None
    if not any(_is(run, request, version) for run in before):
        made = _create(cluster, experiment, request, version, before, enabled)
    runs = list_recurring_runs(cluster, experiment, request.pipeline)
    wanted = [run for run in runs if _is(run, request, version)]
    if made and any(run.age > wanted[0].age for run in _rivals(runs, wanted, known) if wanted):
        delete_recurring_run(cluster, made)  # somebody scheduled something else meanwhile, and was later: that stands
        raise _meanwhile(request)
    try:
        if not wanted:
            raise NotThereError("deleted meanwhile")
        removed = _settle(cluster, wanted[0], [run for run in runs if run is not wanted[0]], enabled)
        after = get_recurring_run(cluster, wanted[0].run_id)
    except NotThereError as error:
        # Deleted by somebody who schedules at the same time: if they want the same, theirs is as good.
        runs = list_recurring_runs(cluster, experiment, request.pipeline)
        same = next((run for run in runs if _is(run, request, version)), None)
        if same is None:
            raise _meanwhile(request) from error
        return Outcome("unchanged", request.pipeline, same)
    removed = tuple(identifier for identifier in removed if identifier != made)
    action: Action = "replaced" if removed else "created" if made == after.run_id else "unchanged"
    return Outcome(action, request.pipeline, after, removed)


def _rivals(runs: list[RecurringRun], wanted: list[RecurringRun], known: set[str]) -> list[RecurringRun]:
    """Returns what was made since we looked first, and does something else."""
    return [run for run in runs if run.run_id not in known and run not in wanted]


def pause(cluster: Cluster, experiment: str, name: str) -> Outcome:
    """Pauses the recurring run of a pipeline. Runs in progress go on.

    Args:
        cluster: where it is.
        experiment: name of its experiment.
        name: of the pipeline.

    Raises:
        ClusterError: if there is none, or the cluster cannot be asked.
    """
    runs = _required(cluster, experiment, name)
    changed = any(run.enabled for run in runs)
    removed = _settle(cluster, runs[-1], runs[:-1], enabled=False)
    return Outcome("paused" if changed else "unchanged", name, get_recurring_run(cluster, runs[-1].run_id), removed)


def resume(cluster: Cluster, experiment: str, name: str) -> Outcome:
    """Resumes the recurring run of a pipeline. If times passed meanwhile, Kubeflow makes up for the last at once.

    Args:
        cluster: where it is.
        experiment: name of its experiment.
        name: of the pipeline.

    Raises:
        ClusterError: if there is none, or the cluster cannot be asked.
    """
    runs = _required(cluster, experiment, name)
    changed = not runs[-1].enabled
    removed = _settle(cluster, runs[-1], runs[:-1], enabled=True)
    return Outcome("resumed" if changed else "unchanged", name, get_recurring_run(cluster, runs[-1].run_id), removed)


def delete(cluster: Cluster, experiment: str, name: str) -> Outcome:
    """Deletes the recurring run of a pipeline, if there is one. Its runs, and the uploaded versions, are kept.

    Args:
        cluster: where it is.
        experiment: name of its experiment.
        name: of the pipeline.

    Raises:
        ClusterError: if the cluster cannot be asked, or refuses.
    """
    identifier = cluster.experiment(experiment, create=False)
    runs = [] if identifier is None else list_recurring_runs(cluster, identifier, name)
    for run in runs:
        delete_recurring_run(cluster, run.run_id)
    return Outcome("deleted" if runs else "unchanged", name, None, tuple(run.run_id for run in runs))


def recurring_runs_in(cluster: Cluster, experiment: str) -> list[RecurringRun]:
    """Returns all recurring runs of an experiment, by name; none if there is no such experiment.

    Args:
        cluster: where they are.
        experiment: its name.

    Raises:
        ClusterError: if the cluster cannot be asked, or refuses.
    """
    identifier = cluster.experiment(experiment, create=False)
    found = [] if identifier is None else list_recurring_runs(cluster, identifier)
    return sorted(found, key=lambda run: (run.name, run.age))


def _required(cluster: Cluster, experiment: str, name: str) -> list[RecurringRun]:
    """Returns the recurring runs of a pipeline: one, or more after a call that broke off; the oldest first."""
    identifier = cluster.experiment(experiment, create=False)
    runs = [] if identifier is None else list_recurring_runs(cluster, identifier)
    ours = [run for run in runs if run.name == name]
    if not ours:
        there = ", ".join(sorted({run.name for run in runs})) or "none"
        raise ClusterError(
            f"{name}: has no recurring run in experiment {experiment!r}; recurring runs there: {there}. "
            "Make it by `cron`, or name its experiment by `experiment`."
        )
    return ours


def _is(run: RecurringRun, request: ScheduleRequest, version: PinnedVersion) -> bool:
    """Whether a recurring run does what is asked for; whether it is enabled does not matter."""
    with contextlib.suppress(ValueError):
        return (
            run.cron is not None
            and parse_stored_cron(run.cron) == request.cron
            and run.version_id == version.version_id
            and dict(run.parameters) == request.parameters
            and run.service_account == request.service_account
            and (run.max_concurrency, run.no_catchup) == (1, True)
        )
    return False


def _broke_off_enabled(runs: list[RecurringRun]) -> bool:
    """Whether all are paused only because a call broke off while it replaced one that was enabled."""
    there = {run.run_id for run in runs}
    replaced = [_REPLACES.search(run.description) for run in runs]
    return any(found and found["identifier"] in there and found["state"] == "enabled" for found in replaced)


def _create(
    cluster: Cluster,
    experiment: str | None,
    request: ScheduleRequest,
    version: PinnedVersion,
    before: list[RecurringRun],
    enabled: bool,
) -> str:
    """Makes a recurring run: paused if it replaces another, because both must not be enabled."""
    from kfp_server_api import (
        RecurringRunMode,
        V2beta1CronSchedule,
        V2beta1PipelineVersionReference,
        V2beta1RecurringRun,
        V2beta1RuntimeConfig,
        V2beta1Trigger,
    )

    description = f"Made by genattr schedule: {in_words(request.cron)}."
    if before:
        description += f" Replaces {before[-1].run_id}, which was {'enabled' if enabled else 'paused'}."
    body = V2beta1RecurringRun(
        experiment_id=experiment,
        display_name=request.pipeline,
        description=description,
        pipeline_version_reference=V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        ),
        runtime_config=V2beta1RuntimeConfig(parameters=request.parameters),
        service_account=request.service_account,
        max_concurrency="1",  # 64-bit integers are text in protobuf's JSON
        no_catchup=True,
        trigger=V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=request.cron.expression)),
        mode=RecurringRunMode.DISABLE if before else RecurringRunMode.ENABLE,
    )
    service = cluster.client.recurring_runs.recurring_run_service_create_recurring_run
    made = cluster.ask(f"making the recurring run {request.pipeline!r}", service, recurring_run=body)
    if not made.recurring_run_id:
        raise ClusterError(f"{cluster.connection.host}: answered without the run's identifier. Correct `host`.")
    return str(made.recurring_run_id)


def _settle(cluster: Cluster, keep: RecurringRun, others: list[RecurringRun], enabled: bool) -> tuple[str, ...]:
    """Leaves one recurring run, enabled or paused; returns those that were deleted."""
    for run in others:
        if run.enabled:
            with contextlib.suppress(NotThereError):
                enable_recurring_run(cluster, run.run_id, False)
    if keep.enabled != enabled:
        enable_recurring_run(cluster, keep.run_id, enabled)
    for run in others:
        delete_recurring_run(cluster, run.run_id)
    return tuple(run.run_id for run in others)


def _meanwhile(request: ScheduleRequest) -> ClusterError:
    return ClusterError(
        f"{request.pipeline}: somebody else schedules it at the same time, and was later. "
        "List the recurring runs; call again if yours should be the one."
    )
