"""One run on Kubeflow Pipelines: made once for its name, and waited for."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.kubeflow.client import Cluster, ClusterError, NotThereError, named
from pipeline.kubeflow.connection import check_names
from pipeline.kubeflow.packages import Package

_ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_WASTED = ("FAILED", "CANCELED", "CANCELING")  # a run of the same name may be made again
_PATIENCE = 300.0  # seconds for which a server may fail to answer while a run is waited for

Watch = Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunRequest:
    """What is to run.

    Attributes:
        pipeline: its name; the run's name begins with it.
        experiment: name of the experiment; it is made if need be.
        image: of every task.
        service_account: that tasks run as.
        span: that is trained on; None is what was configured, or the newest.
        run_name: None makes one of the pipeline's name and the time in UTC.

    Raises:
        ValueError: if a name cannot be one, or the span is negative.
    """

    pipeline: str
    experiment: str
    image: str
    service_account: str
    span: int | None = None
    run_name: str | None = None

    def __post_init__(self) -> None:
        check_names(experiment=self.experiment, image=self.image, run_name=self.run_name)
        if self.span is not None and self.span < 0:
            raise ValueError(f"span: must be at least 0, got {self.span}. Name a span of the dataset.")

    @property
    def parameters(self) -> dict[str, str]:
        """The runtime parameters of the package."""
        return {"span": "" if self.span is None else str(self.span), "image": self.image}


@dataclass(frozen=True)
class Submitted:
    """A run on the cluster.

    Attributes:
        run_id: its identifier.
        name: as it is shown.
        experiment: name of its experiment.
        state: when it was asked for last, e.g. "PENDING".
        made: whether this call made it; otherwise there was one of this name.
        link: its page.
    """

    run_id: str
    name: str
    experiment: str
    state: str
    made: bool
    link: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class FailedTask:
    """A task that failed.

    Attributes:
        name: of the task.
        message: what Kubeflow says about it; "" if it says nothing.
    """

    name: str
    message: str


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        state: "SUCCEEDED", "SKIPPED", "FAILED" or "CANCELED".
        message: what Kubeflow says about the run; "" if it says nothing.
        failed: tasks that failed, without those that failed only because one inside of them did.
    """

    state: str
    message: str
    failed: tuple[FailedTask, ...]

    @property
    def succeeded(self) -> bool:
        """Whether nothing is wrong."""
        return self.state in ("SUCCEEDED", "SKIPPED")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return {"state": self.state, "message": self.message, "failed": [dict(vars(task)) for task in self.failed]}


def submit(cluster: Cluster, package: Package, request: RunRequest) -> Submitted:
    """Makes a run, or finds the one that has its name and has not failed.

    Args:
        cluster: to run on.
        package: compiled pipeline; it goes with the run, and is not kept as a pipeline.
        request: what is to run.

    Raises:
        ValueError: if the package lacks the parameters.
        ClusterError: if the cluster cannot be asked, or refuses.
    """
    from kfp_server_api import V2beta1Run, V2beta1RuntimeConfig

    package.require(request.parameters)
    name = request.run_name or f"{request.pipeline}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    experiment = cluster.experiment(request.experiment, create=True)
    found = next(_useful_runs(cluster, experiment, name), None)
    if found is not None:
        return _submitted(cluster, request, found, made=False)
    body = V2beta1Run(
        experiment_id=experiment,
        display_name=name,
        pipeline_spec=package.spec,
        runtime_config=V2beta1RuntimeConfig(parameters=request.parameters),
        service_account=request.service_account,
    )
    try:
        made = cluster.ask(f"making the run {name!r}", cluster.client.runs.run_service_create_run, run=body)
    except ClusterError as error:
        if request.run_name is None:
            raise ClusterError(
                f"{error} To find a run that was made after all, name it by `run_name`: {name}."
            ) from error
        raise
    if not made.run_id:
        raise ClusterError(f"{cluster.connection.host}: answered without the run's identifier. Correct `host`.")
    first = min([made, *_useful_runs(cluster, experiment, name)], key=lambda run: (run.created_at, run.run_id))
    if first.run_id == made.run_id:
        return _submitted(cluster, request, made, made=True)
    # Somebody submitted the same name at the same time, and was earlier.
    cluster.ask("ending the second run", cluster.client.runs.run_service_terminate_run, run_id=made.run_id)
    cluster.ask("deleting the second run", cluster.client.runs.run_service_delete_run, run_id=made.run_id)
    return _submitted(cluster, request, first, made=False)


def wait_for(
    cluster: Cluster,
    run_id: str,
    watch: Watch,
    seconds: float = 10.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Ended:
    """Waits until a run has ended. Puts up with a server that does not answer for a few minutes.

    Args:
        cluster: where it runs.
        run_id: its identifier.
        watch: called with (tasks done, tasks known, state) each time it was asked for.
        seconds: between two questions.
        sleep: how time passes.

    Raises:
        ClusterError: if the run is gone, or the server does not answer for long.
    """
    silent = 0.0
    while True:
        try:
            run = cluster.ask("asking how the run is", cluster.client.runs.run_service_get_run, run_id=run_id)
        except NotThereError as error:
            raise ClusterError(f"run {run_id}: is gone while it was waited for; somebody deleted it.") from error
        except ClusterError:
            silent += seconds
            if silent > _PATIENCE:
                raise
        else:
            silent = 0.0
            tasks = (run.run_details.task_details if run.run_details else None) or []
            watch(sum(task.state in _ENDED for task in tasks), len(tasks), (run.state or "PENDING").lower())
            if run.state in _ENDED:
                return Ended(run.state, (run.error.message if run.error else None) or "", _failed(tasks))
        sleep(seconds)


def _useful_runs(cluster: Cluster, experiment: str | None, name: str) -> Iterator[Any]:
    """Yields the runs of a name that have not failed."""
    service = cluster.client.runs.run_service_list_runs
    for run in cluster.every("looking up the run", service, "runs", experiment_id=experiment, filter=named(name)):
        if run.display_name == name and run.state not in _WASTED:
            yield run


def _submitted(cluster: Cluster, request: RunRequest, run: Any, made: bool) -> Submitted:
    link = cluster.link(f"runs/details/{run.run_id}")
    return Submitted(run.run_id, run.display_name, request.experiment, run.state or "PENDING", made, link)


def _failed(tasks: list[Any]) -> tuple[FailedTask, ...]:
    """Returns the tasks that failed themselves: those that hold a failed one (groups, exit handlers) tell nothing."""
    failed = [task for task in tasks if task.state == "FAILED"]
    holding = {task.parent_task_id for task in failed}
    return tuple(
        FailedTask(task.display_name or task.task_id, _task_message(task))
        for task in failed
        if task.task_id not in holding
    )


def _task_message(task: Any) -> str:
    errors = [task.error, *(state.error for state in reversed(task.state_history or []))]
    return next((" ".join(error.message.split()) for error in errors if error is not None and error.message), "")
