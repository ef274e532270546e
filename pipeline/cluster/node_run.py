"""Running one node of a plan, and keeping the cause where the report finds it if it fails."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tfx.dsl.compiler import constants
from tfx.orchestration.portable import runtime_parameter_utils

from components.errors import StepRefusedError
from pipeline.cluster.plan import Plan, run_folder
from pipeline.config.schema import ConfigurationError
from pipeline.metadata.store import connection_config
from pipeline.runs.launches import Launches
from serving import atomic


class _Silent:
    """A listener for one node, whose end the caller tells."""

    def node_started(self, node: str) -> None:
        pass

    def node_ended(self, node: str, state: str, seconds: float) -> None:
        pass


def run_node(plan: Plan, node_id: str) -> tuple[str, float]:
    """Runs one node of a run; its upstream nodes must have run.

    Args:
        plan: of the run.
        node_id: which node.

    Returns:
        "executed" or "cached", as the metadata store has it, and the seconds it took. A node that an earlier attempt
        finished is not run again.

    Raises:
        ConfigurationError: if there is no such node.
        Exception: whatever made the node fail.
    """
    if node_id not in plan.node_ids:
        raise ConfigurationError(f"node: '{node_id}' is none of this run. Nodes there: {', '.join(plan.node_ids)}.")
    ir = type(plan.ir)()
    ir.CopyFrom(plan.ir)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: plan.run_id})
    launches = Launches(_Silent())
    launches.launch(ir, node_id, connection_config(plan.config))
    return launches.record.states[node_id], launches.record.seconds[node_id]


@contextlib.contextmanager
def kept_cause(plan: Plan, node_id: str) -> Iterator[None]:
    """Keeps the cause for the report if what runs in the context fails; removes an earlier attempt's if it does not."""
    path = cause_file(plan, node_id)
    try:
        yield
    except Exception as error:
        message = str(error) if isinstance(error, StepRefusedError) else f"{type(error).__name__}: {error}"
        atomic.write_text(path, json.dumps({"message": message, "refused": isinstance(error, StepRefusedError)}))
        raise
    path.unlink(missing_ok=True)


def cause_file(plan: Plan, node_id: str) -> Path:
    """Returns where the cause of a node's failure is kept."""
    return run_folder(plan.config.root, plan.run_id) / "causes" / f"{node_id}.json"
