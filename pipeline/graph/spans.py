"""The nodes that read and check one span of the dataset."""

from collections.abc import Callable
from typing import NamedTuple

from tfx.components import ImportExampleGen, SchemaGen, StatisticsGen
from tfx.dsl.components.base import base_component
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import channel

from components.example_validator.component import ExampleGate
from pipeline.config.schema import PipelineConfig

# Adds a node to the pipeline under an identifier.
Add = Callable[[base_component.BaseComponent, str], base_component.BaseComponent]

# Prepared datasets hold these; "testonly" is out-of-distribution on purpose: neither analysed nor checked.
_SPLITS = ("train", "eval", "test", "testonly")
_UNCHECKED_SPLITS = ["testonly"]


class CheckedSpan(NamedTuple):
    """One span of the dataset: its examples, their schema, and the node that checks them."""

    examples: channel.BaseChannel
    schema: channel.BaseChannel
    check: base_component.BaseComponent


def add_span(config: PipelineConfig, span: int | None, suffix: str, add: Add) -> CheckedSpan:
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
    return CheckedSpan(reader.outputs["examples"], schema.outputs["schema"], check)
