"""The documented way from downloaded data to trained models: every command exists, every configuration loads."""

import re
import shlex
from pathlib import Path

import pytest

from components.dataset.manifest import Manifest
from components.dataset.parameters import PreparationParameters
from components.models.parameters import PAPER_LAYERS
from components.published_data.layouts import LAYOUTS
from pipeline.cli.main import main
from pipeline.cli.parser import build_parser
from pipeline.config.schema import load_config
from tests.support.images import encode, noise
from tests.support.repository import REPOSITORY

GUIDE = REPOSITORY / "docs" / "published-datasets.md"
CONFIGS = {name: REPOSITORY / "configs" / f"{name}.yaml" for name in ("ganfp", "faceshqplus")}
SPLITS = {"ganfp": (20_000, 4_000, 6_000), "faceshqplus": (7_000, 1_000, 2_000)}


def commands_of(path: Path) -> list[list[str]]:
    """Returns the words of every command in a guide's indented blocks, or in a configuration's header."""
    text = re.sub(r"\\\n[#\s]*", " ", path.read_text())
    lines = re.findall(r"^(?:    |#   )genattr (.+)$", text, re.MULTILINE)
    return [shlex.split(re.split(r"\s{3,}", line)[0]) for line in lines]


DOCUMENTED = [command for path in (GUIDE, *CONFIGS.values()) for command in commands_of(path)]


@pytest.mark.parametrize("command", DOCUMENTED, ids=" ".join)
def test_every_documented_command_is_one_that_the_command_line_takes(command, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    options = build_parser().parse_args(command)
    if options.command == "run":
        load_config(options.config, options.overrides)
    if options.command == "prepare":
        fields = {name: value for name, value in vars(options).items() if name in PreparationParameters.model_fields}
        parameters = PreparationParameters(**fields)
        layout = "ganfp" if "ganfp" in str(options.out) else "faceshqplus"
        assert (parameters.train, parameters.eval, parameters.test) == SPLITS[layout]
        assert parameters.size == load_config(CONFIGS[layout]).input.size


def test_the_guide_names_every_folder_that_is_looked_for_and_every_source():
    guide = GUIDE.read_text()
    assert len(DOCUMENTED) >= 15
    for name, layout in LAYOUTS.items():
        assert sum(SPLITS[name]) == layout.amount
        for source in layout.sources:
            for word in (*source.folders, source.directory):
                assert f"`{word}`" in guide


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_trains_as_published(name):
    config = load_config(CONFIGS[name])
    assert config.name == name
    generators = [source for source in LAYOUTS[name].sources if source.directory.startswith("fake/")]
    assert [source.name for source in config.sources] == [source.name for source in generators]
    batch, patience = {"ganfp": (256, 5), "faceshqplus": (128, 10)}[name]
    for training, rate in ((config.primary, 1e-3), (config.secondary, 1e-4)):
        assert (training.batch_size, training.early_stopping, training.learning_rate) == (batch, patience, rate)
        assert (training.epochs, training.monitor, training.class_weights) == (100, "loss", "none")
        assert (training.seed, training.layers) == (2021, PAPER_LAYERS)
        assert (training.operating_point.rule, training.operating_point.threshold) == ("fixed", 0.5)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_without_data_says_in_one_line_what_is_missing_and_how_to_make_it(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(CONFIGS[name])]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert re.search(rf"data\.dataset: data/{name} is not a folder\. .*genattr prepare ", said)


@pytest.mark.parametrize(("name", "shape"), [("ganfp", (218, 178)), ("faceshqplus", (300, 300))])
def test_the_documented_way_leads_from_a_download_to_a_dataset(name, shape, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, source in enumerate(LAYOUTS[name].sources):
        folder = tmp_path / "downloads" / source.folders[0]
        folder.mkdir(parents=True)
        height, width = shape if name == "faceshqplus" or source.directory.startswith("real/") else (128, 128)
        for number in range(1, 6):
            data = encode(noise(10 * seed + number, height, width), "JPEG")
            (folder / f"{number:06d}.jpg").write_bytes(data)
    arranged, prepared = (
        next(command for command in commands_of(CONFIGS[name]) if command[0] == word and "--check" not in command)
        for word in ("arrange", "prepare")
    )
    arranged[2] = "downloads"
    assert main([*arranged, "--amount", "5"]) == 0
    for option, count in (("--train", "3"), ("--eval", "1"), ("--test", "1")):
        prepared[prepared.index(option) + 1] = count
    assert main(prepared) == 0
    manifest = Manifest.load(tmp_path / "data" / name / "span-1")
    trained = {source.name: 3 for source in LAYOUTS[name].sources if not source.optional}
    assert manifest.counts["train"] == trained
    assert not manifest.rejected
