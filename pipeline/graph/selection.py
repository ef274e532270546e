"""How the nodes of a pipeline are called, and which of them a configuration asks for."""

from collections.abc import Collection, Iterable

from components.training.parameters import BaselineParameters
from pipeline.config.kubeflow import kind_of
from pipeline.config.schema import ConfigurationError, PipelineConfig

PRIMARY_TRAINER = "PrimaryTrainer"
PERTURBED_EXAMPLES = "PerturbedExamples"
ROBUSTNESS_EVALUATOR = "RobustnessEvaluator"
ROBUSTNESS_SCORES = "RobustnessScores"
LEAVE_ONE_OUT = "LeaveOneOut"


def head_trainer(source: str) -> str:
    """Returns the identifier of the node that trains a source's head."""
    return f"SecondaryTrainer.{source}"


def baseline_trainer(baseline: BaselineParameters, source: str) -> str:
    """Returns the identifier of the node that trains a baseline; source is empty unless its task is attribution."""
    return ".".join(filter(None, ("BaselineTrainer", baseline.architecture, baseline.task, source)))


def baseline_sources(config: PipelineConfig) -> tuple[str, ...]:
    """Returns the sources that baselines learn: those of `data.span`, since one network sees all of them at once."""
    return tuple(source.name for source in config.sources if config.span_of(source) == config.data.span)


def left_out_sources(config: PipelineConfig) -> tuple[str, ...]:
    """Returns the sources that take turns as the unknown one: those of `data.span`, or none if that is not measured."""
    sources = baseline_sources(config)
    measured = config.open_set.leave_one_out and 2 <= len(sources) <= config.open_set.most_sources
    return sources if measured else ()


def baseline_runs(config: PipelineConfig) -> list[tuple[BaselineParameters, str]]:
    """Lists the trainings that the baselines come to: one each, but for attribution one a source."""
    return [
        (baseline, source)
        for baseline in config.baselines
        for source in (baseline_sources(config) if baseline.task == "attribution" else ("",))
    ]


def require_nodes(key: str, named: Iterable[str], node_ids: Collection[str]) -> None:
    """Checks that what a part of the configuration says of nodes is said of nodes that there are.

    Args:
        key: of the configuration, for messages.
        named: identifiers or kinds of nodes.
        node_ids: identifiers of the pipeline's nodes.

    Raises:
        ConfigurationError: if a name fits no node.
    """
    for name in named:
        if not any(name in (node_id, kind_of(node_id)) for node_id in node_ids):
            kinds = ", ".join(dict.fromkeys(kind_of(node_id) for node_id in node_ids))
            raise ConfigurationError(
                f"{key}.{name}: is no node of this pipeline. Name one, e.g. {next(iter(node_ids))}, or all of a kind: "
                f"{kinds}."
            )
