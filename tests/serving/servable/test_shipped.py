"""Models that come with the product: names, paths, the default, and the line that introduces them."""

import json

import pytest

from serving import contract
from serving.errors import ServableError
from serving.servable.shipped import (
    default_model,
    identity,
    introduction,
    model_argument,
    resolve_model,
    shipped_models,
)
from serving.servable.trained_on import TrainedOn, TrainingSource, read_trained_on

STATED = TrainedOn(
    "faces_model",
    "web",
    "2026-12-01",
    "CC BY-NC-SA 4.0",
    (TrainingSource("real_ffhq", "real", 1200, "FFHQ"), TrainingSource("gan_a", "fake", 34)),
)
IN_WORDS = (
    "trained on 1,234 images of 2 sources by recipe web, pushed 2026-12-01; licence of the weights: CC BY-NC-SA 4.0"
)


@pytest.fixture
def root(tmp_path):
    """Two models; of faces two versions and a push in progress, of the other none that is complete."""
    for version in ("1", "2", ".partial.3"):
        (tmp_path / "models" / "faces" / version / "assets.extra").mkdir(parents=True)
        (tmp_path / "models" / "faces" / version / "saved_model.pb").write_bytes(b"")
    (tmp_path / "models" / "empty" / "1").mkdir(parents=True)
    (tmp_path / "models" / "README.md").write_text("no model")
    (tmp_path / "models" / "faces" / "2" / contract.TRAINED_ON).write_text(STATED.to_json())
    return tmp_path / "models"


def test_models_are_directories_with_a_complete_version(root):
    assert shipped_models(root) == {"faces": root / "faces"}
    assert shipped_models(root / "absent") == {}


def test_a_name_stands_for_its_directory(root):
    assert resolve_model("faces", root) == default_model(root) == root / "faces"


def test_a_path_that_exists_wins_over_a_name(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    assert resolve_model("faces", root).resolve() == tmp_path / "faces"


@pytest.mark.parametrize("text", ["runs/absent", "./faces", "faces/"])
def test_what_has_a_separator_is_a_path(root, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert resolve_model(model_argument(text), root).absolute() == (tmp_path / text).absolute()


def test_an_unknown_name_is_refused_with_those_that_there_are(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServableError, match=r"model 'face': must be the path .* \(faces\)\."):
        resolve_model("face", root)


def test_without_the_default_model_the_error_names_every_way_out(tmp_path):
    with pytest.raises(ServableError, match=r"'faces' does not come.*--model.*--grpc or --rest.*make faces"):
        default_model(tmp_path)


@pytest.mark.parametrize("part", ["", "2"])
def test_the_introduction_names_version_images_and_licence(root, part):
    model = identity(root / "faces" / part, root)
    assert model == {"name": "faces", "version": 2, "trained_on": IN_WORDS}
    assert introduction(model) == f"model faces, version 2: {IN_WORDS} (genattr describe faces)"


def test_a_model_without_a_statement_says_so(root):
    assert "does not state what it was trained on" in introduction(identity(root / "faces" / "1", root))


def test_a_servable_of_ones_own_is_no_model_that_comes_with_the_product(root, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "1").symlink_to(root / "empty")
    (root / "empty" / "saved_model.pb").write_bytes(b"")
    assert identity(tmp_path / "mine", root) is None


@pytest.mark.parametrize("content", ["", "[]", '{"format_version": 1}', '{"format_version": 2}'])
def test_a_damaged_statement_is_refused_by_its_file(root, content):
    (root / "faces" / "2" / contract.TRAINED_ON).write_text(content)
    with pytest.raises(ServableError, match=r"trained_on\.json: (is damaged|must be of format)"):
        identity(root / "faces", root)


def test_a_statement_is_read_as_it_was_written(root):
    assert read_trained_on(root / "faces" / "2") == STATED
    assert json.loads(STATED.to_json())["sources"][1]["licence"] is None
