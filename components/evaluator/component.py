"""Evaluator nodes: TFX's own component with our metrics, slices and gates."""

from tfx.components import Evaluator
from tfx.types import channel

from components.evaluator.eval_config import attribution_config, detection_config, robustness_config
from components.evaluator.parameters import EvaluationParameters


def detection_evaluator(
    examples: channel.BaseChannel,
    model: channel.BaseChannel,
    schema: channel.BaseChannel,
    parameters: EvaluationParameters,
) -> Evaluator:
    """Make the Evaluator of a primary module: real or synthesised?

    Args:
        examples: Examples that hold the split to evaluate on.
        model: Model of the primary module.
        schema: Schema of the examples.
        parameters: Split and gates.

    Returns:
        The node, whose outputs are evaluation (ModelEvaluation) and blessing (ModelBlessing).
    """
    return Evaluator(
        examples=examples,
        model=model,
        schema=schema,
        eval_config=detection_config(parameters),
        example_splits=[parameters.split],
    )


def attribution_evaluator(
    examples: channel.BaseChannel,
    model: channel.BaseChannel,
    schema: channel.BaseChannel,
    parameters: EvaluationParameters,
) -> Evaluator:
    """Make the Evaluator of one head: this source or any other? Arguments and outputs as of `detection_evaluator`."""
    return Evaluator(
        examples=examples,
        model=model,
        schema=schema,
        eval_config=attribution_config(parameters),
        example_splits=[parameters.split],
    )


def robustness_evaluator(
    copies: channel.BaseChannel, model: channel.BaseChannel, parameters: EvaluationParameters
) -> Evaluator:
    """Make the Evaluator of a primary module on perturbed copies, with one slice and its gates per perturbation.

    Args:
        copies: Examples of PerturbedExamples.
        model: Model of the primary module.
        parameters: Split, perturbations and their gates.

    Returns:
        The node; outputs as of `detection_evaluator`.
    """
    return Evaluator(
        examples=copies,
        model=model,
        eval_config=robustness_config(parameters),
        example_splits=[parameters.split],
    )
