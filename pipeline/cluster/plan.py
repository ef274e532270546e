"""What one run on a cluster will do, settled once: every task of the run reads it from the shared volume.

A pod that resolved "the newest span" by itself could find another one than the pod before it. So the first task of a
run resolves it, compiles the pipeline to TFX's intermediate representation (IR), and writes both to
`<output root>/plans/<run id>/plan.json`. The metadata store's password is in none of it.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format
from tfx.dsl.compiler import compiler

# The runner registers the messages that executors are described with; without it json_format does not know them.
from tfx.orchestration.local import runner_utils  # noqa: F401 (the import is the point)
from tfx.proto.orchestration import pipeline_pb2

from components.errors import StepRefusedError
from pipeline.config.schema import ConfigurationError, PipelineConfig, validate_config
from pipeline.graph.pipeline import create_pipeline
from pipeline.metadata.store import create_store
from pipeline.runs.inputs import resolve_run
from serving import atomic

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


@dataclass(frozen=True)
class Plan:
    """One run, settled.

    Attributes:
        run_id: the run's identifier, Kubeflow's and TFX's.
        config: the configuration, with its span written out.
        ir: the compiled pipeline; its run identifier is still open, and its connection has no password.
    """

    run_id: str
    config: PipelineConfig
    ir: pipeline_pb2.Pipeline

    @property
    def node_ids(self) -> list[str]:
        """Identifiers of the nodes, each behind those that it needs."""
        return list(upstream_nodes(self.ir))


def run_folder(output_root: Path, run_id: str) -> Path:
    """Returns where a run on a cluster keeps its plan and its causes of failure.

    Raises:
        ConfigurationError: if the identifier is none that can be a folder's name.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigurationError(
            f"run_id: must be up to 128 letters, digits, '-', '_', '.' and ':', got {run_id!r}. Kubeflow's own "
            "identifiers are of this form; a placeholder in braces means Kubeflow Pipelines older than 2.4: upgrade it."
        )
    return output_root / "plans" / run_id


def plan_file(output_root: Path, run_id: str) -> Path:
    """Returns where a run's plan lies."""
    return run_folder(output_root, run_id) / "plan.json"


def compile_ir(config: PipelineConfig, earlier_models: dict[str, Path] | None = None) -> pipeline_pb2.Pipeline:
    """Compile a configuration's pipeline to TFX's intermediate representation, without a password in it."""
    return compiler.Compiler().compile(create_pipeline(config, earlier_models, with_password=False))


def upstream_nodes(ir: pipeline_pb2.Pipeline) -> dict[str, list[str]]:
    """Returns node identifier -> the nodes that it waits for, in topological order."""
    nodes = [node.pipeline_node for node in ir.nodes]
    return {node.node_info.id: sorted(node.upstream_nodes) for node in nodes}


def graph_digest(ir: pipeline_pb2.Pipeline) -> str:
    """Returns 16 hexadecimal digits that change with the nodes and the edges between them, and with nothing else."""
    return hashlib.sha256(json.dumps(sorted(upstream_nodes(ir).items())).encode()).hexdigest()[:16]


def read_plan(output_root: Path, run_id: str) -> Plan:
    """Reads a plan.

    Raises:
        StepRefusedError: if there is none.
        ConfigurationError: if its configuration is none that this release understands.
    """
    path = plan_file(output_root, run_id)
    if not path.is_file():
        raise StepRefusedError(f"{path}: is not there. The run's first task, plan, writes it: look at its log.")
    values = json.loads(path.read_text())
    ir = json_format.ParseDict(values["ir"], pipeline_pb2.Pipeline())
    return Plan(values["run_id"], validate_config(values["configuration"], str(path)), ir)


def make_plan(config: PipelineConfig, run_id: str, span: int | None, graph: str) -> Plan:
    """Resolve what a run reads, compile its pipeline and write both; return the plan of an earlier attempt if any.

    Args:
        config: Configuration of the package.
        run_id: Identifier of the run.
        span: Number of the span to read instead of the configuration's; None keeps that one.
        graph: Digest of the graph that the package was compiled from.

    Returns:
        The plan. It is written whole or not at all.

    Raises:
        ConfigurationError: If dataset, span or warm start do not exist.
        StepRefusedError: If the nodes are not those that the package has tasks for.
    """
    if plan_file(config.root, run_id).is_file():
        return read_plan(config.root, run_id)
    if span is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"span": span})})
    resolved, earlier_models = resolve_run(config)
    create_store(resolved)
    ir = compile_ir(resolved, earlier_models)
    if graph_digest(ir) != graph:
        raise StepRefusedError(
            f"the package was compiled for other nodes than those of this run ({', '.join(upstream_nodes(ir))}). "
            "Either its image holds another release: compile the package again with the release in the image. Or a "
            f"source has span {resolved.data.span} of its own, which is the run's own span now: leave it out there."
        )
    plan = Plan(run_id, resolved, ir)
    values = {"run_id": run_id, "configuration": resolved.given(), "ir": json_format.MessageToDict(ir)}
    atomic.write_text(plan_file(resolved.root, run_id), json.dumps(values))
    return plan
