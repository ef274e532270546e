"""Recipes fill what a configuration leaves open, and nothing else."""

import pytest

from components.training.augmentation_parameters import AugmentationParameters
from components.training.parameters import AuxiliaryParameters
from pipeline.config.recipes import RECIPES
from pipeline.config.schema import ConfigurationError, load_config, validate_config
from tests.support.repository import REPOSITORY

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
    with pytest.raises(ConfigurationError, match="recipe: must be 'paper', 'few_images' or 'web', got 'many'"):
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


def test_the_web_recipe_trains_primary_and_heads_on_images_as_web_sites_leave_them():
    config = validate_config({**MINIMAL, "recipe": "web"}, "demo.yaml")
    primary, secondary = config.primary, config.secondary
    assert (config.input.representation, config.input.colour, config.input.size) == ("pixel", "rgb", 256)
    assert config.input.views == 9
    assert (primary.layers.network, primary.auxiliary) == ("blocks", AuxiliaryParameters(weight=0.3))
    assert (primary.weight_decay, primary.label_smoothing, primary.sampling_power) == (0.05, 0.02, 0.5)
    assert (primary.precision, primary.schedule, primary.calibration_copies) == ("float32", "cosine", 4)
    expected = AugmentationParameters(
        window=192, crop="random", grid=0.75, flip=True, untouched=0.27, resize=0.6, resize_range=(0.5, 1.5),
        blur=0.12, blur_range=(0.3, 1.1), noise=0.12, noise_range=(0.5, 4.0), jpeg=0.86, jpeg_range=(40, 100),
        full_colour=0.3, again=0.15, webp=0.07,
    )  # fmt: skip
    assert primary.augmentation == secondary.augmentation == expected
    assert (secondary.copies, secondary.calibration_copies, secondary.auxiliary) == (12, 4, None)


def test_the_web_recipe_costs_what_it_says():
    primary = validate_config({**MINIMAL, "recipe": "web"}, "demo.yaml").primary
    windows = primary.epochs * primary.passes * 3100
    assert windows / 157 / 60 == pytest.approx(40, rel=0.02)  # CPU-minutes at 157 windows per CPU-second


def test_the_configuration_of_web_faces_is_valid_and_names_all_its_generators():
    config = load_config(REPOSITORY / "configs" / "faces_web.yaml")
    assert config.recipe == "web"
    assert len(config.sources) == 5
    assert set(config.evaluation.perturbations) == {"jpeg_85", "jpeg_75", "jpeg_50", "resize_0.75"}
    assert config.primary.auxiliary is not None


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"secondary": {"auxiliary": {}}}, r"secondary\.auxiliary"),
        (
            {"baselines": [{"architecture": "gdaconv", "task": "detection", "training": {"auxiliary": {}}}]},
            r"baselines\[0\]\.training\.auxiliary",
        ),
    ],
)
def test_only_the_primary_module_has_an_auxiliary_task(values, key):
    with pytest.raises(ConfigurationError, match=rf"{key}: must be none.*Set primary\.auxiliary instead"):
        validate_config({**MINIMAL, **values}, "demo.yaml")
