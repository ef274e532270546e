"""TFX component: TFDV's ExampleValidator, with a gate behind it."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.digest import source_digest
from components.example_validator import executor


class ExampleGateSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ExampleGate; names as in TFX's ExampleValidator."""

    INPUTS = standard_component_specs.ExampleValidatorSpec.INPUTS
    OUTPUTS = standard_component_specs.ExampleValidatorSpec.OUTPUTS
    PARAMETERS = {
        standard_component_specs.EXCLUDE_SPLITS_KEY: component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class ExampleGate(base_component.BaseComponent):
    """Compares the statistics of each split with the schema and stops the run at an anomaly that matters.

    Component inputs:  statistics (ExampleStatistics), schema (Schema)
    Component outputs: anomalies (ExampleAnomalies), as TFX's ExampleValidator writes them
    """

    SPEC_CLASS = ExampleGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.ExampleGateExecutor)

    def __init__(self, statistics: channel.BaseChannel, schema: channel.BaseChannel, exclude_splits: list[str]) -> None:
        super().__init__(
            ExampleGateSpec(
                statistics=statistics,
                schema=schema,
                exclude_splits=json_utils.dumps(exclude_splits),
                source_digest=source_digest(executor.__name__),
                anomalies=channel.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
