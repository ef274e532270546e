"""A breach starts a pipeline run, but one breach does not start a hundred.

The run is a process of its own: `genattr run`, or `genattr submit` for a cluster. A file under the pipeline's output
root says when the last one was started; until the cool-down is over no other is. The file is locked while that is being
decided, so that two monitors do not both start one.
"""

import fcntl
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Literal

from pipeline.config.schema import PipelineConfig

How = Literal["run", "submit"]

_RECORD = Path("monitoring") / "last_run.json"


@dataclass(frozen=True)
class Started:
    """What became of a breach.

    Attributes:
        process: the command that was started; None if none was.
        reason: what was started, or why nothing was.
    """

    process: "subprocess.Popen[bytes] | None"
    reason: str


class RunStarter:
    """Starts runs of one configuration.

    Args:
        config: the configuration; says where the record lies, and how long the cool-down is.
        command: words after `genattr`.
    """

    def __init__(self, config: PipelineConfig, command: Sequence[str]) -> None:
        self._record = config.root / _RECORD
        self._cooldown = timedelta(hours=config.monitoring.cooldown_hours)
        self._command = [sys.executable, "-m", "pipeline.cli.main", *command]
        self._running: subprocess.Popen[bytes] | None = None

    def breached(self, columns: Sequence[str], now: datetime | None = None) -> Started:
        """Starts a run, unless one was started not long ago or is still going on.

        Args:
            columns: what is above its threshold; recorded.
            now: UTC; the present.

        Raises:
            OSError: if the record cannot be written, or the command not be started.
        """
        now = datetime.now(UTC) if now is None else now
        if self._running is not None and self._running.poll() is None:
            return Started(None, "no run was started: the one that the last breach started is still going on")
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self._record.open("a+") as record:
            fcntl.flock(record, fcntl.LOCK_EX)
            last = _last_start(record)
            if last is not None and now < last + self._cooldown:
                again = (last + self._cooldown).isoformat(timespec="minutes")
                return Started(
                    None,
                    f"no run was started: the last one was at {last.isoformat(timespec='minutes')}, and the cool-down "
                    f"ends at {again} ({self._record})",
                )
            self._running = subprocess.Popen(self._command)  # noqa: S603 - our own command, no shell
            record.seek(0)
            record.truncate()
            json.dump({"started": now.isoformat(), "columns": list(columns), "command": self._command[3:]}, record)
        return Started(self._running, f"started: genattr {' '.join(self._command[3:])}")


def run_command(how: How, config: Path, overrides: Sequence[str], cluster: Sequence[str]) -> list[str]:
    """Returns the words after `genattr`.

    Args:
        how: "run" on this machine, or "submit" to Kubeflow Pipelines.
        config: the configuration's file.
        overrides: "dotted.key=value" each.
        cluster: further words of `genattr submit`.
    """
    given = [word for override in overrides for word in ("--set", override)]
    return [how, str(config), *given, *(cluster if how == "submit" else ())]


def _last_start(record: IO[str]) -> datetime | None:
    """Reads when the last run was started; None if none was, or the record is damaged."""
    record.seek(0)
    try:
        return datetime.fromisoformat(json.load(record)["started"])
    except (ValueError, KeyError, TypeError):
        return None
