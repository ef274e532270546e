"""The pipeline: which steps run, on what, in what order. The only place that wires nodes; every runner calls it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tfx.components import Evaluator, ImportExampleGen, SchemaGen, StatisticsGen, Transform
from tfx.dsl.components.base import base_beam_component, base_component
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2, range_config_pb2, transform_pb2
from tfx.types import channel

from components.assembler.component import Assembler, TrainedChannels
from components.digest import source_digest
from components.evaluator.eval_config import attribution_config, detection_config, robustness_config
from components.example_validator.component import ExampleGate
from components.monitoring.component import ReferenceStatistics
from components.pusher.component import AtomicPusher
from components.robustness.component import PerturbedExamples
from components.trainer.component import BaselineTrainer, PrimaryTrainer, SecondaryTrainer
from components.trainer.parameters import BaselineParameters
from components.validator.component import ServableValidator
from pipeline.config import ConfigurationError, PipelineConfig, sources_by_span
from pipeline.kubeflow_parameters import kind_of
from pipeline.metadata_store import connection_config

_IN_PROCESS_RUNNERS = ("--runner=FnApiRunner", "--runner=DirectRunner")

# Adds a node to the pipeline under an identifier.
_Add = Callable[[base_component.BaseComponent, str], base_component.BaseComponent]


class _CheckedSpan(NamedTuple):
    """One span of the dataset: its examples, their schema, and the node that checks them."""

    examples: channel.BaseChannel
    schema: channel.BaseChannel
    check: base_component.BaseComponent


PRIMARY_TRAINER = "PrimaryTrainer"
ROBUSTNESS_EVALUATOR = "RobustnessEvaluator"

_PREPROCESSING = "components.features.preprocessing"

# Prepared datasets hold these; "testonly" is out-of-distribution on purpose: neither analysed nor checked.
_SPLITS = ("train", "eval", "test", "testonly")
_UNCHECKED_SPLITS = ["testonly"]


def create_pipeline(
    config: PipelineConfig,
    earlier_models: Mapping[str, Path] | None = None,
    with_password: bool = True,
) -> Pipeline:
    """Builds the TFX pipeline of a configuration.

    Nodes, in order: ImportExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform, PrimaryTrainer,
    Evaluator.primary; with perturbations PerturbedExamples and RobustnessEvaluator; SecondaryTrainer.<source> and
    Evaluator.<source> for every source; Assembler, ServableValidator, ReferenceStatistics, Pusher; then a
    BaselineTrainer for every baseline, so that none delays a servable. A source with a span of its own reads it through
    nodes of its own (ImportExampleGen.span-<N> and so on).

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

    spans: dict[int | None, _CheckedSpan] = {}
    for span in sources_by_span(config):
        suffix = f".span-{span}" if spans else ""
        spans[span] = _add_span(config, span, suffix, add)

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

    robustness_blessing = _add_robustness(config, main_examples, primary, add)

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
            robustness_blessing,
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
    add(
        AtomicPusher(
            assembler.outputs["model"],
            validator.outputs["infra_blessing"],
            reference.outputs["statistics"],
            str(config.serving_base),
        ),
        "Pusher",
    )

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

    _set_beam_arguments(config, nodes)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.root / "pipeline"),
        components=nodes,
        enable_cache=True,
        metadata_connection_config=connection_config(config, with_password),
    )


def _add_robustness(
    config: PipelineConfig, examples: channel.BaseChannel, primary: base_component.BaseComponent, add: _Add
) -> channel.BaseChannel | None:
    """Adds the nodes that judge the primary module on perturbed copies; returns their blessing, None if not asked."""
    if not config.evaluation.perturbations:
        return None
    copies = add(
        PerturbedExamples(examples, config.evaluation.split, list(config.evaluation.perturbations), config.input.size),
        "PerturbedExamples",
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
    return judge.outputs["blessing"]


def _trained(
    trainer: base_component.BaseComponent, evaluator: base_component.BaseComponent, examples: channel.BaseChannel
) -> TrainedChannels:
    """Returns what the assembler reads of a trained module."""
    blessing = evaluator.outputs["blessing"]
    return TrainedChannels(trainer.outputs["model"], blessing, trainer.outputs["model_run"], examples)


def head_trainer(source: str) -> str:
    """Returns the identifier of the node that trains a source's head."""
    return f"SecondaryTrainer.{source}"


def baseline_trainer(baseline: BaselineParameters, source: str) -> str:
    """Returns the identifier of the node that trains a baseline; source is empty unless its task is attribution."""
    return ".".join(filter(None, ("BaselineTrainer", baseline.architecture, baseline.task, source)))


def baseline_sources(config: PipelineConfig) -> tuple[str, ...]:
    """Returns the sources that baselines learn: those of `data.span`, since one network sees all of them at once."""
    return tuple(source.name for source in config.sources if config.span_of(source) == config.data.span)


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


def _set_beam_arguments(config: PipelineConfig, nodes: Iterable[base_component.BaseComponent]) -> None:
    """Gives every data-parallel node its options; those that name one node win over those that name its kind."""
    parallel = [node for node in nodes if isinstance(node, base_beam_component.BaseBeamComponent)]
    chosen = config.beam_pipeline_args_of
    require_nodes("beam_pipeline_args_of", chosen, [node.id for node in parallel])
    for node in parallel:
        given = chosen.get(node.id, chosen.get(kind_of(node.id), config.beam_pipeline_args))
        node.with_beam_pipeline_args(_beam_arguments(given))


def _beam_arguments(given: Sequence[str]) -> list[str]:
    """Returns the options of Beam steps.

    Unless told which image remote workers run, TFX packages itself anew in every Beam step, for a second or two. An
    in-process runner has no remote workers, so naming an image that nobody pulls spares it that.
    """
    arguments = list(given)
    in_process = any(argument in _IN_PROCESS_RUNNERS for argument in arguments)
    if in_process and not any(argument.startswith("--sdk_container_image") for argument in arguments):
        arguments.append("--sdk_container_image=none")
    return arguments


def _add_span(config: PipelineConfig, span: int | None, suffix: str, add: _Add) -> _CheckedSpan:
    """Adds the nodes that read and check one span."""
    pattern = "span-{SPAN}/%s/*.tfrecord.gz"
    input_config = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name=name, pattern=pattern % name) for name in _SPLITS]
    )
    range_config = None
    if span is not None:
        fixed = range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
        range_config = range_config_pb2.RangeConfig(static_range=fixed)
    reader = add(
        ImportExampleGen(input_base=str(config.dataset), input_config=input_config, range_config=range_config),
        f"ImportExampleGen{suffix}",
    )
    statistics = add(
        StatisticsGen(examples=reader.outputs["examples"], exclude_splits=_UNCHECKED_SPLITS), f"StatisticsGen{suffix}"
    )
    schema = add(
        SchemaGen(
            statistics=statistics.outputs["statistics"],
            infer_feature_shape=True,
            exclude_splits=[name for name in _SPLITS if name != "train"],
        ),
        f"SchemaGen{suffix}",
    )
    check = add(
        ExampleGate(
            statistics.outputs["statistics"],
            schema.outputs["schema"],
            _UNCHECKED_SPLITS,
            config.confound,
            reader.outputs["examples"],
        ),
        f"ExampleValidator{suffix}",
    )
    return _CheckedSpan(reader.outputs["examples"], schema.outputs["schema"], check)
