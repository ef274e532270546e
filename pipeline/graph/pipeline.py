"""The pipeline: which steps run, on what, in what order. The only place that wires nodes; every runner calls it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tfx.components import Transform
from tfx.dsl.components.base import base_component
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2
from tfx.types import channel

from components.assembler.component import Assembler, TrainedChannels
from components.digest import source_digest
from components.evaluator.component import attribution_evaluator, detection_evaluator, robustness_evaluator
from components.evaluator.eval_config import gates
from components.leave_one_out.component import LeaveOneOut
from components.perturbed_examples.component import PerturbedExamples
from components.pusher.component import AtomicPusher
from components.reference_statistics.component import ReferenceStatistics
from components.robustness_scores.component import RobustnessScores
from components.servable_validator.component import ServableValidator
from components.trainer.component import BaselineTrainer, PrimaryTrainer, SecondaryTrainer
from pipeline.config import nodes
from pipeline.config.schema import PipelineConfig, sources_by_span
from pipeline.graph.beam import set_beam_arguments
from pipeline.graph.selection import baseline_runs, baseline_sources, left_out_sources
from pipeline.graph.spans import CheckedSpan, Graph, add_span
from pipeline.metadata.store import connection_config

_PREPROCESSING = "components.features.preprocessing"


class _Data(NamedTuple):
    """Checked examples by span, those of `data.span` once more, and the preprocessing graph made from these."""

    spans: Mapping[int | None, CheckedSpan]
    main: CheckedSpan
    transform_graph: channel.BaseChannel


class _Primary(NamedTuple):
    """The trained primary module; with perturbations also the perturbed copies, and with gates its blessing on them."""

    trained: TrainedChannels
    copies: channel.BaseChannel | None = None
    robustness_blessing: channel.BaseChannel | None = None


class _Push(NamedTuple):
    """The assembled servable, and the node that pushes it."""

    servable: channel.BaseChannel
    pusher: base_component.BaseComponent


def create_pipeline(
    config: PipelineConfig,
    earlier_models: Mapping[str, Path] | None = None,
    with_password: bool = True,
) -> Pipeline:
    """Build the TFX pipeline of a configuration.

    Args:
        config: Validated configuration.
        earlier_models: Identifier of a training node -> directory of the Model artifact that it starts from; nodes that
            are absent start from scratch.
        with_password: Whether the metadata store's password becomes part of the pipeline. It must not be part of what
            is written to a file.

    Returns:
        The pipeline with caching enabled. Nodes in order: those of `_add_data`, `_add_primary`, `_add_heads`,
        `_add_push` and `_add_measurements`.

    Raises:
        ConfigurationError: If the configuration names nodes that do not exist, or the metadata store's password is not
            set.
    """
    graph = Graph(config, {node: str(directory) for node, directory in (earlier_models or {}).items()})
    data = _add_data(graph)
    primary = _add_primary(graph, data)
    heads = _add_heads(graph, data, primary)
    push = _add_push(graph, data, primary, heads)
    _add_measurements(graph, data, primary, push)
    set_beam_arguments(config, graph.nodes)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.root / "pipeline"),
        components=graph.nodes,
        enable_cache=True,
        metadata_connection_config=connection_config(config, with_password),
    )


def _add_data(graph: Graph) -> _Data:
    """Add ImportExampleGen, StatisticsGen, SchemaGen and ExampleValidator of every span, and Transform of the main one.

    A source with a span of its own reads it through nodes of its own (ImportExampleGen.span-<N> and so on).
    """
    config = graph.config
    spans: dict[int | None, CheckedSpan] = {}
    for span in sources_by_span(config):
        spans[span] = add_span(graph, span, f".span-{span}" if spans else "")
    main = spans[config.data.span]
    transform = graph.add(
        Transform(
            examples=main.examples,
            schema=main.schema,
            preprocessing_fn=f"{_PREPROCESSING}.preprocessing_fn",
            # Only the graph and its statistics are wanted: materialised features would take 15 times the images' room.
            splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=[]),
            materialize=False,
            disable_statistics=True,
            disable_analyzer_cache=True,
            custom_config={
                "size": config.input.size,
                "colours": config.input.colours,
                "source_digest": source_digest(_PREPROCESSING),
            },
        ),
        nodes.TRANSFORM,
    )
    # No artifact flows from the check, yet nothing expensive may start on data that it refuses.
    transform.add_upstream_node(main.check)
    return _Data(spans, main, transform.outputs["transform_graph"])


def _add_primary(graph: Graph, data: _Data) -> _Primary:
    """Add PrimaryTrainer and Evaluator.primary; with perturbations also PerturbedExamples and RobustnessEvaluator."""
    config, examples = graph.config, data.main.examples
    trainer = graph.add(
        PrimaryTrainer(
            examples, data.transform_graph, config.input, config.primary, graph.start_of(nodes.PRIMARY_TRAINER)
        ),
        nodes.PRIMARY_TRAINER,
    )
    model = trainer.outputs["model"]
    evaluator = graph.add(
        detection_evaluator(examples, model, data.main.schema, config.evaluation), nodes.evaluator_of(nodes.PRIMARY)
    )
    trained = _trained(trainer, evaluator, examples)
    if not config.evaluation.perturbations:
        return _Primary(trained)
    perturbations = list(config.evaluation.perturbations)
    copies = graph.add(
        PerturbedExamples(examples, config.evaluation.split, perturbations, config.input.smallest_side),
        nodes.PERTURBED_EXAMPLES,
    ).outputs["perturbed"]
    robustness = graph.add(robustness_evaluator(copies, model, config.evaluation), nodes.ROBUSTNESS_EVALUATOR)
    # TFMA blesses nothing that has no threshold; copies without a gate are measured and reported alone.
    gated = any(gates(limits) for limits in config.evaluation.perturbations.values())
    return _Primary(trained, copies, robustness.outputs["blessing"] if gated else None)


def _add_heads(graph: Graph, data: _Data, primary: _Primary) -> dict[str, TrainedChannels]:
    """Add SecondaryTrainer.<source> and Evaluator.<source> of every source; return the trained heads by source."""
    config = graph.config
    heads = _kept_heads(graph, data, primary)
    for source in config.sources:
        span = data.spans[config.span_of(source)]
        node_id = nodes.head_trainer(source.name)
        trainer = graph.add(
            SecondaryTrainer(
                source.name,
                span.examples,
                data.transform_graph,
                primary.trained.model,
                config.input,
                config.secondary,
                config.attribution_level,
                # A head of a given servable is folded: one that takes its place is trained from scratch.
                "" if config.primary.takes_module else graph.start_of(node_id),
            ),
            node_id,
        )
        trainer.add_upstream_node(span.check)
        evaluator = graph.add(
            attribution_evaluator(span.examples, trainer.outputs["model"], data.main.schema, config.evaluation),
            nodes.evaluator_of(source.name),
        )
        heads[source.name] = _trained(trainer, evaluator, span.examples)
    return heads


def _kept_heads(graph: Graph, data: _Data, primary: _Primary) -> dict[str, TrainedChannels]:
    """Add SecondaryTrainer.<source> of every head that comes with a given primary module and that no source replaces.

    They are not evaluated: the images at hand need not hold their sources. They were blessed where they were trained.
    """
    config = graph.config
    if not config.primary.takes_module:
        return {}
    taken = config.secondary.model_copy(update={"model": config.primary.model, "frozen": True})
    replaced = {nodes.head_trainer(source.name) for source in config.sources}
    kept = {}
    for node_id in graph.starts:
        if nodes.kind_of(node_id) != nodes.SECONDARY_TRAINER or node_id in replaced:
            continue
        source, examples = node_id.partition(".")[2], data.main.examples
        trainer = graph.add(
            SecondaryTrainer(
                source,
                examples,
                data.transform_graph,
                primary.trained.model,
                config.input,
                taken,
                config.attribution_level,
                graph.start_of(node_id),
            ),
            node_id,
        )
        kept[source] = TrainedChannels(trainer.outputs["model"], None, trainer.outputs["model_run"], examples)
    return kept


def _add_push(graph: Graph, data: _Data, primary: _Primary, heads: Mapping[str, TrainedChannels]) -> _Push:
    """Add Assembler, ServableValidator, ReferenceStatistics and Pusher."""
    config, examples = graph.config, data.main.examples
    assembler = graph.add(
        Assembler(
            data.transform_graph,
            primary.trained,
            heads,
            config.input,
            str(config.dataset),
            config.attribution_level,
            primary.robustness_blessing,
            config.verdict,
        ),
        nodes.ASSEMBLER,
    )
    servable = assembler.outputs["model"]
    models = {source: head.model for source, head in heads.items()}
    validator = graph.add(
        ServableValidator(servable, examples, primary.trained.model, models, config.validation),
        nodes.SERVABLE_VALIDATOR,
    )
    reference = graph.add(
        ReferenceStatistics(servable, examples, config.evaluation.split, config.monitoring.reference_images),
        nodes.REFERENCE_STATISTICS,
    )
    # No artifact flows from the validation, yet nothing is to be measured of a servable that it refuses.
    reference.add_upstream_node(validator)
    pusher = graph.add(
        AtomicPusher(
            servable,
            validator.outputs["infra_blessing"],
            reference.outputs["statistics"],
            str(config.serving_base),
            config.recipe,
            config.licences,
        ),
        nodes.PUSHER,
    )
    return _Push(servable, pusher)


def _add_measurements(graph: Graph, data: _Data, primary: _Primary, push: _Push) -> None:
    """Add what the report alone reads: RobustnessScores, LeaveOneOut, and a BaselineTrainer of every baseline.

    No artifact flows from the push to them. They wait for it all the same, so that they delay no servable; baselines
    stand behind everything else.
    """
    config = graph.config
    if primary.copies is not None:
        scores = RobustnessScores(push.servable, primary.copies, config.evaluation.split)
        graph.add(scores, nodes.ROBUSTNESS_SCORES).add_upstream_node(push.pusher)
    if turns := left_out_sources(config):
        unknown = LeaveOneOut(
            data.main.examples,
            data.transform_graph,
            primary.trained.model,
            config.input,
            config.secondary,
            turns,
            config.evaluation.split,
            config.attribution_level,
        )
        graph.add(unknown, nodes.LEAVE_ONE_OUT).add_upstream_node(push.pusher)
    for baseline, source in baseline_runs(config):
        node_id = nodes.baseline_trainer(baseline.architecture, baseline.task, source)
        graph.add(
            BaselineTrainer(
                baseline,
                data.main.examples,
                data.transform_graph,
                config.input,
                baseline_sources(config),
                config.attribution_level,
                graph.start_of(node_id),
                source=source,
            ),
            node_id,
        )


def _trained(
    trainer: base_component.BaseComponent, evaluator: base_component.BaseComponent, examples: channel.BaseChannel
) -> TrainedChannels:
    """Return what the assembler reads of a trained module."""
    blessing = evaluator.outputs["blessing"]
    return TrainedChannels(trainer.outputs["model"], blessing, trainer.outputs["model_run"], examples)
