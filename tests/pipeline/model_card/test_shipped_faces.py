"""The model that comes with the product: it answers on every machine as it did where it was shipped."""

import json

import pytest

from pipeline.model_card.shipped_answers import ANSWERS_FILE, sample_answers
from serving import contract
from serving.servable.trained_on import read_trained_on
from serving.servable.versions import list_versions
from tests.support.repository import REPOSITORY

FACES = REPOSITORY / "models" / "faces"
LARGEST = 5_000_000  # bytes of its files
TOLERANCE = 0.01  # of a probability: processors add up in different orders


@pytest.fixture(scope="module")
def version():
    versions = list_versions(FACES) if FACES.is_dir() else []
    assert len(versions) == 1, f"{FACES}: must hold one version. Make it by `make faces`."
    return versions[0]


@pytest.fixture(scope="module")
def expected():
    return json.loads((FACES / ANSWERS_FILE).read_text())


@pytest.fixture(scope="module")
def answers(version):
    return sample_answers(version.path)


def test_its_answers_on_the_demonstrations_images_are_those_that_were_committed(version, expected, answers):
    assert expected["version"] == version.number
    assert list(answers) == list(expected["images"])
    for path, answer in answers.items():
        wanted = expected["images"][path]
        assert answer["fake_probability"] == pytest.approx(wanted["fake_probability"], abs=TOLERANCE), path
        assert answer["source_probabilities"] == pytest.approx(wanted["source_probabilities"], abs=TOLERANCE), path


def test_its_verdicts_are_those_that_were_committed(expected, answers):
    verdicts = {path: answer["verdict"] for path, answer in expected["images"].items()}
    assert {path: answer["verdict"] for path, answer in answers.items()} == verdicts


def test_it_is_small(version):
    assert sum(path.stat().st_size for path in version.path.rglob("*") if path.is_file()) <= LARGEST


def test_it_states_the_terms_of_its_weights_and_of_every_source(version):
    stated = read_trained_on(version.path)
    assert "non-commercial" in stated.licence
    assert [source.name for source in stated.sources if source.licence is None] == []


def test_its_card_is_that_of_its_version(version):
    assert f"# Model card: faces, version {version.number}\n" in (FACES / "README.md").read_text()


def test_heads_can_be_added_to_it(version):
    from components.servable.modules_file import rebuild_modules

    _, heads = rebuild_modules(version)
    points = json.loads((version.path / contract.ASSET_OPERATING_POINTS).read_text())
    assert list(heads) == list(points["sources"])
