"""The rule of the rooms: who may import whom. Read from the source; no file is named, and there are no exceptions."""

import ast
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.import_graph import ImportGraph, cycles, imports, is_below

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("components", "pipeline", "serving")
GRAPH = ImportGraph(ROOT, PACKAGES)
ROOMS_OF_COMPONENTS = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
# A directory of components with a component is a step, one without is a library.
STEPS = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))
LIBRARIES = sorted(ROOMS_OF_COMPONENTS - set(STEPS))
TFX_MODULES = ("component", "executor")
MOST_LINES, MOST_PARAMETERS, LONGEST_MODULE = 80, 8, 350


def foreign(package: str, *libraries: str) -> list[str]:
    """Return "module -> import" for every import of one of `libraries` below `package`."""
    return [
        f"{module} -> {name}"
        for module, file in GRAPH.files.items()
        if is_below(module, package)
        for name in imports(file)
        if is_below(name, *libraries)
    ]


def test_arrows_point_from_the_pipeline_to_components_to_serving():
    assert GRAPH.arrows("components", "pipeline") == []
    assert GRAPH.arrows("serving", "components", "pipeline") == []


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_imported_by_no_other_directory_of_components(step):
    others = ROOMS_OF_COMPONENTS - {step}
    assert [
        arrow for other in sorted(others) for arrow in GRAPH.arrows(f"components.{other}", f"components.{step}")
    ] == []


