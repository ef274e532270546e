"""TFX component: TFDV's ExampleValidator, with a gate behind it."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.dataset.parameters import ConfoundParameters
from components.digest import source_digest
from components.example_validator import executor


class ExampleGateSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ExampleGate; names as in TFX's ExampleValidator."""

    INPUTS = {
        **standard_component_specs.ExampleValidatorSpec.INPUTS,
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.Examples, optional=True
        ),
    }
    OUTPUTS = standard_component_specs.ExampleValidatorSpec.OUTPUTS
    PARAMETERS = {
        standard_component_specs.EXCLUDE_SPLITS_KEY: component_spec.ExecutionParameter(type=str),
        executor.CONFOUND_KEY: component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class ExampleGate(base_component.BaseComponent):
    """Compares the statistics of each split with the schema and stops the run at an anomaly that matters.

    With examples and `confound` it also looks whether something beside the picture tells real from fake; neither can be
    given without the other.

    Component inputs:  statistics (ExampleStatistics), schema (Schema), examples (Examples; optional)
    Component outputs: anomalies (ExampleAnomalies), as TFX's ExampleValidator writes them; beside the splits stands
        confounds.json, if confounds were looked for
    """

    SPEC_CLASS = ExampleGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.ExampleGateExecutor)

    def __init__(
        self,
        statistics: channel.BaseChannel,
        schema: channel.BaseChannel,
        exclude_splits: list[str],
        confound: ConfoundParameters | None = None,
        examples: channel.BaseChannel | None = None,
    ) -> None:
        if (confound is None) != (examples is None):
            raise ValueError("confound, examples: one needs the other. Give both, or none to look for no confounds.")
        super().__init__(
            ExampleGateSpec(
                statistics=statistics,
                schema=schema,
                examples=examples,
                exclude_splits=json_utils.dumps(exclude_splits),
                confound=(confound or ConfoundParameters(action="off")).model_dump_json(),
                source_digest=source_digest(executor.__name__),
                anomalies=channel.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
