"""Modules of a given servable as a run takes them up."""

import json

import numpy as np
import pytest

from components.training import artifacts
from pipeline.config.nodes import PRIMARY_TRAINER, head_trainer
from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.runs.given import given_models, is_servable
from pipeline.runs.inputs import resolve_run
from serving import contract
from serving.servable.trained_on import TrainedOn
from tests.components.servable.test_modules_file import assembled
from tests.components.servable.test_views import SIZE

POINT = {"threshold": 0.5, "rule": "fixed", "note": ""}
STATED = TrainedOn("faces", "web", "2026-12-01", "non-commercial", ())


def configured(tmp_path, **changes):
    values = {
        "name": "mine",
        "data": {"dataset": str(tmp_path / "data")},
        "output_root": str(tmp_path / "runs"),
        "input": {"representation": "residual", "size": SIZE},
    }
    return validate_config({**values, **changes}, "test")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A servable with a statement; its primary module and heads."""
    version = tmp_path_factory.mktemp("given") / "7"
    primary, heads, _ = assembled(version, "residual")
    (version / contract.TRAINED_ON).write_text(STATED.to_json())
    return version, primary, heads


@pytest.fixture
def said(tmp_path):
    """A function that makes a version directory which says what its modules read, and holds nothing else."""

    def make(level="instance", **inputs):
        version = tmp_path / "9"
        (version / "assets").mkdir(parents=True)
        (version / "saved_model.pb").write_bytes(b"")
        seen = {"representation": "residual", "size": SIZE, "colour": "rgb", **inputs}
        points = {"detection": 0.5, "sources": {}, "level": level, "input": seen}
        (version / contract.ASSET_OPERATING_POINTS).write_text(json.dumps(points))
        return version

    return make


def test_modules_are_laid_down_as_a_trainer_leaves_them(given, tmp_path):
    version, primary, heads = given
    config = configured(tmp_path)
    found = given_models(config, "primary.model", str(version))
    assert list(found) == [PRIMARY_TRAINER, *map(head_trainer, heads)]
    np.testing.assert_array_equal(
        artifacts.read_model(found[PRIMARY_TRAINER]).get_weights()[0], primary.get_weights()[0]
    )
    assert artifacts.read_distance_of(found[head_trainer("gan_b")]).limit == 3.0
    origin = artifacts.read_origin(found[PRIMARY_TRAINER])
    assert (origin["model"], origin["version"]) == (str(version), 7)
    assert origin["trained_on"]["licence"] == "non-commercial"
    written = (found[PRIMARY_TRAINER] / artifacts.MODEL_FILE).stat().st_mtime_ns
    assert given_models(config, "primary.model", str(version)) == found
    assert (found[PRIMARY_TRAINER] / artifacts.MODEL_FILE).stat().st_mtime_ns == written


def test_training_on_takes_the_primary_module_alone(given, tmp_path):
    assert list(given_models(configured(tmp_path), "warm_start", str(given[0]), only_primary=True)) == [PRIMARY_TRAINER]


@pytest.mark.parametrize(
    ("differing", "message"),
    [
        ({"size": 64}, "input.size: must be 64, as in .* primary.model names, got 96"),
        ({"representation": "pixel"}, "input.representation: must be pixel"),
        ({"colour": "grey"}, "input.colour: must be grey"),
        ({"level": "architecture"}, "attribution_level: must be architecture"),
    ],
)
def test_modules_for_other_inputs_are_refused_with_what_to_set(said, tmp_path, differing, message):
    with pytest.raises(ConfigurationError, match=message):
        given_models(configured(tmp_path), "primary.model", str(said(**differing)))
    assert not (tmp_path / "runs").exists()


def test_modules_that_need_statistics_of_their_own_are_refused(said, tmp_path):
    config = configured(tmp_path, input={"representation": "dct", "size": SIZE})
    with pytest.raises(ConfigurationError, match=r"primary\.model: .* reads spectra, whose statistics"):
        given_models(config, "primary.model", str(said(representation="dct", colour="grey")))


def test_a_servable_of_an_earlier_release_is_refused(said, tmp_path):
    with pytest.raises(ConfigurationError, match=r"primary.model: .*holds no assets\.extra/modules\.json"):
        given_models(configured(tmp_path), "primary.model", str(said()))


def test_a_name_that_no_model_has_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"primary\.model: model 'facez': must be the path of a servable"):
        given_models(configured(tmp_path), "primary.model", "facez")


def test_an_output_root_is_no_servable(given, tmp_path):
    assert is_servable(str(given[0]))
    assert not is_servable(str(tmp_path))
    assert not is_servable("absent")


@pytest.mark.parametrize(
    ("changes", "nodes"),
    [
        ({"primary": {"model": "@"}}, [PRIMARY_TRAINER, head_trainer("gan_a"), head_trainer("gan_b")]),
        ({"primary": {"model": "@", "frozen": False}}, [PRIMARY_TRAINER]),
        ({"warm_start": "@"}, [PRIMARY_TRAINER]),
    ],
)
def test_a_run_takes_up_what_its_configuration_names(given, tmp_path, monkeypatch, changes, nodes):
    from pipeline.runs import inputs

    monkeypatch.setattr(inputs, "require_dataset", lambda config: None)
    monkeypatch.setattr(inputs, "with_resolved_span", lambda config: config)
    named = json.loads(json.dumps(changes).replace("@", str(given[0])))
    assert list(resolve_run(configured(tmp_path, **named))[1]) == nodes
