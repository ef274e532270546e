"""The pipeline: which steps run, on what, in what order. The only place that wires nodes; every runner calls it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tfx.components import Evaluator, Transform
from tfx.dsl.components.base import base_component
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2
from tfx.types import channel

from components.assembler.component import Assembler, TrainedChannels
from components.digest import source_digest
from components.evaluator.eval_config import attribution_config, detection_config, robustness_config
from components.leave_one_out.component import LeaveOneOut
from components.perturbed_examples.component import PerturbedExamples
from components.pusher.component import AtomicPusher
from components.reference_statistics.component import ReferenceStatistics
from components.robustness_scores.component import RobustnessScores
from components.servable_validator.component import ServableValidator
from components.trainer.component import BaselineTrainer, PrimaryTrainer, SecondaryTrainer
from pipeline.config.schema import PipelineConfig, sources_by_span
from pipeline.graph.beam import set_beam_arguments
from pipeline.graph.names import (
    LEAVE_ONE_OUT,
    PERTURBED_EXAMPLES,
    PRIMARY_TRAINER,
    ROBUSTNESS_EVALUATOR,
    ROBUSTNESS_SCORES,
    baseline_runs,
    baseline_sources,
    baseline_trainer,
    head_trainer,
    left_out_sources,
)
from pipeline.graph.spans import Add, CheckedSpan, add_span
from pipeline.metadata.store import connection_config


class _Robustness(NamedTuple):
    """Perturbed copies of the evaluation split, and whether the primary module is good enough on them."""

    copies: channel.BaseChannel
    blessing: channel.BaseChannel


_PREPROCESSING = "components.features.preprocessing"


def create_pipeline(
    config: PipelineConfig,
    earlier_models: Mapping[str, Path] | None = None,
    with_password: bool = True,
) -> Pipeline:
    """Builds the TFX pipeline of a configuration.

    Nodes, in order: ImportExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform, PrimaryTrainer,
    Evaluator.primary; with perturbations PerturbedExamples and RobustnessEvaluator; SecondaryTrainer.<source> and
    Evaluator.<source> for every source; Assembler, ServableValidator, ReferenceStatistics, Pusher. Then, so that no
    servable is delayed: with perturbations RobustnessScores; LeaveOneOut, where sources take turns as the unknown one;
    a BaselineTrainer for every baseline. A source with a span of its own reads it through nodes of its own
    (ImportExampleGen.span-<N> and so on).

    Args:
        config: the validated configuration.
        earlier_models: identifier of a training node -> folder of the Model artifact that it starts from; the others
            start from scratch.
        with_password: whether the metadata store's password is part of the pipeline: it must not be in what is
            written to a file.

    Returns:
        The pipeline, caching on.

    Raises:
        ConfigurationError: if the configuration names nodes that there are not, or the metadata store's password is
            not set.
    """
    nodes: list[base_component.BaseComponent] = []

    def add(node: base_component.BaseComponent, node_id: str) -> base_component.BaseComponent:
        nodes.append(node.with_id(node_id))
        return node

    spans: dict[int | None, CheckedSpan] = {}
    for span in sources_by_span(config):
        suffix = f".span-{span}" if spans else ""
        spans[span] = add_span(config, span, suffix, add)

    main_examples, schema, main_check = spans[config.data.span]
    transform = add(
        Transform(
            examples=main_examples,
            schema=schema,
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
        "Transform",
    )
    # No artifact flows from the check, yet nothing expensive may start on data that it refuses.
    transform.add_upstream_node(main_check)
    transform_graph = transform.outputs["transform_graph"]

    def start_of(node_id: str) -> str:
        return str((earlier_models or {}).get(node_id, ""))

    primary = add(
        PrimaryTrainer(main_examples, transform_graph, config.input, config.primary, start_of(PRIMARY_TRAINER)),
        PRIMARY_TRAINER,
    )
    primary_evaluator = add(
        Evaluator(
            examples=main_examples,
            model=primary.outputs["model"],
            eval_config=detection_config(config.evaluation),
            example_splits=[config.evaluation.split],
            schema=schema,
        ),
        "Evaluator.primary",
    )

    robustness = _add_robustness(config, main_examples, primary, add)

    heads: dict[str, TrainedChannels] = {}
    for source in config.sources:
        source_examples, _, source_check = spans[config.span_of(source)]
        node_id = head_trainer(source.name)
        trainer = add(
            SecondaryTrainer(
                source.name,
                source_examples,
                transform_graph,
                primary.outputs["model"],
                config.input,
                config.secondary,
                config.attribution_level,
                start_of(node_id),
            ),
            node_id,
        )
        trainer.add_upstream_node(source_check)
        evaluator = add(
            Evaluator(
                examples=source_examples,
                model=trainer.outputs["model"],
                eval_config=attribution_config(config.evaluation),
                example_splits=[config.evaluation.split],
                schema=schema,
            ),
            f"Evaluator.{source.name}",
        )
        heads[source.name] = _trained(trainer, evaluator, source_examples)

    assembler = add(
        Assembler(
            transform_graph,
            _trained(primary, primary_evaluator, main_examples),
            heads,
            config.input,
            str(config.dataset),
            config.attribution_level,
            robustness.blessing if robustness else None,
            config.verdict,
        ),
        "Assembler",
    )
    validator = add(
        ServableValidator(
            assembler.outputs["model"],
            main_examples,
            primary.outputs["model"],
            {source: head.model for source, head in heads.items()},
            config.validation,
        ),
        "ServableValidator",
    )
    reference = add(
        ReferenceStatistics(
            assembler.outputs["model"], main_examples, config.evaluation.split, config.monitoring.reference_images
        ),
        "ReferenceStatistics",
    )
    # No artifact flows from the validation, yet nothing is to be measured of a servable that it refuses.
    reference.add_upstream_node(validator)
    pusher = add(
        AtomicPusher(
            assembler.outputs["model"],
            validator.outputs["infra_blessing"],
            reference.outputs["statistics"],
            str(config.serving_base),
        ),
        "Pusher",
    )
    if robustness:
        scores = add(
            RobustnessScores(assembler.outputs["model"], robustness.copies, config.evaluation.split),
            ROBUSTNESS_SCORES,
        )
        # Nothing flows from the push either: these figures are for the report alone, and no servable is to wait for
        # them.
        scores.add_upstream_node(pusher)

    if turns := left_out_sources(config):
        unknown = add(
            LeaveOneOut(
                main_examples,
                transform_graph,
                primary.outputs["model"],
                config.input,
                config.secondary,
                turns,
                config.evaluation.split,
                config.attribution_level,
            ),
            LEAVE_ONE_OUT,
        )
        unknown.add_upstream_node(pusher)

    for baseline, source_name in baseline_runs(config):
        node_id = baseline_trainer(baseline, source_name)
        add(
            BaselineTrainer(
                baseline,
                main_examples,
                transform_graph,
                config.input,
                baseline_sources(config),
                config.attribution_level,
                start_of(node_id),
                source=source_name,
            ),
            node_id,
        )

    set_beam_arguments(config, nodes)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.root / "pipeline"),
        components=nodes,
        enable_cache=True,
        metadata_connection_config=connection_config(config, with_password),
    )


def _add_robustness(
    config: PipelineConfig, examples: channel.BaseChannel, primary: base_component.BaseComponent, add: Add
) -> _Robustness | None:
    """Adds the nodes that judge the primary module on perturbed copies; returns None if not asked."""
    if not config.evaluation.perturbations:
        return None
    copies = add(
        PerturbedExamples(examples, config.evaluation.split, list(config.evaluation.perturbations), config.input.size),
        PERTURBED_EXAMPLES,
    )
    judge = add(
        Evaluator(
            examples=copies.outputs["perturbed"],
            model=primary.outputs["model"],
            eval_config=robustness_config(config.evaluation),
            example_splits=[config.evaluation.split],
        ),
        ROBUSTNESS_EVALUATOR,
    )
    return _Robustness(copies.outputs["perturbed"], judge.outputs["blessing"])


def _trained(
    trainer: base_component.BaseComponent, evaluator: base_component.BaseComponent, examples: channel.BaseChannel
) -> TrainedChannels:
    """Returns what the assembler reads of a trained module."""
    blessing = evaluator.outputs["blessing"]
    return TrainedChannels(trainer.outputs["model"], blessing, trainer.outputs["model_run"], examples)
