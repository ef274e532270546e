"""Distributions of the repository: the models that come with the product are in them, and are found once installed."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("saved_model.pb", "variables/variables.index", "assets/label_map.json", "assets.extra/trained_on.json")
BUILD = "import sys; out = sys.argv[1]; from setuptools import build_meta as b; b.build_wheel(out); b.build_sdist(out)"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Wheel and sdist of a copy of the repository with a stand-in model."""
    copy = tmp_path_factory.mktemp("repository")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("pipeline", "components", "serving"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        path = copy / "models" / "faces" / "7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (copy / "models" / "README.md").write_text("models")
    subprocess.run([sys.executable, "-c", BUILD, str(copy / "dist")], cwd=copy, check=True, capture_output=True)
    return copy / "dist"


def test_the_wheel_carries_the_models_and_finds_them(distributions, tmp_path):
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "from serving.servable.shipped import default_model; print(default_model())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    base = Path(done.stdout.strip())
    assert base.is_relative_to(tmp_path / "site")
    assert [name for name in FILES if not (base / "7" / name).is_file()] == []


def test_the_source_distribution_carries_the_models(distributions):
    (archive,) = distributions.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {f"models/faces/7/{name}" for name in FILES} | {"models/README.md"} <= names
