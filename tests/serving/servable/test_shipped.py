"""Models that come with the product: names, paths, the default, and the line that introduces them."""

import json

import pytest

from serving.errors import ServableError
from serving.servable.shipped import default_model, introduction, resolve_model, shipped_models


@pytest.fixture
def root(tmp_path):
    """Two models; of faces two versions and a push in progress, of the other none that is complete."""
    for version in ("1", "2", ".partial.3"):
        (tmp_path / "models" / "faces" / version).mkdir(parents=True)
        (tmp_path / "models" / "faces" / version / "saved_model.pb").write_bytes(b"")
    (tmp_path / "models" / "empty" / "1").mkdir(parents=True)
    (tmp_path / "models" / "README.md").write_text("no model")
    about = {"trained_on": "ten images of two sources", "licence": "CC BY-NC-SA 4.0"}
    (tmp_path / "models" / "faces" / "about.json").write_text(json.dumps(about))
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


def test_a_missing_path_is_left_to_who_opens_it(root):
    assert str(resolve_model("runs/absent", root)) == "runs/absent"


def test_an_unknown_name_is_refused_with_those_that_there_are(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServableError, match=r"model 'face': must be the path .* \(faces\)\."):
        resolve_model("face", root)


def test_without_the_default_model_the_error_names_every_way_out(tmp_path):
    with pytest.raises(ServableError, match=r"'faces' does not come.*--model.*--grpc or --rest.*make faces"):
        default_model(tmp_path)


@pytest.mark.parametrize("part", ["", "2"])
def test_the_introduction_names_version_images_and_licence(root, part):
    assert introduction(root / "faces" / part) == (
        "model faces, version 2: trained on ten images of two sources; licence of the weights: CC BY-NC-SA 4.0"
    )


def test_a_servable_of_ones_own_is_not_introduced(root):
    (root / "faces" / "about.json").unlink()
    assert introduction(root / "faces") is None
