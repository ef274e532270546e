"""Watching nodes run: which one, served from the cache or not, how long, and why it failed.

TFX's runners launch every node through `launcher.Launcher`, in this process, and offer no other common place to look.
While `recorded_launches` is open, that name stands for a subclass that reports each launch; it also treats a node that
TFX silently skipped as what it is, a failure.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest import mock

from apache_beam.options.pipeline_options import StandardOptions
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import launcher

_DONE = {metadata_store_pb2.Execution.COMPLETE: "executed", metadata_store_pb2.Execution.CACHED: "cached"}


class NodeNotRunError(Exception):
    """TFX neither ran a node nor found it in its cache."""


class LaunchListener(Protocol):
    """Is told what nodes do."""

    def node_started(self, node: str) -> None:
        """A node begins."""

    def node_ended(self, node: str, state: str, seconds: float) -> None:
        """A node ended; state is "executed", "cached" or "failed"."""


class LaunchRules(Protocol):
    """Decides what a run may do beyond what TFX's cache says."""

    def before_execution(self, node: str, inputs: Mapping[str, Sequence[Any]]) -> None:
        """A node is about to be executed, not served from the cache; what is raised stops the run before it is."""

    def may_be_cached(self, node: str, run_id: str, store: MetadataStore) -> bool:
        """Whether a node may be served from the cache at all."""


@dataclass
class LaunchRecord:
    """What happened to the nodes of one run.

    Attributes:
        run_id: TFX's identifier of the run; empty before the first node.
        states: node -> "executed", "cached" or "failed", in the order in which nodes ended.
        seconds: node -> duration.
        failure: node and exception of the first failure, None without one.
    """

    run_id: str = ""
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: tuple[str, BaseException] | None = None


@contextlib.contextmanager
def recorded_launches(listener: LaunchListener, rules: LaunchRules | None = None) -> Iterator[LaunchRecord]:
    """Records every node that is launched while the context is open.

    Args:
        listener: told as nodes start and end.
        rules: what the run may do; None leaves it to TFX's cache.

    Yields:
        The record, filled as nodes end.
    """
    record = LaunchRecord()

    class RecordedLauncher(launcher.Launcher):
        """Launches a node and says so."""

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self._node = arguments["pipeline_node"].node_info.id
            record.run_id = arguments["pipeline_runtime_spec"].pipeline_run_id.field_value.string_value

        def launch(self) -> Any:
            listener.node_started(self._node)
            started, state = time.monotonic(), "failed"
            try:
                if rules is not None and not self._may_be_cached(rules):
                    self._pipeline_node.execution_options.caching_options.enable_cache = False
                execution = super().launch()
                state = self._state_of(execution)
            except BaseException as error:
                record.failure = record.failure or (self._node, error)
                raise
            finally:
                record.states[self._node] = state
                record.seconds[self._node] = time.monotonic() - started
                listener.node_ended(self._node, state, record.seconds[self._node])
            return execution

        def _may_be_cached(self, rules: LaunchRules) -> bool:
            with self._mlmd_connection as connection:
                return rules.may_be_cached(self._node, record.run_id, connection.store)

        def _run_executor(self, execution_info: Any) -> Any:
            if rules is not None:
                rules.before_execution(self._node, execution_info.input_dict)
            # A pod that was killed and is started again takes up its execution, and with it its output folders: what
            # the killed attempt left there must not end up among the outputs of this one.
            for artifacts in execution_info.output_dict.values():
                for artifact in artifacts:
                    shutil.rmtree(artifact.uri, ignore_errors=True)
            return super()._run_executor(execution_info)

        def _state_of(self, execution: Any) -> str:
            """Returns the state that the metadata store holds; raises where it is not a good one."""
            if execution is None or execution.execution_id is None:
                raise NodeNotRunError(f"{self._node}: its inputs are not there; an earlier node left no output.")
            with self._mlmd_connection as connection:
                (recorded,) = connection.store.get_executions_by_id([execution.execution_id])
            if recorded.last_known_state not in _DONE:
                name = metadata_store_pb2.Execution.State.Name(recorded.last_known_state)
                raise NodeNotRunError(f"{self._node}: the metadata store says {name}, neither COMPLETE nor CACHED.")
            return _DONE[recorded.last_known_state]

    # BeamDagRunner's own beam.Pipeline() takes no options. Beam's default runner would look for a Go binary on the
    # network first and only then fall back to the one that is named here.
    with (
        mock.patch.object(launcher, "Launcher", RecordedLauncher),
        mock.patch.object(StandardOptions, "DEFAULT_RUNNER", "FnApiRunner"),
    ):
        yield record
