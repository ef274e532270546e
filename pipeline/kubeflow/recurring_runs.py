"""Recurring runs as Kubeflow Pipelines keeps them: listed, looked at, enabled, paused, deleted."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.kubeflow.client import Cluster, NotThereError, named
from pipeline.kubeflow.cron import parse_stored_cron
from pipeline.kubeflow.cron_words import in_words

_TIMES_SHOWN = 3


@dataclass(frozen=True)
class RecurringRun:
    """A recurring run on the cluster.

    Attributes:
        run_id: its identifier.
        name: as it is shown.
        enabled: whether it runs; otherwise it is paused.
        cron: six fields, seconds first; None if it runs at intervals.
        interval_seconds: between two runs; None if it runs by cron.
        words: when it runs, in words; None if its cron expression is none that we read.
        upcoming: its next times if it is enabled.
        version_id: of the pipeline version that it runs; None if its package was sent with it.
        parameters: runtime parameters.
        service_account: that its tasks run as.
        max_concurrency: runs of it that may be in progress at once.
        no_catchup: whether times that passed, but for the last, are left out.
        created: when it was made.
        link: its page.
        description: for people.
    """

    run_id: str
    name: str
    enabled: bool
    cron: str | None
    interval_seconds: int | None
    words: str | None
    upcoming: tuple[datetime, ...]
    version_id: str | None
    parameters: Mapping[str, Any]
    service_account: str
    max_concurrency: int
    no_catchup: bool
    created: datetime
    link: str
    description: str

    @property
    def age(self) -> tuple[datetime, str]:
        """What recurring runs are ordered by, the oldest first; the same for everybody who looks."""
        return self.created, self.run_id

    @property
    def state(self) -> str:
        """The word for whether it runs."""
        return "enabled" if self.enabled else "paused"

    def when(self) -> str:
        """Returns when it runs, in words, and its next times if it is enabled."""
        words = self.words or self.cron or "at no time"
        times = ", ".join(f"{moment:%Y-%m-%d %H:%M}" for moment in self.upcoming)
        return f"{words}; next: {times}" if times else words

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON; times in ISO 8601."""
        values = {name: value for name, value in vars(self).items() if name != "description"}
        times = [moment.isoformat() for moment in self.upcoming]
        return {
            **values,
            "parameters": dict(self.parameters),
            "upcoming": times,
            "created": self.created.isoformat(),
            "state": self.state,
        }


def list_recurring_runs(cluster: Cluster, experiment_id: str | None, name: str | None = None) -> list[RecurringRun]:
    """Returns the recurring runs of an experiment, the oldest first.

    Args:
        cluster: where they are.
        experiment_id: of the experiment.
        name: of those that are wanted; None wants all.

    Raises:
        ClusterError: if the cluster cannot be asked, or refuses.
    """
    words = {} if name is None else {"filter": named(name)}
    service = cluster.client.recurring_runs.recurring_run_service_list_recurring_runs
    found = cluster.every("listing recurring runs", service, "recurring_runs", experiment_id=experiment_id, **words)
    runs = [_read(cluster, item) for item in found if name in (None, item.display_name)]
    return sorted(runs, key=lambda run: run.age)


def get_recurring_run(cluster: Cluster, run_id: str) -> RecurringRun:
    """Returns one recurring run.

    Raises:
        NotThereError: if it is gone.
        ClusterError: if the cluster cannot be asked, or refuses.
    """
    service = cluster.client.recurring_runs.recurring_run_service_get_recurring_run
    return _read(cluster, cluster.ask("looking at the recurring run", service, recurring_run_id=run_id))


def enable_recurring_run(cluster: Cluster, run_id: str, enabled: bool) -> None:
    """Enables or pauses a recurring run.

    Raises:
        NotThereError: if it is gone.
        ClusterError: if the cluster cannot be asked, or refuses.
    """
    services = cluster.client.recurring_runs
    if enabled:
        call = services.recurring_run_service_enable_recurring_run
        cluster.ask("enabling the recurring run", call, recurring_run_id=run_id)
    else:
        call = services.recurring_run_service_disable_recurring_run
        cluster.ask("pausing a recurring run", call, recurring_run_id=run_id)


def delete_recurring_run(cluster: Cluster, run_id: str) -> None:
    """Deletes a recurring run if it is there, not its runs in progress.

    Kubernetes would end those with it, unless they are orphaned. Kubeflow Pipelines before 2.16 knows no such policy,
    and ends them. Source: https://github.com/kubeflow/pipelines/pull/12574
    """
    service = cluster.client.recurring_runs.recurring_run_service_delete_recurring_run
    with contextlib.suppress(NotThereError):
        cluster.ask("deleting a recurring run", service, recurring_run_id=run_id, propagation_policy="ORPHAN")


def _read(cluster: Cluster, item: Any) -> RecurringRun:
    """Makes a recurring run of kfp_server_api's model."""
    trigger = item.trigger
    cron = trigger.cron_schedule.cron if trigger and trigger.cron_schedule else None
    interval = trigger.periodic_schedule.interval_second if trigger and trigger.periodic_schedule else None
    enabled = item.status == "ENABLED" if item.status else item.mode == "ENABLE"
    words, upcoming = None, []
    if cron is not None:
        with contextlib.suppress(ValueError):
            parsed = parse_stored_cron(cron)
            words, upcoming = in_words(parsed), parsed.upcoming(_TIMES_SHOWN) if enabled else []
    elif interval is not None:
        words = f"every {interval} seconds"
    reference = item.pipeline_version_reference
    return RecurringRun(
        run_id=item.recurring_run_id,
        name=item.display_name,
        enabled=enabled,
        cron=cron,
        interval_seconds=None if interval is None else int(interval),
        words=words,
        upcoming=tuple(upcoming),
        version_id=reference.pipeline_version_id if reference else None,
        parameters=dict((item.runtime_config and item.runtime_config.parameters) or {}),
        service_account=item.service_account or "",
        max_concurrency=int(item.max_concurrency or 1),
        no_catchup=bool(item.no_catchup),
        created=item.created_at or datetime.fromtimestamp(0, UTC),
        link=cluster.link(f"recurringrun/details/{item.recurring_run_id}"),
        description=item.description or "",
    )
