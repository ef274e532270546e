"""The report of a run on a cluster: what local runs know from watching is read from the metadata store."""

import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.cluster.node_run import cause_file
from pipeline.cluster.plan import Plan
from pipeline.metadata.lineage import NodeRecord, read_run
from pipeline.metadata.store import open_store
from pipeline.report.data import NodeRun, RunReport
from pipeline.runs.reporting import build_report, write_run_report

# What is still running when nothing runs any more was killed.
_STATES = {"COMPLETE": "executed", "CACHED": "cached"}


def report_run(plan: Plan) -> tuple[RunReport, Path]:
    """Writes the report of a run that has ended, well or not.

    Args:
        plan: of the run.

    Returns:
        The report, and where it lies.
    """
    records = read_run(open_store(plan.config), plan.config.name, plan.run_id)
    nodes = [_node_run(node, records) for node in plan.node_ids]
    outcome, message = _outcome(plan, nodes)
    # A run of which nothing was recorded has no identifier in the metadata store, yet it has one on the cluster.
    report = build_report(plan.config, plan.run_id, nodes, outcome, message)
    return report, write_run_report(plan.config, report)


def _node_run(node: str, records: Mapping[str, NodeRecord]) -> NodeRun:
    if node not in records:
        return NodeRun(node, "not run", None)
    return NodeRun(node, _STATES.get(records[node].state, "failed"), records[node].seconds)


def _outcome(plan: Plan, nodes: list[NodeRun]) -> tuple[str, str]:
    """Returns "pushed", "stopped" or "failed", and the cause that came first."""
    failed = [node.name for node in nodes if node.state == "failed" or cause_file(plan, node.name).is_file()]
    if not failed:
        missing = [node.name for node in nodes if node.state == "not run"]
        return ("failed", f"{missing[0]}: was never started.") if missing else ("pushed", "")
    first = failed[0]
    if not cause_file(plan, first).is_file():
        return "failed", f"{first}: was ended from outside; its pod's events say why (memory, time, the cluster node)."
    cause = json.loads(cause_file(plan, first).read_text())
    return "stopped" if cause["refused"] else "failed", f"{first}: {cause['message']}"
