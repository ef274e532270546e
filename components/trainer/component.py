"""TFX components of the two trainers."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.digest import source_digest
from components.features.parameters import InputParameters
from components.trainer import executor
from components.trainer.parameters import TrainingParameters

_EXECUTOR_MODULE = "components.trainer.executor"


class PrimaryTrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of PrimaryTrainer."""

    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }
    PARAMETERS = {
        "inputs": component_spec.ExecutionParameter(type=str),
        "training": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class SecondaryTrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of SecondaryTrainer."""

    INPUTS = {
        **PrimaryTrainerSpec.INPUTS,
        "primary": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = PrimaryTrainerSpec.OUTPUTS
    PARAMETERS = {**PrimaryTrainerSpec.PARAMETERS, "source": component_spec.ExecutionParameter(type=str)}


class PrimaryTrainer(base_component.BaseComponent):
    """Trains the primary module: real or synthesised?

    Component inputs:  examples (Examples), transform_graph (TransformGraph)
    Component outputs: model (Model), model_run (ModelRun); their files are listed in `components.trainer.artifacts`
    """

    SPEC_CLASS = PrimaryTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.PrimaryTrainerExecutor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        inputs: InputParameters,
        training: TrainingParameters,
    ) -> None:
        super().__init__(
            PrimaryTrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                inputs=inputs.model_dump_json(),
                training=training.model_dump_json(),
                source_digest=source_digest(_EXECUTOR_MODULE),
                **_outputs(),
            )
        )


class SecondaryTrainer(base_component.BaseComponent):
    """Trains the one-vs-rest head of one source on the frozen middle features of a primary module.

    Component inputs:  examples (Examples), transform_graph (TransformGraph), primary (Model)
    Component outputs: model (Model), model_run (ModelRun); their files are listed in `components.trainer.artifacts`
    """

    SPEC_CLASS = SecondaryTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.SecondaryTrainerExecutor)

    def __init__(
        self,
        source: str,
        examples: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        primary: channel.BaseChannel,
        inputs: InputParameters,
        training: TrainingParameters,
    ) -> None:
        super().__init__(
            SecondaryTrainerSpec(
                source=source,
                examples=examples,
                transform_graph=transform_graph,
                primary=primary,
                inputs=inputs.model_dump_json(),
                training=training.model_dump_json(),
                source_digest=source_digest(_EXECUTOR_MODULE),
                **_outputs(),
            )
        )


def _outputs() -> dict[str, channel.Channel]:
    return {
        "model": channel.Channel(type=standard_artifacts.Model),
        "model_run": channel.Channel(type=standard_artifacts.ModelRun),
    }
