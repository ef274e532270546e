"""The statement of training data and licences that is pushed with a servable."""

import json
from datetime import date

import pytest
from pydantic import ValidationError

from components.pusher.component import AtomicPusher
from components.pusher.executor import _statement
from components.pusher.parameters import LicenceParameters
from components.pusher.statement import training_statement
from components.servable.card_file import FORMAT_VERSION, write_card
from serving import contract
from serving.servable.trained_on import TrainedOn, TrainingSource, read_trained_on


def source(label: int, train: int) -> dict[str, object]:
    return {"label": label, "train": train, "eval": 5, "test": 5, "testonly": 0, "formats": {}}


CARD = {
    "format_version": FORMAT_VERSION,
    "name": "faces_model",
    "data": [
        {"sources": {"real_ffhq": source(0, 40), "gan_a": source(1, 30), "gan_only_tested": source(1, 0)}},
        {"sources": {"gan_a": source(1, 99), "gan_b": source(1, 7)}},
        {"sources": None},
    ],
}
LICENCES = LicenceParameters(weights="CC BY-NC-SA 4.0", sources={"real_ffhq": "FFHQ, CC BY-NC-SA 4.0"})
STATED = TrainedOn(
    "faces_model",
    "web",
    "2026-12-01",
    "CC BY-NC-SA 4.0",
    (
        TrainingSource("real_ffhq", "real", 40, "FFHQ, CC BY-NC-SA 4.0"),
        TrainingSource("gan_a", "fake", 30),
        TrainingSource("gan_b", "fake", 7),
    ),
)


def test_every_source_that_was_trained_on_stands_there_once_with_its_licence():
    assert training_statement(CARD, "web", LICENCES, date(2026, 12, 1)) == STATED


def test_the_statement_lies_where_it_is_read(tmp_path):
    write_card(CARD, tmp_path)
    ((place, text),) = _statement(tmp_path, "web", LICENCES).items()
    (tmp_path / place).write_text(text)
    assert read_trained_on(tmp_path).sources == STATED.sources


def test_a_servable_without_a_card_states_nothing(tmp_path):
    assert _statement(tmp_path, None, LICENCES) == {}


def test_terms_and_recipe_key_the_cache_of_the_push():
    from tfx.types import channel, standard_artifacts

    model = channel.Channel(type=standard_artifacts.Model)
    blessing = channel.Channel(type=standard_artifacts.InfraBlessing)
    pusher = AtomicPusher(model, blessing, None, "/base", "web", LICENCES)
    given = json.loads(pusher.exec_properties["custom_config"])
    assert (given["recipe"], given["licences"]) == ("web", LICENCES.model_dump())


@pytest.mark.parametrize("values", [{"weights": ""}, {"sources": {"a": ""}}, {"licence": "MIT"}])
def test_terms_that_say_nothing_are_refused(values):
    with pytest.raises(ValidationError):
        LicenceParameters.model_validate(values)


def test_the_place_is_one_that_tf_serving_ignores():
    assert contract.TRAINED_ON.startswith("assets.extra/")


def test_images_and_terms_of_a_model_that_was_built_on_go_with_it():
    given = {
        "licence": "non-commercial",
        "sources": [
            {"name": "real_ffhq", "label": "real", "images": 1000, "licence": "FFHQ"},
            {"name": "stylegan1_ffhq", "label": "fake", "images": 500, "licence": None},
        ],
    }
    stated = training_statement({**CARD, "origin": {"trained_on": given}}, None, LicenceParameters(), date(2026, 12, 1))
    assert stated.licence == "non-commercial"
    counts = {source.name: source.images for source in stated.sources}
    assert counts == {"real_ffhq": 1040, "stylegan1_ffhq": 500, "gan_a": 30, "gan_b": 7}
    assert stated.sources[0].licence == "FFHQ"
