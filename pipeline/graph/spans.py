"""The growing list of nodes, and the nodes that read and check one span of the dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tfx.components import ImportExampleGen, SchemaGen, StatisticsGen
from tfx.dsl.components.base import base_component
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import channel

from components.example_validator.component import ExampleGate
from pipeline.config.nodes import EXAMPLE_GEN, EXAMPLE_VALIDATOR, SCHEMA_GEN, STATISTICS_GEN
from pipeline.config.schema import PipelineConfig

# Prepared datasets hold these; "testonly" is out-of-distribution on purpose: neither analysed nor checked.
_SPLITS = ("train", "eval", "test", "testonly")
_UNCHECKED_SPLITS = ["testonly"]


@dataclass(frozen=True)
class Graph:
    """Nodes of a pipeline under construction.

    Attributes:
        config: Validated configuration.
        starts: Identifier of a training node -> directory of the Model artifact that it starts from.
        nodes: Nodes added so far, each behind those that it needs.
    """

    config: PipelineConfig
    starts: Mapping[str, str]
    nodes: list[base_component.BaseComponent] = field(default_factory=list)

    def add(self, node: base_component.BaseComponent, node_id: str) -> base_component.BaseComponent:
        """Add a node under an identifier, and return it."""
        self.nodes.append(node.with_id(node_id))
        return node

    def start_of(self, node_id: str) -> str:
        """Return the directory of the model that a training node starts from; "" for a start from scratch."""
        return self.starts.get(node_id, "")


class CheckedSpan(NamedTuple):
    """One span of the dataset: its examples, their schema, and the node that checks them."""

    examples: channel.BaseChannel
    schema: channel.BaseChannel
    check: base_component.BaseComponent


def add_span(graph: Graph, span: int | None, suffix: str) -> CheckedSpan:
    """Add the nodes that read and check one span.

    Args:
        graph: Graph that is extended.
        span: Number of the span; None for the newest.
        suffix: Suffix of the nodes' identifiers; "" for the span of the primary module.
    """
    pattern = "span-{SPAN}/%s/examples-*.tfrecord.gz"  # not ._examples-..., which macOS puts beside them
    input_config = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name=name, pattern=pattern % name) for name in _SPLITS]
    )
    range_config = None
    if span is not None:
        fixed = range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
        range_config = range_config_pb2.RangeConfig(static_range=fixed)
    dataset = str(graph.config.dataset)
    reader = graph.add(
        ImportExampleGen(input_base=dataset, input_config=input_config, range_config=range_config),
        f"{EXAMPLE_GEN}{suffix}",
    )
    statistics = graph.add(
        StatisticsGen(examples=reader.outputs["examples"], exclude_splits=_UNCHECKED_SPLITS),
        f"{STATISTICS_GEN}{suffix}",
    )
    schema = graph.add(
        SchemaGen(
            statistics=statistics.outputs["statistics"],
            infer_feature_shape=True,
            exclude_splits=[name for name in _SPLITS if name != "train"],
        ),
        f"{SCHEMA_GEN}{suffix}",
    )
    check = graph.add(
        ExampleGate(
            statistics.outputs["statistics"],
            schema.outputs["schema"],
            _UNCHECKED_SPLITS,
            graph.config.confound,
            reader.outputs["examples"],
        ),
        f"{EXAMPLE_VALIDATOR}{suffix}",
    )
    return CheckedSpan(reader.outputs["examples"], schema.outputs["schema"], check)
