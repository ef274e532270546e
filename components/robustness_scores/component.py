"""TFX component that scores perturbed copies with the assembled servable."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.digest import source_digest
from components.robustness_scores import executor


class RobustnessScoresSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of RobustnessScores."""

    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "perturbed": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"scores": component_spec.ChannelParameter(type=standard_artifacts.InferenceResult)}
    PARAMETERS = {
        "split": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class RobustnessScores(base_component.BaseComponent):
    """Asks a servable about perturbed copies, so that the report can say what each kind costs every model.

    Component inputs:  model (Model, assembled), perturbed (Examples of PerturbedExamples)
    Component outputs: scores (InferenceResult: scores.npz)
    """

    SPEC_CLASS = RobustnessScoresSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.RobustnessScoresExecutor)

    def __init__(self, model: channel.BaseChannel, perturbed: channel.BaseChannel, split: str) -> None:
        super().__init__(
            RobustnessScoresSpec(
                model=model,
                perturbed=perturbed,
                split=split,
                source_digest=source_digest(executor.__name__),
                scores=channel.Channel(type=standard_artifacts.InferenceResult),
            )
        )
