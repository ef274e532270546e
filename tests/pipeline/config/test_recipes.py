"""Recipes fill what a configuration leaves open, and nothing else."""

import pytest

from pipeline.config.recipes import RECIPES
from pipeline.config.schema import ConfigurationError, load_config, validate_config

MINIMAL = {"name": "demo", "data": {"dataset": "data/demo"}, "output_root": "runs/demo"}


def test_what_is_given_wins_key_by_key():
    config = validate_config(
        {
            **MINIMAL,
            "recipe": "few_images",
            "input": {"size": 128},
            "primary": {"epochs": 3, "augmentation": {"jpeg": 0.0}},
        },
        "demo.yaml",
    )
    assert (config.input.representation, config.input.size) == ("residual", 128)
    assert (config.primary.epochs, config.primary.schedule) == (3, "cosine")
    assert (config.primary.augmentation.jpeg, config.primary.augmentation.crop) == (0.0, "random")


def test_the_papers_recipe_is_what_was_published():
    config = validate_config(
        {**MINIMAL, "recipe": "paper", "input": {"representation": "pixel", "size": 128}}, "demo.yaml"
    )
    for training in (config.primary, config.secondary):
        assert (training.epochs, training.early_stopping, training.monitor) == (100, 5, "loss")
        assert (training.batch_size, training.learning_rate, training.schedule) == (64, 1e-3, "constant")
        assert (training.layers.network, training.layers.initialization) == ("paper", "paper")
        assert training.layers.batch_norm_momentum == 0.99
        assert (training.class_weights, training.calibration) == ("none", "none")
        assert (training.operating_point.rule, training.operating_point.threshold) == ("fixed", 0.5)
        assert not training.augmentation.changes_images


def test_without_a_recipe_nothing_is_filled_in():
    config = validate_config(MINIMAL, "demo.yaml")
    assert config.recipe is None
    assert not config.primary.augmentation.changes_images


def test_an_override_chooses_the_recipe(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text("name: demo\ndata: {dataset: data/demo}\noutput_root: runs/demo\n")
    assert load_config(path, ["recipe=few_images"]).input.representation == "residual"


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match="recipe: must be 'paper' or 'few_images', got 'many'"):
        validate_config({**MINIMAL, "recipe": "many"}, "demo.yaml")


def test_filling_leaves_the_recipe_as_it_is():
    before = repr(RECIPES)
    validate_config({**MINIMAL, "recipe": "few_images", "primary": {"augmentation": {"jpeg": 0.1}}}, "demo.yaml")
    assert repr(RECIPES) == before


def test_a_window_that_models_cannot_learn_from_is_refused_before_anything_runs():
    with pytest.raises(
        ConfigurationError, match=r"primary\.augmentation\.window: must be input\.size, 256, for spectra"
    ):
        validate_config({**MINIMAL, "recipe": "few_images", "input": {"representation": "dct"}}, "demo.yaml")


BLOCKS = {"layers": {"network": "blocks"}}


@pytest.mark.parametrize(
    ("inputs", "configured"),
    [
        ({"representation": "dct"}, "input.representation: dct, input.colour: grey"),
        ({"representation": "dct", "colour": "rgb"}, "input.representation: dct, input.colour: rgb"),
        ({"representation": "residual"}, "input.representation: residual, input.colour: rgb"),
        ({"representation": "pixel", "colour": "grey"}, "input.representation: pixel, input.colour: grey"),
    ],
)
@pytest.mark.parametrize("where", ["primary", "baselines.0.training"])
def test_a_network_of_blocks_that_cannot_read_its_input_is_refused_before_anything_runs(inputs, configured, where):
    baseline = {"architecture": "notl", "task": "multiclass", "training": BLOCKS}
    values = {"primary": BLOCKS} if where == "primary" else {"baselines": [baseline], "sources": ["one_a"]}
    with pytest.raises(ConfigurationError) as error:
        validate_config({**MINIMAL, "input": inputs, **values}, "demo.yaml")
    message = str(error.value)
    assert message.startswith(f"demo.yaml: {where}.layers.network: 'blocks' must read colour pixels")
    assert "Set input.representation: pixel" in message
    assert configured in message


def test_a_network_of_blocks_reads_colour_pixels():
    config = validate_config({**MINIMAL, "input": {"representation": "pixel"}, "primary": BLOCKS}, "demo.yaml")
    assert config.primary.layers.network == "blocks"
