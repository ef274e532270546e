import dataclasses

import numpy as np
import pytest

from components.errors import StepRefusedError
from components.features.parameters import InputParameters
from components.servable_validator import validation
from components.servable_validator.parameters import ValidationParameters
from components.servable_validator.process import server_process
from components.servable_validator.validation import validate
from components.training.examples import Split
from serving.client import Answer
from tests.support import modules
from tests.support.images import SIZE, SMOOTH, STRIPES
from tests.support.transforms import FixedTransform

SOURCES = [STRIPES, SMOOTH]
PATHS = np.array(["fake/a/0.png", "fake/a/1.png", "real/b/0.png"])


def split_of(*sources: str) -> Split:
    count = len(sources)
    return Split("test", (), np.zeros(count, np.int32), np.array(sources), np.array([str(i) for i in range(count)]))


# --- which images are asked about ---


def test_images_are_taken_from_each_source_in_turn():
    split = split_of("a", "a", "a", "a", "b", "c", "c")
    assert validation._spread(split, 3) == {0, 4, 5}
    assert validation._spread(split, 5) == {0, 1, 4, 5, 6}


def test_a_small_split_is_asked_about_whole():
    assert validation._spread(split_of("a", "b", "a"), 64) == {0, 1, 2}


# --- comparison ---


def compare(expected, tolerance=1e-5, **changes):
    table = np.array([[0.5, 0.1, 0.9], [0.25, 0.2, 0.8], [0.125, 0.3, 0.7]])
    answers = [Answer(row[0], dict(zip(SOURCES, row[1:], strict=True)), "real") for row in table.tolist()]
    for row, answer in changes.get("answers", {}).items():
        answers[row] = answer
    return validation._compare("gRPC", answers, table + expected, SOURCES, PATHS, tolerance)


def at(row, column, value):
    change = np.zeros((3, 3))
    change[row, column] = value
    return change


def test_equal_answers_pass_with_the_largest_difference():
    assert compare(at(1, 2, 4e-6) - at(0, 0, 2e-6)) == pytest.approx(4e-6)


@pytest.mark.parametrize(
    ("row", "column", "model"),
    [(0, 0, "primary"), (1, 1, STRIPES), (2, 2, SMOOTH)],
    ids=["primary", "head 1", "head 2"],
)
@pytest.mark.parametrize("difference", [2e-5, -2e-5, 0.5, float("nan")])
def test_a_difference_above_the_tolerance_names_image_wire_and_model(row, column, model, difference):
    with pytest.raises(StepRefusedError) as error:
        compare(at(row, column, difference))
    assert str(error.value).startswith(f"{PATHS[row]}: by gRPC, {model} answers ")


def test_a_served_nan_is_refused():
    answer = Answer(float("nan"), {STRIPES: 0.2, SMOOTH: 0.8}, "real")
    with pytest.raises(StepRefusedError, match=r"fake/a/1\.png: by gRPC, primary answers nan"):
        compare(np.zeros((3, 3)), answers={1: answer})


def test_other_sources_or_another_order_are_refused():
    answer = Answer(0.5, {SMOOTH: 0.9, STRIPES: 0.1}, "real")
    with pytest.raises(StepRefusedError, match=r"answers for sources \['smooth_a', 'stripes_b'\], trained were"):
        compare(np.zeros((3, 3)), answers={0: answer})


# --- the server's process ---


def stand_in(tmp_path, monkeypatch, code: str) -> None:
    """Lets another program stand in for the server: the module serving.server of another folder."""
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "__init__.py").touch()
    (tmp_path / "serving" / "server.py").write_text(code)
    monkeypatch.setattr("components.servable_validator.process._ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)


def test_the_addresses_are_those_that_the_server_prints(tmp_path, monkeypatch):
    stand_in(
        tmp_path,
        monkeypatch,
        """import json, sys, time
print(json.dumps({"grpc": "127.0.0.1:1", "rest": "http://127.0.0.1:2", "asked": sys.argv[1:]}), flush=True)
time.sleep(60)
""",
    )
    with server_process(tmp_path / "models", 30.0) as addresses:
        assert (addresses["grpc"], addresses["rest"]) == ("127.0.0.1:1", "http://127.0.0.1:2")
        assert addresses["asked"][:2] == ["--model-base-path", str(tmp_path / "models")]


def test_a_server_that_dies_is_reported_with_its_last_words(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "import sys\nprint('version 1: no graph in it', file=sys.stderr)\nsys.exit(3)\n")
    with (
        pytest.raises(StepRefusedError, match="does not start in a fresh process") as error,
        server_process(tmp_path, 30.0),
    ):
        pytest.fail("it started")
    assert "version 1: no graph in it" in str(error.value)


def test_a_server_that_is_silent_is_ended_after_the_timeout(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n")
    with pytest.raises(StepRefusedError, match=r"was silent for 0\.5 s"), server_process(tmp_path, 0.5):
        pytest.fail("it started")


# --- the whole way ---


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """SavedModels as the trainers export them, and the servable that holds all of them: (servable, primary, heads)."""
    root, inputs = tmp_path_factory.mktemp("validation"), InputParameters(representation="pixel", size=SIZE)
    transform = FixedTransform()
    primary = modules.write_primary(root / "primary", inputs)
    heads = {
        source: modules.write_head(root / source, inputs, source, 0.5, seed) for seed, source in enumerate(SOURCES, 2)
    }
    return (
        modules.export(root / "servable", transform, inputs, primary, heads),
        modules.export(primary / "Format-Serving", transform, inputs, primary, {}),
        {
            source: modules.export(head / "Format-Serving", transform, inputs, primary, {source: head})
            for source, head in heads.items()
        },
    )


@pytest.mark.e2e
def test_a_servable_that_answers_as_its_models_passes_on_a_real_server(exported, splits):
    servable, primary, heads = exported
    record = validate(servable, primary, heads, splits["test"], ValidationParameters(images=9))
    assert record.images == sum(record.verdicts.values()) == 9
    assert record.largest_difference <= 1e-5
    assert dataclasses.asdict(record)["verdicts"] == dict(record.verdicts)


def test_the_expected_answers_are_those_of_the_exported_models(exported, train_images):
    _, primary, heads = exported
    images = train_images[:20]  # more than one batch
    expected = [modules.ask(primary, images)["fake_probability"]]
    expected += [modules.ask(head, images)["source_probabilities"][:, 0] for head in heads.values()]
    np.testing.assert_allclose(validation._expected(primary, heads, images), np.transpose(expected), atol=1e-6)
