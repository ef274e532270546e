"""TFX component that makes perturbed copies of held-out images."""

import json
from collections.abc import Sequence

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.dataset.perturbed_copies import check_name
from components.digest import source_digest
from components.perturbed_examples import executor


class PerturbedExamplesSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of PerturbedExamples."""

    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"perturbed": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    PARAMETERS = {
        "split": component_spec.ExecutionParameter(type=str),
        "perturbations": component_spec.ExecutionParameter(type=str),
        "size": component_spec.ExecutionParameter(type=int),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class PerturbedExamples(base_beam_component.BaseBeamComponent):
    """Copies one split, once as it is and once for each perturbation; feature `perturbation` says which copy it is.

    Component inputs:  examples (Examples)
    Component outputs: perturbed (Examples; the one split)
    """

    SPEC_CLASS = PerturbedExamplesSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.PerturbedExamplesExecutor)

    def __init__(self, examples: channel.BaseChannel, split: str, perturbations: Sequence[str], size: int) -> None:
        super().__init__(
            PerturbedExamplesSpec(
                examples=examples,
                split=split,
                perturbations=json.dumps([check_name(name) for name in perturbations]),
                size=size,
                source_digest=source_digest(executor.__name__),
                perturbed=channel.Channel(type=standard_artifacts.Examples),
            )
        )
