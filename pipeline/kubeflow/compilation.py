"""The pipeline as a Kubeflow Pipelines (KFP v2) package: one container task a TFX node, edges from TFX's IR.

    plan -> the tasks of all nodes, side by side where the graph allows -> report, however the run ended

Every task runs `python -m pipeline.cluster` in the same image. TFX's own KubeflowV2DagRunner is not used: open-source
Kubeflow rejects its resolvers, drivers and schema version. Kubeflow's cache is off, because TFX has one: two would
disagree.
"""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from kfp import compiler, dsl, kubernetes

from pipeline.cluster.outputs import has_evaluation
from pipeline.cluster.plan import compile_ir, graph_digest, upstream_nodes
from pipeline.config.kubeflow import TaskParameters
from pipeline.config.schema import ConfigurationError, PipelineConfig
from pipeline.graph.selection import require_nodes
from serving import atomic

PLAN, REPORT = "plan", "report"  # tasks beside those of TFX's nodes
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the device, not a temporary folder)
_BACKOFF = 2.0

_SHOWN = ("--kubeflow", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER)

_Step = Callable[..., Any]


def compile_package(config: PipelineConfig, output: Path) -> list[str]:
    """Writes the Kubeflow Pipelines package of a configuration.

    Args:
        config: the validated configuration. Its dataset need not be there: the plan task looks at it, on the cluster.
        output: YAML file to write; replaced if it is there.

    Returns:
        Names of the tasks: of nodes in topological order, between `plan` and `report`.

    Raises:
        ConfigurationError: if the configuration cannot run on a cluster, or names nodes that there are not.
    """
    _require_cluster(config)
    ir = compile_ir(config)
    upstream = upstream_nodes(ir)
    require_nodes("kubeflow.nodes", config.kubeflow.nodes, [*upstream, PLAN, REPORT])
    with tempfile.TemporaryDirectory() as directory:
        package = Path(directory) / "package.yaml"  # KFP insists on the suffix
        compiler.Compiler().compile(_pipeline(config, upstream, graph_digest(ir)), str(package))
        atomic.write_text(output, package.read_text(encoding="utf-8"))
    return [PLAN, *upstream, REPORT]


def _require_cluster(config: PipelineConfig) -> None:
    """Checks what a cluster asks of a configuration beyond what one machine does."""
    if config.metadata.kind != "mysql":
        raise ConfigurationError(
            "metadata.kind: must be 'mysql' on a cluster, got 'sqlite': several pods write at once, and SQLite locks "
            "on a shared volume. Set metadata: {kind: mysql, host: metadata-store}."
        )
    if config.primary.model is not None:
        raise ConfigurationError(
            f"primary.model: must be none on a cluster, got '{config.primary.model}': which heads come with a model is "
            "known where it lies, and the package is compiled elsewhere. Run it with genattr run."
        )
    mount = PurePosixPath(config.kubeflow.volume_mount)
    places = [("data.dataset", config.data.dataset, "data"), ("output_root", config.output_root, "runs")]
    if config.warm_start is not None:
        places.append(("warm_start", config.warm_start, "runs"))
    for key, place, folder in places:
        path = PurePosixPath(place)
        if not path.is_relative_to(mount) or ".." in path.parts:
            raise ConfigurationError(
                f"{key}: must lie below kubeflow.volume_mount ({mount}), which all tasks share, got {place}. "
                f"Set it to e.g. {mount / folder / config.name}."
            )


