"""The arrows between our packages: who may import whom. Read from the source; nothing is imported."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("components", "pipeline", "serving")

# Step -> prefixes of what it may import of ours, beside itself and what all steps share.
SHARED = ("components.parameters", "components.errors", "components.digest")
CONTRACT = "serving.contract"
STEPS = {
    "features": (CONTRACT,),
    "models": (),
    "dataset": ("components.features", CONTRACT, "serving.request_log.jpeg_quality"),
    "servable": ("components.models", "components.features", CONTRACT),
    "evaluator": ("components.features", "components.servable", CONTRACT),
    "example_validator": ("components.examples.names", "components.dataset.confounds"),
    "robustness": ("components.dataset", "components.examples.names", "components.servable.asking", CONTRACT),
    "trainer": (
        "components.servable",
        "components.models",
        "components.features",
        "components.metrics.calibration",
        "components.metrics.scores",
        "components.metrics.operating_point",
    ),
    "assembler": (
        "components.training.artifacts",
        "components.servable",
        "components.features",
        "components.metrics.scores",
        "components.metrics.operating_point",
        "components.metrics.calibration",
        "components.metrics.reliability",
    ),
    "open_set": ("components.trainer", "components.models", "components.features", "components.evaluator"),
    "validator": ("components.trainer", "components.assembler", "serving"),
    "pusher": (CONTRACT,),
    # Measures images exactly as servers and clients log them.
    "monitoring": (
        "components.training.artifacts",
        "components.servable.asking",
        "components.features",
        "serving.request_log",
        CONTRACT,
    ),
}
# The evaluator is the only step whose parts differ: its reports and metrics know no model.
SERVABLE_READERS = ("components.evaluator.eval_config",)


def sources(*packages: str) -> list[Path]:
    return sorted(file for package in packages for file in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Yields every module that a file imports, anywhere in it; `from a import b` as a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide the arrows"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> list[str]:
    return [name for name in imports(path) if name.split(".")[0] in PACKAGES]


def below(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def violations(files: list[Path], *forbidden: str) -> list[str]:
    return [f"{module_of(file)} -> {name}" for file in files for name in imports(file) if below(name, *forbidden)]


def test_components_never_import_the_pipeline():
    assert violations(sources("components"), "pipeline") == []


def test_serving_never_imports_components_or_the_pipeline():
    assert violations(sources("serving"), "components", "pipeline") == []


def test_clients_and_the_server_meet_on_the_wire_alone():
    assert violations(sources("serving/client", "serving/rendering"), "serving.server") == []
    assert violations(sources("serving/server"), "serving.client", "serving.rendering") == []


def test_the_contract_imports_nothing():
    assert list(imports(ROOT / "serving" / "contract.py")) == []


def test_nothing_imports_the_command_line():
    others = [file for file in sources(*PACKAGES) if module_of(file) != "pipeline.cli.main"]
    assert violations(others, "pipeline.cli.main") == []


def test_every_step_has_its_arrows_written_down():
    folders = {file.parent.name for file in (ROOT / "components").glob("*/__init__.py")}
    assert folders == set(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_only_what_lies_below_it(step):
    allowed = (f"components.{step}", *SHARED, *STEPS[step])
    wrong = [
        f"{module_of(file)} -> {name}"
        for file in sources(f"components/{step}")
        for name in ours(file)
        if not below(name, *allowed)
    ]
    assert wrong == []


def test_of_the_evaluator_only_its_configuration_reads_the_servable():
    others = [file for file in sources("components/evaluator") if module_of(file) not in SERVABLE_READERS]
    assert violations(others, "components.servable") == []


@pytest.mark.parametrize("package", ["components/features", "components/models", "components/servable", "serving"])
def test_networks_preprocessing_and_serving_know_no_pipeline_library(package):
    assert violations(sources(package), "tfx", "apache_beam", "ml_metadata", "kfp", "tensorflow_data_validation") == []


@pytest.mark.parametrize("step", STEPS)
def test_tfx_stays_in_components_and_executors(step):
    pure = [file for file in sources(f"components/{step}") if file.stem not in ("component", "executor")]
    assert violations(pure, "tfx") == []


def test_components_speak_no_wire_protocol_themselves():
    assert violations(sources("components"), "grpc", "aiohttp", "http", "urllib", "requests", "socket") == []


def test_keras_is_keras_3_everywhere():
    """What tf.keras is depends on the order of imports."""
    wrong = violations(sources(*PACKAGES), "tensorflow.keras", "tf_keras")
    for file in sources(*PACKAGES):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "keras" and isinstance(node.value, ast.Name):
                wrong.append(f"{module_of(file)}:{node.lineno}")
    assert wrong == []


def test_nothing_prints():
    wrong = [
        f"{module_of(file)}:{node.lineno}"
        for file in sources(*PACKAGES)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def test_nothing_unpickles():
    assert violations(sources(*PACKAGES), "pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve") == []


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