def test_every_import_of_our_own_exists():
    """A type checker passes over what is missing where an import stands inside a function, and over benchmarks."""
    missing = []
    for package in (*PACKAGES, "tests", "benchmarks"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    wanted = [(alias.name, "") for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    wanted = [(node.module or "", alias.name) for alias in node.names]
                else:
                    continue
                ours = [each for each in wanted if is_below(each[0], *PACKAGES, "tests", "benchmarks")]
                missing += [f"{file.name}: {module} {name}" for module, name in ours if not _exists(module, name)]
    assert missing == []


def _exists(module: str, name: str) -> bool:
    """Whether there is a module or package, and in it the name, if one is given."""
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not name or (path / name).is_dir() or (path / f"{name}.py").is_file():
        return path.is_dir() or file.is_file()
    return file.is_file() and name in _names_of(file)


@functools.cache
def _names_of(file: Path) -> frozenset[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return frozenset(names | {node.asname or node.name for node in nodes if isinstance(node, ast.alias)})


def test_there_are_steps_and_libraries():
    assert len(STEPS) > 5
    assert len(LIBRARIES) > 5


def test_no_modules_import_each_other_in_a_circle():
    assert cycles(ImportGraph(ROOT, (*PACKAGES, "tests", "benchmarks")).modules) == []


def test_no_directories_import_each_other_in_a_circle():
    assert cycles(ImportGraph(ROOT, (*PACKAGES, "tests", "benchmarks")).rooms) == []


def test_a_circle_through_an_import_inside_a_function_is_found(tmp_path):
    for name, text in {
        "house/__init__.py": "",
        "house/hall/__init__.py": "",
        "house/hall/door.py": "from house.attic import box\n",
        "house/attic/__init__.py": "",
        "house/attic/box.py": "def open():\n    from house.hall.door import handle\n",
        "house/attic/lid.py": "import house.attic.box\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = ImportGraph(tmp_path, ["house"])
    assert cycles(graph.modules) == [["house.attic.box", "house.hall.door"]]
    assert cycles(graph.rooms) == [["house.attic", "house.hall"]]


def test_steps_are_named_as_their_nodes():
    """The last words count: PrimaryTrainer and SecondaryTrainer are nodes of the step `trainer`."""
    from pipeline.config.schema import validate_config
    from pipeline.graph.pipeline import create_pipeline

    values = {"name": "demo", "data": {"dataset": "-"}, "output_root": "-", "sources": ["first_a", "second_b"]}
    config = validate_config({**values, "evaluation": {"perturbations": {"jpeg_90": {}}}}, "test")
    kinds = {node.id.partition(".")[0] for node in create_pipeline(config).components}
    words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower() for kind in kinds]
    assert [step for step in STEPS if not any(f"_{word}".endswith(f"_{step}") for word in words)] == []


def test_nothing_imports_the_command_line():
    for room in sorted({module for module in GRAPH.files if module.count(".") == 1} - {"pipeline.cli"}):
        assert GRAPH.arrows(room, "pipeline.cli") == []


def test_clients_and_the_server_meet_on_the_wire_alone():
    assert GRAPH.arrows("serving.client", "serving.server") == []
    assert GRAPH.arrows("serving.server", "serving.client") == []


def test_the_contract_imports_nothing():
    assert list(imports(GRAPH.files["serving.contract"])) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_know_no_tfx(library):
    assert foreign(f"components.{library}", "tfx") == []


@pytest.mark.parametrize("step", STEPS)
def test_tfx_stays_in_components_and_executors(step):
    allowed = tuple(f"components.{step}.{module} ->" for module in TFX_MODULES)
    assert [arrow for arrow in foreign(f"components.{step}", "tfx") if not arrow.startswith(allowed)] == []


@pytest.mark.parametrize("package", ["components.features", "components.models", "components.servable", "serving"])
def test_networks_preprocessing_and_serving_know_no_pipeline_library(package):
    assert foreign(package, "tfx", "apache_beam", "ml_metadata", "kfp", "tensorflow_data_validation") == []


def test_components_speak_no_wire_protocol_themselves():
    assert foreign("components", "grpc", "aiohttp", "http", "urllib", "requests", "socket") == []


def test_keras_is_keras_3_everywhere():
    """What tf.keras is depends on the order of imports."""
    wrong = [arrow for package in PACKAGES for arrow in foreign(package, "tensorflow.keras", "tf_keras")]
    for module, file in GRAPH.files.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "keras" and isinstance(node.value, ast.Name):
                wrong.append(f"{module}:{node.lineno}")
    assert wrong == []


def test_nothing_prints():
    wrong = [
        f"{module}:{node.lineno}"
        for module, file in GRAPH.files.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def test_nothing_unpickles():
    forbidden = ("pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve")
    assert [arrow for package in PACKAGES for arrow in foreign(package, *forbidden)] == []


def test_production_code_patches_nothing():
    assert [arrow for package in PACKAGES for arrow in foreign(package, "unittest")] == []


def test_functions_are_short_and_take_few_parameters():
    wrong = []
    for module, file in GRAPH.files.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                parameters = len([name for name in names if name not in ("self", "cls")])
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES or parameters > MOST_PARAMETERS:
                    wrong.append(f"{module}.{node.name}: {lines} lines, {parameters} parameters")
    assert wrong == []


def test_modules_are_short():
    lengths = {module: len(file.read_text().splitlines()) for module, file in GRAPH.files.items()}
    assert {module: length for module, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_tests_stand_where_their_source_stands():
    folders = {path.parent for package in PACKAGES for path in (ROOT / "tests" / package).rglob("test_*.py")}
    assert folders
    assert [str(each) for each in folders if not (ROOT / each.relative_to(ROOT / "tests")).is_dir()] == []


def test_the_pipeline_has_two_loose_modules():
    assert len(list((ROOT / "pipeline").glob("*.py"))) == 2


HEAVY = ("tensorflow", "keras", "tfx", "apache_beam", "numpy", "pydantic", "kfp", "matplotlib", "PIL", "aiohttp")


def test_the_command_lines_help_imports_nothing_heavy():
    code = (
        "import sys, json\n"
        "from pipeline.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as exit:\n    assert exit.code == 0\n"
        f"json.dump([name for name in {HEAVY!r} if name in sys.modules], sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "usage: genattr" in done.stdout
    assert json.loads(done.stderr) == []
