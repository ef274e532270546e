import ast
import re
from pathlib import Path

import pytest

from components import digest
from components.digest import import_closure, source_digest

TREE = {
    "components/__init__.py": "",
    "components/trainer/__init__.py": "",
    "components/trainer/executor.py": "from components.features import dct\nfrom components.training.loop import *\n",
    "components/training/__init__.py": "",
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
    "components",
    "components.trainer.executor",
    "components.training",
    "components.training.loop",
    "components.features",
    "components.features.dct",
    "serving",
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

ROOT = Path(digest.__file__).parents[1]
STEPS = sorted(path.parent.name for path in ROOT.glob("components/*/component.py"))
EXECUTED = [step for step in STEPS if (ROOT / "components" / step / "executor.py").is_file()]
_IMPORT = re.compile(r"^ *(?:from|import) +((?:components|serving)[\w.]*)(?: import +\(?([\w, \n]+))?", re.MULTILINE)


def test_the_evaluator_alone_runs_code_of_tfx():
    assert set(STEPS) - set(EXECUTED) == {"evaluator"}


@pytest.mark.parametrize("step", EXECUTED)
def test_every_import_of_a_step_is_in_its_digest(step):
    """Read once more by a regular expression instead of a parser: what these lines name is in the closure."""
    closure = import_closure(f"components.{step}.executor")
    for name, path in closure.items():
        for module, imported in _IMPORT.findall(path.read_text()):
            names = [
                module,
                *(f"{module}.{part.strip().split(' ')[0]}" for part in imported.split(",") if part.strip()),
            ]
            expected = {
                candidate
                for candidate in names
                if (ROOT / candidate.replace(".", "/")).with_suffix(".py").is_file()
                or (ROOT / candidate.replace(".", "/") / "__init__.py").is_file()
            }
            assert expected, f"{name} imports {module}, which is nowhere"
            assert expected <= set(closure), f"{name} imports {expected - set(closure)}"


@pytest.mark.parametrize("step", EXECUTED)
def test_a_steps_digest_covers_all_of_its_own_code(step):
    own = {f"components.{step}.{path.stem}" for path in (ROOT / "components" / step).glob("[!_]*.py")}
    # Parameters, and what the node makes of them, are in the cache's key already.
    own -= {f"components.{step}.component", f"components.{step}.parameters"}
    assert own <= set(import_closure(f"components.{step}.executor"))


def test_every_module_that_a_text_names_is_there():
    """Texts that are run or imported (`python -m`, `preprocessing_fn`, digests) follow no move by themselves."""
    for package in ("components", "serving", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            for name in _module_names(ast.parse(path.read_text())):
                place = ROOT / name.replace(".", "/")
                assert place.with_suffix(".py").is_file() or place.is_dir(), f"{path}: {name} is nowhere"


def _module_names(tree):
    """Yields the texts that look like modules of ours, but for names of loggers and files."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loggers = {id(argument) for call in calls if ast.unparse(call.func).endswith("getLogger") for argument in call.args}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in loggers else None
        if isinstance(text, str) and re.fullmatch(r"(components|serving|pipeline)(\.\w+)+(?<!\.yaml)", text):
            yield text


@pytest.mark.parametrize("step", ["trainer", "assembler", "servable_validator", "pusher"])
def test_no_steps_digest_covers_the_pipeline_or_other_steps(step):
    rooms = {".".join(name.split(".")[:2]) for name in import_closure(f"components.{step}.executor")}
    assert rooms.isdisjoint({"pipeline", *(f"components.{other}" for other in STEPS if other != step)})


def test_the_validators_digest_covers_the_server_that_it_starts():
    closure = import_closure("components.servable_validator.executor", "serving.server.__main__")
    assert {"serving.server.__main__", "serving.client", "serving.server.protocols.grpc_service"} <= set(closure)
