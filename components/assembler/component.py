"""TFX component of the assembler."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.assembler import executor
from components.digest import source_digest
from components.features.names import AttributionLevel
from components.features.parameters import InputParameters


class HeadChannels(NamedTuple):
    """A head's Model and ModelBlessing."""

    model: channel.BaseChannel
    blessing: channel.BaseChannel


class Assembler(base_component.BaseComponent):
    """Puts the primary module and every blessed head into one servable.

    Component inputs:  transform_graph (TransformGraph), primary (Model), primary_blessing (ModelBlessing), and for each
                       source model.<source> (Model) and blessing.<source> (ModelBlessing)
    Component outputs: model (Model: Format-Serving/ + assembly.json)
    """

    SPEC_CLASS = component_spec.ComponentSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.AssemblerExecutor)

    def __init__(
        self,
        transform_graph: channel.BaseChannel,
        primary: channel.BaseChannel,
        primary_blessing: channel.BaseChannel,
        heads: Mapping[str, HeadChannels],
        inputs: InputParameters,
        level: AttributionLevel = "instance",
    ) -> None:
        models = {executor.MODEL_KEY.format(source): head.model for source, head in heads.items()}
        blessings = {executor.BLESSING_KEY.format(source): head.blessing for source, head in heads.items()}
        super().__init__(
            assembler_spec(list(heads))(
                transform_graph=transform_graph,
                primary=primary,
                primary_blessing=primary_blessing,
                inputs=inputs.model_dump_json(),
                sources=json.dumps(list(heads)),
                level=level,
                source_digest=source_digest(executor.__name__),
                model=channel.Channel(type=standard_artifacts.Model),
                **models,
                **blessings,
            )
        )


def assembler_spec(sources: list[str]) -> type[component_spec.ComponentSpec]:
    """Returns the spec of an assembler of these heads.

    Each head has inputs of its own, named after its source: a union of channels would promise no order, and TFX's cache
    is keyed on the order.
    """
    inputs = {
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "primary": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "primary_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    for source in sources:
        inputs[executor.MODEL_KEY.format(source)] = component_spec.ChannelParameter(type=standard_artifacts.Model)
        inputs[executor.BLESSING_KEY.format(source)] = component_spec.ChannelParameter(
            type=standard_artifacts.ModelBlessing
        )
    return type(
        "AssemblerSpec",
        (component_spec.ComponentSpec,),
        {
            "INPUTS": inputs,
            "OUTPUTS": {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)},
            "PARAMETERS": {
                name: component_spec.ExecutionParameter(type=str)
                for name in ("inputs", "sources", "level", "source_digest")
            },
        },
    )
