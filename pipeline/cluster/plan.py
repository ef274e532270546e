"""What one run on a cluster will do, settled once: every task of the run reads it from the shared volume.

A pod that resolved "the newest span" by itself could find another one than the pod before it. So the first task of a
run resolves it, compiles the pipeline to TFX's intermediate representation (IR), and writes both to
`<output root>/plans/<run id>/plan.json`. The metadata store's password is in none of it.
"""

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format

# The runner registers the messages that executors are described with; without it json_format does not know them.
from tfx.orchestration.local import runner_utils  # noqa: F401 (the import is the point)
from tfx.proto.orchestration import pipeline_pb2

from components.errors import StepRefusedError
from pipeline.config.schema import ConfigurationError, PipelineConfig, validate_config

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


def write_plan(plan: Plan) -> None:
    """Writes a plan, whole or not at all."""
    path = plan_file(plan.config.root, plan.run_id)
    values = {"run_id": plan.run_id, "configuration": plan.config.given(), "ir": json_format.MessageToDict(plan.ir)}
    write_whole(path, json.dumps(values))


def write_whole(path: Path, text: str) -> None:
    """Writes a file that other pods see whole or not at all, even while another attempt writes it too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process's number: in every container that is the same small one.
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    staging.write_text(text)
    staging.replace(path)
