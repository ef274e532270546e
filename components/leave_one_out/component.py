"""TFX component of the leave-one-generator-out evaluation."""

import json
from collections.abc import Sequence

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.digest import source_digest
from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.leave_one_out import executor
from components.training.parameters import TrainingParameters


class LeaveOneOutSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of LeaveOneOut."""

    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "primary": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation)}
    PARAMETERS = {
        "inputs": component_spec.ExecutionParameter(type=str),
        "training": component_spec.ExecutionParameter(type=str),
        "sources": component_spec.ExecutionParameter(type=str),
        "level": component_spec.ExecutionParameter(type=str),
        "split": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class LeaveOneOut(base_component.BaseComponent):
    """Measures how heads take images of a generator that none of them knows: every source takes its turn as that one.

    Heads are trained anew on one device, whatever strategy `training` names: they are small, and many.

    Component inputs:  examples (Examples), transform_graph (TransformGraph), primary (Model)
    Component outputs: evaluation (ModelEvaluation); its files are listed in `components.leave_one_out.artifacts`
    """

    SPEC_CLASS = LeaveOneOutSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.LeaveOneOutExecutor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        primary: channel.BaseChannel,
        inputs: InputParameters,
        training: TrainingParameters,
        sources: Sequence[str],
        split: str,
        level: AttributionLevel = "instance",
    ) -> None:
        super().__init__(
            LeaveOneOutSpec(
                examples=examples,
                transform_graph=transform_graph,
                primary=primary,
                inputs=inputs.model_dump_json(),
                training=training.model_dump_json(),
                sources=json.dumps(list(sources)),
                level=level,
                split=split,
                source_digest=source_digest(executor.__name__),
                evaluation=channel.Channel(type=standard_artifacts.ModelEvaluation),
            )
        )
