"""The container image, as far as its recipe tells; .ci/image builds it and runs it."""

import fnmatch
import importlib.metadata
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / ".ci" / "image"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT_PACKAGES = ("pipeline", "components", "serving")


class Instruction(NamedTuple):
    stage: int
    name: str
    text: str


def instructions() -> list[Instruction]:
    """Reads the Dockerfile; instructions before the first FROM belong to stage -1."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text())
    found, stage = [], -1
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            stage += name == "FROM"
            found.append(Instruction(stage, name, " ".join(rest.split())))
    return found


def named(name: str) -> list[Instruction]:
    return [each for each in instructions() if each.name == name]


def final_stage() -> list[Instruction]:
    last = instructions()[-1].stage
    return [each for each in instructions() if each.stage == last]


def let_through(path: str) -> bool:
    """Whether .dockerignore sends a file to the builder: the last pattern that matches it or a folder decides."""
    allowed = True
    parts = path.split("/")
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!").removeprefix("**/")
        anywhere = line.startswith("**/")
        parents = parts if anywhere else ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        if any(fnmatch.fnmatchcase(each, pattern) for each in parents):
            allowed = line.startswith("!")
    return allowed


def copied() -> list[str]:
    """What the Dockerfile copies out of the repository."""
    return [
        source for each in named("COPY") if not each.text.startswith("--from=") for source in each.text.split()[:-1]
    ]


def files_of(folder: str) -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def locked(name: str) -> dict[str, str]:
    """Distribution -> version of a lock file; of two for different Pythons, the newer."""
    return dict(re.findall(r"(?m)^([a-z0-9][a-z0-9.-]*)==([^ ;]+)", (ROOT / name).read_text()))


def needed_by(requirements: list[str]) -> set[str]:
    """Distributions that requirements bring, as the installed ones declare it."""
    waiting, seen = [Requirement(each) for each in requirements], set()
    while waiting:
        requirement = waiting.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        for extra in extras:
            key = (canonicalize_name(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            try:
                declared = importlib.metadata.requires(requirement.name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            for each in map(Requirement, declared):
                if each.marker is None or each.marker.evaluate({"extra": extra}):
                    each.marker = None
                    waiting.append(each)
    return {name for name, _ in seen}


def test_every_stage_starts_from_one_slim_base_by_codename():
    assert [each.text for each in named("ARG") if each.stage == -1] == ["BASE=debian:trixie-slim"]
    stages: list[str] = []
    for each in named("FROM"):
        base, _, name = each.text.partition(" AS ")
        assert base in ("${BASE}", *stages)
        stages.append(name)
    assert "latest" not in (ROOT / "Dockerfile").read_text()


def test_it_runs_as_the_numeric_user_of_the_cluster_s_tasks():
    from pipeline.config.kubeflow import KubeflowParameters

    user = KubeflowParameters().user
    assert [each.text for each in final_stage() if each.name == "USER"] == [f"{user}:{user}"]
    assert user > 0


def test_the_entry_point_is_the_command_without_a_shell_around_it():
    # A shell would be process 1 and keep SIGTERM to itself.
    assert [each.text for each in final_stage() if each.name == "ENTRYPOINT"] == ['["genattr"]']
    assert "genattr" in PROJECT["scripts"]


def test_nothing_is_fetched_from_an_address():
    assert not named("ADD")
    for file in (ROOT / "Dockerfile", SCRIPT):
        assert not re.findall(r"https?://(?!127\.0\.0\.1)\S+", file.read_text()), file


def test_what_is_copied_is_there_and_let_through():
    sources = copied()
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        files = files_of(source) if (ROOT / source).is_dir() else [source]
        assert [file for file in files if not let_through(file)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "Dockerfile",
        "data/demo/span-1/manifest.json",
        "k8s/base/run.yaml",
        "pipeline/__pycache__/cli.cpython-313.pyc",
        "runs/demo/reports/index.html",
        "serving/server/__pycache__/x.pyc",
        "tests/conftest.py",
    ],
)
def test_what_the_image_does_not_need_stays_out_of_the_build(path):
    assert not let_through(path)


def test_all_import_packages_and_configurations_are_copied():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(IMPORT_PACKAGES)
    assert {*IMPORT_PACKAGES, "configs"} <= set(copied())


def test_files_that_the_package_metadata_name_are_copied():
    """Without its licence, setuptools builds a wheel that lacks it, and says so in a warning that nobody reads."""
    named_files = [PROJECT["readme"], *PROJECT["license-files"]]
    assert set(named_files) <= set(copied())


def test_every_file_beside_the_modules_is_declared_as_package_data():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = [file for package in IMPORT_PACKAGES for file in files_of(package) if not file.endswith(".py")]
    assert any(file.endswith("page.js") for file in files)
    assert [file for file in files if not any(fnmatch.fnmatch(Path(file).name, each) for each in patterns)] == []


def test_package_lists_of_the_system_stay_in_no_layer():
    installing = [each.text for each in named("RUN") if "apt-get install" in each.text]
    assert len(installing) == 2
    for text in installing:
        assert text.startswith("apt-get update && apt-get install -y --no-install-recommends ")
        assert "rm -rf /var/lib/apt/lists/*" in text


def test_compilers_and_installers_stay_in_the_build_stages():
    words = {word for each in final_stage() if each.name == "RUN" for word in each.text.split()}
    assert "python3" in words
    assert not words & {"gcc", "g++", "make", "python3-dev", "python3-venv", "python3-pip", "pip", "uv", "git", "curl"}


def test_whatever_comes_from_an_index_is_checked_against_a_hash():
    commands = [
        command
        for each in named("RUN")
        for command in re.split(r"&&|;;", each.text)
        if re.search(r"\b(pip install|pip sync)\b", command)
    ]
    assert len(commands) == 4  # uv, the dependencies, those of the GPU, and our own packages
    for command in commands:
        assert "--require-hashes" in command or ("--offline" in command and "--no-deps" in command), command


def test_the_installer_is_that_of_the_set_up():
    version = re.search(r"(?m)^uv_version=(\S+)", (ROOT / "bootstrap").read_text())
    assert version
    assert f"uv=={version[1]} --hash=sha256:" in (ROOT / "Dockerfile").read_text()


def test_labels_give_the_version_of_the_package():
    labels = " ".join(each.text for each in final_stage() if each.name == "LABEL")
    for key in ("title", "description", "version", "source", "revision"):
        assert f"org.opencontainers.image.{key}=" in labels
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in labels


def test_libraries_write_below_tmp():
    variables = dict(
        word.partition("=")[::2] for each in final_stage() if each.name == "ENV" for word in each.text.split()
    )
    assert {name for name, value in variables.items() if value.startswith("/tmp")} == {
        "HOME",
        "XDG_CACHE_HOME",
        "MPLCONFIGDIR",
    }
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_gpu_s_packages_are_those_of_the_locked_tensorflow():
    gpu, everything = locked("requirements-gpu.lock"), locked("requirements.lock")
    assert importlib.metadata.version("tensorflow") == everything["tensorflow"]
    declared = {}
    for text in importlib.metadata.requires("tensorflow") or []:
        requirement = Requirement(text)
        if "and-cuda" in text and requirement.marker and requirement.marker.evaluate({"extra": "and-cuda"}):
            declared[canonicalize_name(requirement.name)] = requirement.specifier
    assert gpu.keys() == declared.keys()
    assert [name for name, version in gpu.items() if not declared[name].contains(version)] == []
    assert not gpu.keys() & everything.keys()
    for block in re.split(r"(?m)^(?=nvidia)", (ROOT / "requirements-gpu.lock").read_text()):
        assert not block or "--hash=sha256:" in block


def test_the_build_looks_for_every_development_tool():
    listed = re.search(r"development_tools=\((.*?)\)", SCRIPT.read_text(), re.DOTALL)
    assert listed
    patterns = listed[1].replace("'", "").split()
    needed = needed_by(PROJECT["dependencies"])
    assert {"tensorflow", "numpy", "tfx"} <= needed
    tools = {canonicalize_name(Requirement(each).name) for each in PROJECT["optional-dependencies"]["dev"]} - needed
    assert {"pytest", "ruff", "mypy"} <= tools
    folders = [tool.replace("-", "_") for tool in tools]
    assert [each for each in folders if not any(fnmatch.fnmatch(each, pattern) for pattern in patterns)] == []


def test_the_build_script_is_sound_bash():
    assert os.access(SCRIPT, os.X_OK)
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    if shutil.which("shellcheck"):
        checked = subprocess.run(
            ["shellcheck", "--severity=warning", SCRIPT], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout


def test_the_build_script_refuses_an_unknown_variant_before_it_does_anything():
    completed = subprocess.run(
        [SCRIPT], env={**os.environ, "VARIANT": "tpu"}, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 1
    assert ("needs root" if os.getuid() else "must be cpu or gpu, got 'tpu'") in completed.stderr
