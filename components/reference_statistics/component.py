"""TFX component of the reference statistics."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.digest import source_digest
from components.reference_statistics import executor


class ReferenceStatisticsSpec(component_spec.ComponentSpec):
    """What goes in and comes out."""

    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}
    PARAMETERS = {
        "split": component_spec.ExecutionParameter(type=str),
        "most_images": component_spec.ExecutionParameter(type=int),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class ReferenceStatistics(base_component.BaseComponent):
    """Measures the images that a servable was judged on as requests are measured, for `genattr monitor`.

    One pass over at most `most_images` images, whatever the number of heads: the primary module runs once for all.

    Component inputs:  model (Model, assembled), examples (Examples)
    Component outputs: statistics (ExampleStatistics of the split)
    """

    SPEC_CLASS = ReferenceStatisticsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.ReferenceStatisticsExecutor)

    def __init__(self, model: channel.BaseChannel, examples: channel.BaseChannel, split: str, most_images: int) -> None:
        super().__init__(
            ReferenceStatisticsSpec(
                model=model,
                examples=examples,
                split=split,
                most_images=most_images,
                source_digest=source_digest(executor.__name__),
                statistics=channel.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
