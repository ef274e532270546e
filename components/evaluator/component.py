"""Evaluator nodes: TFX's own component with our metrics, slices and gates.

Component inputs:  examples (Examples), model (Model), schema (Schema; not of perturbed copies)
Component outputs: evaluation (ModelEvaluation), blessing (ModelBlessing)
"""

from tensorflow_model_analysis.proto import config_pb2
from tfx.components import Evaluator
from tfx.types import channel

from components.evaluator.eval_config import attribution_config, detection_config, robustness_config
from components.evaluator.parameters import EvaluationParameters

_Channel = channel.BaseChannel


def detection_evaluator(
    examples: _Channel, model: _Channel, schema: _Channel, parameters: EvaluationParameters
) -> Evaluator:
    """Make the node that judges a primary module: real or synthesised?"""
    return _evaluator(examples, model, schema, parameters, detection_config(parameters))


def attribution_evaluator(
    examples: _Channel, model: _Channel, schema: _Channel, parameters: EvaluationParameters
) -> Evaluator:
    """Make the node that judges a head: this source or any other?"""
    return _evaluator(examples, model, schema, parameters, attribution_config(parameters))


def robustness_evaluator(copies: _Channel, model: _Channel, parameters: EvaluationParameters) -> Evaluator:
    """Make the node that judges a primary module on perturbed copies, with one slice and its gates per perturbation."""
    return _evaluator(copies, model, None, parameters, robustness_config(parameters))


def _evaluator(
    examples: _Channel,
    model: _Channel,
    schema: _Channel | None,
    parameters: EvaluationParameters,
    config: config_pb2.EvalConfig,
) -> Evaluator:
    return Evaluator(
        examples=examples, model=model, schema=schema, eval_config=config, example_splits=[parameters.split]
    )
