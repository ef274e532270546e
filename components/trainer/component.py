"""TFX components of the trainers."""

import json
from collections.abc import Sequence

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.digest import source_digest
from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.trainer import executor
from components.training.parameters import BaselineParameters, TrainingParameters

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
        "warm_start": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class SecondaryTrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of SecondaryTrainer."""

    INPUTS = {
        **PrimaryTrainerSpec.INPUTS,
        "primary": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = PrimaryTrainerSpec.OUTPUTS
    PARAMETERS = {
        **PrimaryTrainerSpec.PARAMETERS,
        "source": component_spec.ExecutionParameter(type=str),
        "level": component_spec.ExecutionParameter(type=str),
    }


class BaselineTrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of BaselineTrainer."""

    INPUTS = PrimaryTrainerSpec.INPUTS
    OUTPUTS = PrimaryTrainerSpec.OUTPUTS
    PARAMETERS = {
        **SecondaryTrainerSpec.PARAMETERS,
        "architecture": component_spec.ExecutionParameter(type=str),
        "task": component_spec.ExecutionParameter(type=str),
        "sources": component_spec.ExecutionParameter(type=str),
    }


class PrimaryTrainer(base_component.BaseComponent):
    """Trains the primary module: real or synthesised?

    `warm_start` is the folder of an earlier Model artifact whose weights training starts from; empty starts anew.

    Component inputs:  examples (Examples), transform_graph (TransformGraph)
    Component outputs: model (Model), model_run (ModelRun); their files are listed in `components.training.artifacts`
    """

    SPEC_CLASS = PrimaryTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.PrimaryTrainerExecutor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        inputs: InputParameters,
        training: TrainingParameters,
        warm_start: str = "",
    ) -> None:
        super().__init__(
            PrimaryTrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                inputs=inputs.model_dump_json(),
                training=training.model_dump_json(),
                warm_start=warm_start,
                source_digest=source_digest(_EXECUTOR_MODULE),
                **_outputs(),
            )
        )


class SecondaryTrainer(base_component.BaseComponent):
    """Trains the one-vs-rest head of one source on the frozen middle features of a primary module.

    At level "architecture" the head's name is a generator architecture, and all its sources are the positive class.
    `warm_start` is the folder of an earlier Model artifact of a head; empty starts anew.

    Component inputs:  examples (Examples), transform_graph (TransformGraph), primary (Model)
    Component outputs: model (Model), model_run (ModelRun); their files are listed in `components.training.artifacts`
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
        level: AttributionLevel = "instance",
        warm_start: str = "",
    ) -> None:
        super().__init__(
            SecondaryTrainerSpec(
                source=source,
                level=level,
                examples=examples,
                transform_graph=transform_graph,
                primary=primary,
                inputs=inputs.model_dump_json(),
                training=training.model_dump_json(),
                warm_start=warm_start,
                source_digest=source_digest(_EXECUTOR_MODULE),
                **_outputs(),
            )
        )


class BaselineTrainer(base_component.BaseComponent):
    """Trains one baseline on the models' inputs themselves, to be compared with the proposed modules.

    For task "attribution" a trainer is made for every source, which `source` names; otherwise it stays empty. For task
    "multiclass" the classes are "real" and `sources`, in this order; generators that are not among them are left out.

    Component inputs:  examples (Examples), transform_graph (TransformGraph)
    Component outputs: model (Model: model.keras and module.json alone), model_run (ModelRun)
    """

    SPEC_CLASS = BaselineTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.BaselineTrainerExecutor)

    def __init__(
        self,
        baseline: BaselineParameters,
        examples: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        inputs: InputParameters,
        sources: Sequence[str],
        level: AttributionLevel = "instance",
        warm_start: str = "",
        source: str = "",
    ) -> None:
        if (baseline.task == "attribution") != bool(source):
            raise ValueError(
                f"source: must be given for task 'attribution' and for no other, got {source!r} for task "
                f"'{baseline.task}'."
            )
        super().__init__(
            BaselineTrainerSpec(
                architecture=baseline.architecture,
                task=baseline.task,
                # Only the softmax knows its classes; else another source in the list would train everything again.
                sources=json.dumps(list(sources) if baseline.task == "multiclass" else []),
                source=source,
                level=level,
                examples=examples,
                transform_graph=transform_graph,
                inputs=inputs.model_dump_json(),
                training=baseline.training.model_dump_json(),
                warm_start=warm_start,
                source_digest=source_digest(_EXECUTOR_MODULE),
                **_outputs(),
            )
        )


def _outputs() -> dict[str, channel.Channel]:
    return {
        "model": channel.Channel(type=standard_artifacts.Model),
        "model_run": channel.Channel(type=standard_artifacts.ModelRun),
    }
