"""TFX component of the assembler."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.assembler import executor
from components.digest import source_digest
from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.servable.parameters import VerdictParameters

# Of a trained module, in the order of `executor.input_keys`.
_TRAINED = (
    standard_artifacts.Model,
    standard_artifacts.ModelBlessing,
    standard_artifacts.ModelRun,
    standard_artifacts.Examples,
)


class TrainedChannels(NamedTuple):
    """A trained module's Model, ModelBlessing and ModelRun, and the Examples that it was trained on.

    A head that was taken from a given servable has no blessing: it was blessed where it was trained.
    """

    model: channel.BaseChannel
    blessing: channel.BaseChannel | None
    model_run: channel.BaseChannel
    examples: channel.BaseChannel


class Assembler(base_component.BaseComponent):
    """Puts the primary module and every blessed head into one servable.

    Component inputs:  transform_graph (TransformGraph); of the primary module primary (Model), primary_blessing
                       (ModelBlessing), primary_run (ModelRun), primary_examples (Examples) and robustness_blessing
                       (ModelBlessing on perturbed copies; optional); of each source model.<source>, blessing.<source>,
                       run.<source> and examples.<source>
    Component outputs: model (Model: Format-Serving/ with the model card, + assembly.json)
    """

    SPEC_CLASS = component_spec.ComponentSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.AssemblerExecutor)

    def __init__(
        self,
        transform_graph: channel.BaseChannel,
        primary: TrainedChannels,
        heads: Mapping[str, TrainedChannels],
        inputs: InputParameters,
        dataset: str,
        level: AttributionLevel = "instance",
        robustness_blessing: channel.BaseChannel | None = None,
        verdict: VerdictParameters | None = None,
    ) -> None:
        channels: dict[str, channel.BaseChannel | None] = {}
        for name, trained in {executor.PRIMARY: primary, **heads}.items():
            channels |= dict(zip(executor.input_keys(name), trained, strict=True))
        super().__init__(
            assembler_spec(list(heads), [name for name, head in heads.items() if head.blessing is None])(
                transform_graph=transform_graph,
                robustness_blessing=robustness_blessing,
                inputs=inputs.model_dump_json(),
                sources=json.dumps(list(heads)),
                dataset=dataset,
                level=level,
                verdict=(verdict or VerdictParameters()).model_dump_json(),
                source_digest=source_digest(executor.__name__),
                model=channel.Channel(type=standard_artifacts.Model),
                **channels,
            )
        )


def assembler_spec(sources: list[str], taken: Sequence[str] = ()) -> type[component_spec.ComponentSpec]:
    """Returns the spec of an assembler of these heads, some of which were taken and have no blessing.

    Each head has inputs of its own, named after its source: a union of channels would promise no order, and TFX's cache
    is keyed on the order.
    """
    inputs = {
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        executor.ROBUSTNESS_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }
    for name in (executor.PRIMARY, *sources):
        for key, kind in zip(executor.input_keys(name), _TRAINED, strict=True):
            inputs[key] = component_spec.ChannelParameter(
                type=kind, optional=name in taken and kind is standard_artifacts.ModelBlessing
            )
    return type(
        "AssemblerSpec",
        (component_spec.ComponentSpec,),
        {
            "INPUTS": inputs,
            "OUTPUTS": {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)},
            "PARAMETERS": {
                name: component_spec.ExecutionParameter(type=str)
                for name in ("inputs", "sources", "dataset", "level", "verdict", "source_digest")
            },
        },
    )
