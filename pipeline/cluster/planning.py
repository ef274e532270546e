"""Making the plan of a run on a cluster: resolve what it reads, compile its pipeline, write both."""

from pathlib import Path

from tfx.dsl.compiler import compiler
from tfx.proto.orchestration import pipeline_pb2

from components.errors import StepRefusedError
from pipeline.cluster.plan import Plan, graph_digest, plan_file, read_plan, upstream_nodes, write_plan
from pipeline.config.schema import PipelineConfig
from pipeline.graph.pipeline import create_pipeline
from pipeline.metadata.store import create_store
from pipeline.runs.inputs import resolve_run


def compile_ir(config: PipelineConfig, earlier_models: dict[str, Path] | None = None) -> pipeline_pb2.Pipeline:
    """Compiles a configuration's pipeline to TFX's intermediate representation, without a password in it."""
    return compiler.Compiler().compile(create_pipeline(config, earlier_models, with_password=False))


def make_plan(config: PipelineConfig, run_id: str, span: int | None, graph: str) -> Plan:
    """Settles a run, or returns what was settled when an earlier attempt of the same run got so far.

    Args:
        config: the configuration of the package.
        run_id: the run's identifier.
        span: number of the span to read instead of the configuration's; None leaves that.
        graph: digest of the graph that the package was compiled from.

    Returns:
        The plan. It is written whole or not at all.

    Raises:
        ConfigurationError: if dataset, span or warm start are not there.
        StepRefusedError: if the nodes are not those that the package has tasks for.
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
    write_plan(plan)
    return plan
