import pytest

from components import digest
from components.digest import import_closure, source_digest

TREE = {
    "components/__init__.py": "",
    "components/trainer/__init__.py": "",
    "components/trainer/executor.py": "from components.features import dct\nfrom components.training.loop import *\n",
    "components/training/loop.py": "def train():\n    import serving.contract\n",
    "components/features/__init__.py": "",
    "components/features/dct.py": "import numpy\n",
    "components/features/image.py": "",
    "components/other.py": "import components.trainer.executor\n",
    "serving/__init__.py": "",
    "serving/contract.py": "A = 1\n",
    "pipeline/__init__.py": "",
    "pipeline/graph/pipeline.py": "import components.trainer.executor\n",
}
REACHED = {
    "components.trainer.executor",
    "components.training.loop",
    "components.features",
    "components.features.dct",
    "serving.contract",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small copy of our packages in which an executor reaches some modules and not others."""
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(digest, "_ROOT", tmp_path)
    return tmp_path


def edit(path):
    path.write_text(path.read_text() + "# edited\n")


def test_the_closure_follows_every_form_of_import(tree):
    closure = import_closure("components.trainer.executor")
    assert set(closure) >= REACHED
    assert set(closure).isdisjoint({"components.features.image", "components.other"})
    assert not any(name.startswith("pipeline") for name in closure)


@pytest.mark.parametrize("module", sorted(REACHED))
def test_an_edit_of_a_reachable_module_changes_the_digest(tree, module):
    before = source_digest("components.trainer.executor")
    edit(import_closure("components.trainer.executor")[module])
    assert source_digest("components.trainer.executor") != before


@pytest.mark.parametrize("file", ["components/features/image.py", "components/other.py", "pipeline/graph/pipeline.py"])
def test_an_edit_of_an_unreachable_module_leaves_the_digest(tree, file):
    before = source_digest("components.trainer.executor")
    edit(tree / file)
    assert source_digest("components.trainer.executor") == before


def test_moving_text_from_one_module_to_another_changes_the_digest(tree):
    first, second = tree / "components/features/dct.py", tree / "serving/contract.py"
    before = source_digest("components.trainer.executor")
    text = first.read_text()
    first.write_text(second.read_text())
    second.write_text(text)
    assert source_digest("components.trainer.executor") != before


def test_a_digest_is_sixteen_hexadecimal_digits_and_does_not_depend_on_the_order_of_the_modules(tree):
    one, two = "components.trainer.executor", "components.other"
    assert source_digest(one, two) == source_digest(two, one)
    assert len(source_digest(one)) == 16
    int(source_digest(one), 16)


@pytest.mark.parametrize("module", ["numpy", "pipeline.graph.pipeline", "components.absent"])
def test_a_module_that_is_not_ours_is_refused_by_name(tree, module):
    with pytest.raises(ValueError, match=f"module '{module}': is not in components or serving"):
        source_digest(module)


def test_modules_that_import_each_other_end(tree):
    (tree / "components/features/dct.py").write_text("import components.trainer.executor\n")
    assert "components.features.dct" in import_closure("components.trainer.executor")


# --- our own tree ---


def test_a_trainers_digest_covers_what_shapes_its_output():
    closure = import_closure("components.trainer.executor")
    assert {
        "components.models.primary",
        "components.models.layers",
        "components.servable.verdict",
        "components.metrics.operating_point",
        "components.parameters",
        "serving.contract",
    } <= set(closure)


def test_the_preprocessings_digest_covers_decoding_and_dct():
    """Trainers get both through the TransformGraph artifact: an edit makes Transform run, then all that follow."""
    closure = import_closure("components.features.preprocessing")
    assert {"components.features.dct", "components.features.image", "components.examples.names"} <= set(closure)


def test_no_steps_digest_covers_the_pipeline_or_other_steps():
    closure = import_closure("components.trainer.executor")
    strangers = ("pipeline", "components.dataset", "components.pusher", "components.assembler", "components.validator")
    assert [name for name in closure if name.startswith(strangers)] == []


def test_the_validators_digest_covers_the_server_that_it_starts():
    closure = import_closure("components.servable_validator.executor", "serving.server.__main__")
    assert {"serving.server.__main__", "serving.client", "serving.server.protocols.grpc_service"} <= set(closure)
