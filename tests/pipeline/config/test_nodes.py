"""Names of nodes: built in one place, read in one place, written out nowhere else."""

import ast
from pathlib import Path

import pytest

from pipeline.config import nodes

NAMES = {value for name, value in vars(nodes).items() if name.isupper() and isinstance(value, str)} - {nodes.PRIMARY}
MODULE = Path(nodes.__file__)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (nodes.trainer_of("primary"), "PrimaryTrainer"),
        (nodes.trainer_of("progan_celeba"), "SecondaryTrainer.progan_celeba"),
        (nodes.evaluator_of("primary"), "Evaluator.primary"),
        (nodes.baseline_trainer("postpool", "detection"), "BaselineTrainer.postpool.detection"),
        (nodes.baseline_trainer("postpool", "attribution", "a.b"), "BaselineTrainer.postpool.attribution.a.b"),
    ],
)
def test_a_node_is_named_by_its_kind_and_what_tells_it_apart(made, expected):
    assert made == expected
    assert nodes.kind_of(made) == expected.partition(".")[0]


@pytest.mark.parametrize("model", ["primary", "progan_celeba", "with.dots"])
def test_the_model_of_an_evaluator_is_read_back(model):
    assert nodes.evaluated_model(nodes.evaluator_of(model)) == model
    assert nodes.evaluated_model(nodes.trainer_of(model)) is None


@pytest.mark.parametrize("node", ["RobustnessEvaluator", "Pusher", "EvaluatorX.primary"])
def test_other_nodes_evaluate_no_model(node):
    assert nodes.evaluated_model(node) is None


def test_no_other_module_writes_a_nodes_name_out():
    found = []
    for path in MODULE.parents[1].rglob("*.py"):
        texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        found += [f"{path}: {text}" for text in texts if isinstance(text, str) and text.rstrip(".") in NAMES]
    assert {line.partition(":")[0] for line in found} == {str(MODULE)}, found
