"""Launching nodes: which one, served from the cache or not, how long, and why it failed."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import pipeline_pb2

_DONE = {metadata_store_pb2.Execution.COMPLETE: "executed", metadata_store_pb2.Execution.CACHED: "cached"}


class NodeNotRunError(Exception):
    """TFX neither ran a node nor found it in its cache."""


class LaunchListener(Protocol):
    """Follows the progress of a run."""

    def node_started(self, node: str) -> None:
        """A node begins."""

    def node_ended(self, node: str, state: str, seconds: float) -> None:
        """A node ended; state is "executed", "cached" or "failed"."""


class LaunchRules(Protocol):
    """Restrictions of a run beyond TFX's cache."""

    def before_execution(self, node: str, inputs: Mapping[str, Sequence[Any]]) -> None:
        """A node is about to be executed, not served from the cache; an exception stops the run before it is."""

    def may_be_cached(self, node: str, run_id: str, store: MetadataStore) -> bool:
        """Whether a node may be served from the cache at all."""


@dataclass
class LaunchRecord:
    """What happened to the nodes of one run.

    Attributes:
        run_id: TFX's identifier of the run; empty before the first node.
        states: Node -> "executed", "cached" or "failed", in the order in which nodes ended.
        seconds: Node -> duration.
        failure: Node and exception of the first failure, None without one.
    """

    run_id: str = ""
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: tuple[str, BaseException] | None = None


@dataclass(frozen=True)
class Launches:
    """The launches of one run.

    Attributes:
        listener: Follows nodes as they start and end.
        rules: Restrictions of the run; None leaves it to TFX's cache.
        record: What happened so far.
    """

    listener: LaunchListener
    rules: LaunchRules | None = None
    record: LaunchRecord = field(default_factory=LaunchRecord)

    def launch(
        self, ir: pipeline_pb2.Pipeline, node_id: str, connection: metadata_store_pb2.ConnectionConfig | None = None
    ) -> None:
        """Launch one node, whose upstream nodes must have run.

        Args:
            ir: Compiled pipeline; the identifier of its run is filled in.
            node_id: Identifier of the node.
            connection: Connection to the metadata store; None for that of the compiled pipeline.

        Raises:
            NodeNotRunError: If TFX silently skipped the node.
            Exception: Whatever made the node fail.
        """
        self.record.run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
        self.listener.node_started(node_id)
        started, state = time.monotonic(), "failed"
        try:
            state = _RuledLauncher(ir, node_id, connection, self.rules).run()
        except BaseException as error:
            self.record.failure = self.record.failure or (node_id, error)
            raise
        finally:
            self.record.states[node_id] = state
            self.record.seconds[node_id] = time.monotonic() - started
            self.listener.node_ended(node_id, state, self.record.seconds[node_id])


class _RuledLauncher(launcher.Launcher):
    """TFX's launcher under rules; it takes a node that TFX silently skipped for what it is, a failure."""

    def __init__(
        self,
        ir: pipeline_pb2.Pipeline,
        node_id: str,
        connection: metadata_store_pb2.ConnectionConfig | None,
        rules: LaunchRules | None,
    ) -> None:
        (node,) = (node.pipeline_node for node in ir.nodes if node.pipeline_node.node_info.id == node_id)
        deployment = runner_utils.extract_local_deployment_config(ir)
        given = deployment.metadata_connection_config
        super().__init__(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection or getattr(given, given.WhichOneof("connection_config"))),
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        )
        self._node = node_id
        self._run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
        self._rules = rules

    def run(self) -> str:
        """Launch the node; return "executed" or "cached"."""
        if self._rules is not None and not self._may_be_cached(self._rules):
            self._pipeline_node.execution_options.caching_options.enable_cache = False
        execution = self.launch()
        if execution is None or execution.execution_id is None:
            raise NodeNotRunError(f"{self._node}: its inputs are not there; an earlier node left no output.")
        with self._mlmd_connection as connection:
            (recorded,) = connection.store.get_executions_by_id([execution.execution_id])
        if recorded.last_known_state not in _DONE:
            name = metadata_store_pb2.Execution.State.Name(recorded.last_known_state)
            raise NodeNotRunError(f"{self._node}: the metadata store says {name}, neither COMPLETE nor CACHED.")
        return _DONE[recorded.last_known_state]

    def _may_be_cached(self, rules: LaunchRules) -> bool:
        with self._mlmd_connection as connection:
            return rules.may_be_cached(self._node, self._run_id, connection.store)

    def _run_executor(self, execution_info: Any) -> Any:
        if self._rules is not None:
            self._rules.before_execution(self._node, execution_info.input_dict)
        # A pod that was killed and is started again takes up its execution, and with it its output directories: what
        # the killed attempt left there must not end up among the outputs of this one.
        for artifacts in execution_info.output_dict.values():
            for artifact in artifacts:
                shutil.rmtree(artifact.uri, ignore_errors=True)
        return super()._run_executor(execution_info)
