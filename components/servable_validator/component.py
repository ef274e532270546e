"""TFX component of the servable validator."""

from collections.abc import Mapping

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.digest import source_digest
from components.servable_validator import executor
from components.servable_validator.parameters import ValidationParameters


class ServableValidator(base_component.BaseComponent):
    """Serves the assembled servable in a fresh process and compares its answers with the trained models'.

    Component inputs:  model (Model, assembled), examples (Examples), primary (Model), and for each source
                       model.<source> (Model)
    Component outputs: infra_blessing (InfraBlessing: validation.json)
    """

    SPEC_CLASS = component_spec.ComponentSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.ServableValidatorExecutor)

    def __init__(
        self,
        model: channel.BaseChannel,
        examples: channel.BaseChannel,
        primary: channel.BaseChannel,
        heads: Mapping[str, channel.BaseChannel],
        validation: ValidationParameters,
    ) -> None:
        super().__init__(
            validator_spec(list(heads))(
                model=model,
                examples=examples,
                primary=primary,
                validation=validation.model_dump_json(),
                # The server runs in another process: its code is not reached by imports of the executor.
                source_digest=source_digest(executor.__name__, "serving.server.__main__"),
                infra_blessing=channel.Channel(type=standard_artifacts.InfraBlessing),
                **{executor.HEAD_KEY.format(source): head for source, head in heads.items()},
            )
        )


def validator_spec(sources: list[str]) -> type[component_spec.ComponentSpec]:
    """Returns the spec of a validator that compares with these heads."""
    inputs = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "primary": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    for source in sources:
        inputs[executor.HEAD_KEY.format(source)] = component_spec.ChannelParameter(type=standard_artifacts.Model)
    return type(
        "ServableValidatorSpec",
        (component_spec.ComponentSpec,),
        {
            "INPUTS": inputs,
            "OUTPUTS": {"infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)},
            "PARAMETERS": {
                name: component_spec.ExecutionParameter(type=str) for name in ("validation", "source_digest")
            },
        },
    )
