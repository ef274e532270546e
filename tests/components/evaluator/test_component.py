"""Evaluator nodes carry our metrics and gates, on the split that the configuration names."""

import pytest
from tfx.components import Evaluator
from tfx.types import channel, standard_artifacts
from tfx.utils import json_utils, proto_utils

from components.evaluator import eval_config
from components.evaluator.component import attribution_evaluator, detection_evaluator, robustness_evaluator
from components.evaluator.parameters import EvaluationParameters

PARAMETERS = EvaluationParameters.model_validate({"split": "eval", "perturbations": {"jpeg_75": {"min_roc_auc": 0.7}}})


def channels():
    kinds = standard_artifacts.Examples, standard_artifacts.Model, standard_artifacts.Schema
    return tuple(channel.Channel(type=kind) for kind in kinds)


@pytest.mark.parametrize("name", ["detection", "attribution", "robustness"])
def test_an_evaluator_is_tfxs_with_our_configuration_and_split(name):
    examples, model, schema = channels()
    made = {
        "detection": lambda: detection_evaluator(examples, model, schema, PARAMETERS),
        "attribution": lambda: attribution_evaluator(examples, model, schema, PARAMETERS),
        "robustness": lambda: robustness_evaluator(examples, model, PARAMETERS),
    }[name]()
    assert type(made) is Evaluator  # another class would be another type of node to the metadata store and its cache
    expected = getattr(eval_config, f"{name}_config")(PARAMETERS)
    assert made.exec_properties["eval_config"] == proto_utils.proto_to_json(expected)
    assert json_utils.loads(made.exec_properties["example_splits"]) == ["eval"]
    assert made.inputs["examples"] is examples and made.inputs["model"] is model
    assert ("schema" in made.inputs) == (name != "robustness")
    assert set(made.outputs) == {"evaluation", "blessing"}
