"""Runners of a whole pipeline on this machine, by way of `Launches`.

TFX's runners cannot be told which launcher to use, nor which runner of Beam: these take their places.
"""

import abc
import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

import apache_beam as beam
from tfx.dsl.compiler import constants
from tfx.orchestration.portable import runtime_parameter_utils, tfx_runner
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import telemetry_utils

from pipeline.runs.launches import Launches

Runner = Literal["beam", "local"]


class _LocalRunner(tfx_runner.IrBasedRunner, abc.ABC):
    """A runner that launches every node in this process.

    Args:
        launches: Launches the nodes and records what happens to them.
    """

    name: Runner
    run_id_format: str  # of TFX's runner of the same name

    def __init__(self, launches: Launches) -> None:
        self._launches = launches

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None, **_: Any
    ) -> None:
        """Run a compiled pipeline.

        Args:
            pipeline: Compiled pipeline; the identifier of its run is filled in.
            run_options: Must be None: partial runs are not supported.

        Raises:
            ValueError: If `run_options` is given.
            Exception: Whatever made a node fail.
        """
        if run_options is not None:
            raise ValueError(f"run_options: must be None, got {run_options}. Partial runs are not supported.")
        run_id = datetime.now().strftime(self.run_id_format)
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
        )
        with telemetry_utils.scoped_labels({telemetry_utils.LABEL_TFX_RUNNER: self.name}):
            self._run_nodes(pipeline, run_id)

    @abc.abstractmethod
    def _run_nodes(self, ir: pipeline_pb2.Pipeline, run_id: str) -> None:
        """Launch every node once its upstream nodes have ended."""


class LocalRunner(_LocalRunner):
    """Launches one node after the other, as TFX's LocalDagRunner."""

    name: Runner = "local"
    run_id_format = "%Y-%m-%dT%H:%M:%S.%f"

    def _run_nodes(self, ir: pipeline_pb2.Pipeline, run_id: str) -> None:
        del run_id
        for node in ir.nodes:  # in topological order
            self._launches.launch(ir, node.pipeline_node.node_info.id)


class BeamRunner(_LocalRunner):
    """Launches nodes as elements of a Beam pipeline, as TFX's BeamDagRunner."""

    name: Runner = "beam"
    run_id_format = "%Y%m%d-%H%M%S.%f"

    def _run_nodes(self, ir: pipeline_pb2.Pipeline, run_id: str) -> None:
        # Beam's default runner would look for a Go binary on the network first, and only then fall back to this one.
        with _reachable(run_id, self._launches, ir), beam.Pipeline(runner="FnApiRunner") as graph:
            root = graph | "CreateRoot" >> beam.Create([None])
            ended: dict[str, beam.PCollection] = {}
            for node in (node.pipeline_node for node in ir.nodes):  # in topological order
                node_id = node.node_info.id
                # Each node's collection is empty: as a side input it makes downstream nodes wait, and that is all.
                signals = [beam.pvalue.AsIter(ended[upstream]) for upstream in node.upstream_nodes]
                ended[node_id] = root | f"Run[{node_id}]" >> beam.ParDo(_LaunchNode(run_id, node_id), *signals)


# Beam pickles what it executes, even within one process. Launches have listeners, which are not to be copied: they stay
# here while their run goes on, under its identifier.
_GOING_ON: dict[str, tuple[Launches, pipeline_pb2.Pipeline]] = {}


@contextlib.contextmanager
def _reachable(run_id: str, launches: Launches, ir: pipeline_pb2.Pipeline) -> Iterator[None]:
    _GOING_ON[run_id] = launches, ir
    try:
        yield
    finally:
        del _GOING_ON[run_id]


@beam.typehints.with_input_types(Any)
@beam.typehints.with_output_types(Any)
class _LaunchNode(beam.DoFn):
    """Launches one node of a run that goes on in this process."""

    def __init__(self, run_id: str, node_id: str) -> None:
        self._run_id = run_id
        self._node_id = node_id

    def process(self, element: Any, *signals: Iterable[Any]) -> None:
        """Launch the node; side inputs make Beam wait for the nodes that they come from."""
        del element, signals
        launches, ir = _GOING_ON[self._run_id]
        launches.launch(ir, self._node_id)


RUNNERS: dict[Runner, type[_LocalRunner]] = {"beam": BeamRunner, "local": LocalRunner}