def _pipeline(config: PipelineConfig, upstream: dict[str, list[str]], graph: str) -> Any:
    """Builds the KFP pipeline."""
    # Kubeflow fills a run's identifier in where it is all of an input parameter, and nowhere else: not in arguments.
    # Source: resolution of parameters in the KFP v2 driver, since 2.4 (kubeflow/pipelines, pull request 11599).
    run = {"run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
    heads = ", ".join(source.name for source in config.sources)

    @dsl.pipeline(name=kfp_name(config.name), description=f"Generator attribution: {heads or 'detection only'}.")
    def generator_attribution(span: str = "", image: str = config.kubeflow.image):  # type: ignore[no-untyped-def]
        def settled(task: dsl.PipelineTask, node: str) -> dsl.PipelineTask:
            return _settle(task, node, config).set_container_image(image)

        report = settled(_report_step(config)(**run), REPORT)
        with dsl.ExitHandler(report, name="nodes"):
            tasks = {PLAN: settled(_plan_step(config, graph)(span=span, **run), PLAN)}
            for node, needed in upstream.items():
                task = settled(_node_step(config, node)(**run), node)
                tasks[node] = task.after(*(tasks[name] for name in needed or [PLAN]))

    return generator_attribution


def kfp_name(name: str) -> str:
    """Returns a name as Kubeflow takes it: lower case, digits and dashes. https://www.kubeflow.org/docs/components/pipelines/"""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _plan_step(config: PipelineConfig, graph: str) -> _Step:
    given = ["--configuration", json.dumps(config.given()), "--graph", graph]

    def plan(span: str, run_id: str) -> dsl.ContainerSpec:
        return _container(config, "plan", run_id, *given, "--span", span)

    return dsl.container_component(plan)


def _node_step(config: PipelineConfig, node: str) -> _Step:
    # The names of the arguments are what the task declares as its outputs: METRICS and ROC.
    def evaluation(
        run_id: str,
        metrics: dsl.Output[dsl.Metrics],  # noqa: ARG001
        roc: dsl.Output[dsl.ClassificationMetrics],  # noqa: ARG001
    ) -> dsl.ContainerSpec:
        return _container(config, "run", run_id, "--node", node, *_SHOWN)

    def plain(run_id: str) -> dsl.ContainerSpec:
        return _container(config, "run", run_id, "--node", node)

    step = evaluation if has_evaluation(node) else plain
    step.__name__ = node
    return dsl.container_component(step)


def _report_step(config: PipelineConfig) -> _Step:
    # As above: PAGE, CONFUSION and METRICS.
    def report(
        run_id: str,
        page: dsl.Output[dsl.HTML],  # noqa: ARG001
        confusion: dsl.Output[dsl.ClassificationMetrics],  # noqa: ARG001
        metrics: dsl.Output[dsl.Metrics],  # noqa: ARG001
    ) -> dsl.ContainerSpec:
        return _container(config, "report", run_id, *_SHOWN)

    return dsl.container_component(report)


def _container(config: PipelineConfig, part: str, run_id: Any, *words: Any) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(
        image=config.kubeflow.image,
        command=["python", "-m", "pipeline.cluster"],
        args=[part, "--output-root", str(config.root), "--run-id", run_id, *words],
    )


def _settle(task: dsl.PipelineTask, node: str, config: PipelineConfig) -> dsl.PipelineTask:
    """Gives a task its name, volume, password, user and resources."""
    cluster = config.kubeflow
    asked = cluster.task(node)
    task.set_display_name(node)
    task.set_caching_options(False)
    _reserve(task, asked)
    kubernetes.mount_pvc(task, cluster.volume_claim, cluster.volume_mount)
    kubernetes.use_secret_as_env(
        task, cluster.password_secret.name, {cluster.password_secret.key: config.metadata.password_variable}
    )
    kubernetes.set_security_context(task, run_as_user=cluster.user, run_as_group=cluster.user, run_as_non_root=True)
    kubernetes.set_image_pull_policy(task, cluster.image_pull_policy)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
    return task


def _reserve(task: dsl.PipelineTask, asked: TaskParameters) -> None:
    """Says what a task may use, where it may run, how long, and how often it is tried."""
    task.set_cpu_request(asked.cpu)
    if asked.cpu_limit is not None:
        task.set_cpu_limit(asked.cpu_limit)
    task.set_memory_request(asked.memory)
    task.set_memory_limit(asked.memory)
    if asked.gpus:
        task.set_accelerator_type(asked.gpu_resource)
        task.set_accelerator_limit(asked.gpus)
    for label, value in asked.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in asked.tolerations:
        kubernetes.add_toleration(task, toleration.key, toleration.operator, toleration.value, toleration.effect)
    if asked.shared_memory is not None:
        kubernetes.empty_dir_mount(task, "shared-memory", _SHARED_MEMORY, "Memory", asked.shared_memory)
    kubernetes.set_timeout(task, asked.timeout_minutes * 60)
    if asked.retries:
        task.set_retry(asked.retries, backoff_duration=f"{asked.retry_seconds}s", backoff_factor=_BACKOFF)
