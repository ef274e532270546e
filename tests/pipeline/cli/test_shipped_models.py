"""Commands on the models that come with the product, with a stand-in in their place."""

import csv
import json
import shutil

import numpy as np
import pytest

from pipeline.cli.main import main
from serving import contract
from serving.servable import shipped
from serving.servable.trained_on import TrainedOn, TrainingSource
from tests.support.images import encode
from tests.support.small_servable import GREEN, VERSION, export_servable

STATED = TrainedOn("faces_model", "web", "2026-12-01", "for research only", (TrainingSource("gan_a", "fake", 34),))
POINTS = {"detection": 0.5, "sources": {}, "input": {"size": 16, "representation": "pixel"}}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    version = tmp_path_factory.mktemp("product") / "models" / "faces" / str(VERSION)
    export_servable(version)
    for place, text in {
        contract.TRAINED_ON: STATED.to_json(),
        contract.ASSET_OPERATING_POINTS: json.dumps(POINTS),
    }.items():
        (version / place).parent.mkdir(exist_ok=True)
        (version / place).write_text(text)
    return version.parents[1]


@pytest.fixture
def models(stand_in, monkeypatch):
    monkeypatch.setattr(shipped, "_root", lambda: stand_in)
    return stand_in


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encode(np.full((16, 16, 3), (150, 255, 10), np.uint8)))
    return str(path)


IDENTITY = {"name": "faces", "version": VERSION, "trained_on": STATED.in_words()}
LINE = f"model faces, version {VERSION}: {STATED.in_words()} (genattr describe faces)"


@pytest.mark.parametrize("words", [(), ("--model", "faces")])
def test_predict_answers_with_the_model_that_comes_with_the_product(models, photo, capsys, words):
    assert main(["predict", photo, *words, "--json"]) == 0
    out, err = capsys.readouterr()
    row = json.loads(out)
    assert (row["verdict"], row["model"]) == (GREEN, IDENTITY)
    assert LINE in " ".join(err.split())


def test_the_line_on_the_model_stays_out_of_tables_and_csv(models, photo, capsys):
    assert main(["predict", photo, "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert [row["verdict"] for row in csv.DictReader(out.splitlines())] == [GREEN]
    assert "faces" not in out
    assert LINE in " ".join(err.split())


def test_a_servable_of_ones_own_is_not_introduced(models, photo, tmp_path, capsys):
    shutil.copytree(models / "faces", tmp_path / "mine")
    assert main(["predict", photo, "--model", str(tmp_path / "mine"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "model" not in json.loads(out)
    assert "faces" not in err


def test_without_any_model_the_error_says_how_to_get_one(tmp_path, photo, monkeypatch, capsys):
    monkeypatch.setattr(shipped, "_root", lambda: tmp_path / "absent")
    assert main(["predict", photo]) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert "--model: none is named, and 'faces' does not come with this installation" in err
    assert "make faces" in err


@pytest.mark.parametrize(
    "words", [("describe", "facez"), ("predict", "x", "--model", "facez"), ("serve", "facez"), ("evaluate", "facez")]
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(models, photo, tmp_path, capsys, words):
    more = {"predict": (), "evaluate": (str(tmp_path), "-o", str(tmp_path / "report"))}.get(words[0], ())
    asked = [photo if word == "x" else word for word in words]
    assert main([*asked, *more]) == 1
    assert "product (faces)" in " ".join(capsys.readouterr().err.split())


def test_describe_takes_the_name(models, capsys):
    assert main(["describe", "faces", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == VERSION


def test_monitor_takes_the_name(models, tmp_path, monkeypatch):
    from pipeline.monitoring import reference

    asked = []
    monkeypatch.setattr(reference, "find_reference", lambda servable, file: asked.append(servable))
    assert main(["monitor", str(tmp_path), "--servable", "faces"]) != 0
    assert asked == [models / "faces"]
