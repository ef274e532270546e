from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from components.servable.parameters import VerdictParameters
from pipeline.config.schema import (
    ConfigurationError,
    load_config,
    sources_by_span,
    validate_config,
)

REPOSITORY = Path(__file__).resolve().parents[3]
MINIMAL = {"name": "demo", "data": {"dataset": "data/demo"}, "output_root": "runs/demo"}


def refusal(**values) -> str:
    with pytest.raises(ConfigurationError) as error:
        validate_config({**MINIMAL, **values}, "demo.yaml")
    return str(error.value)


@pytest.fixture
def write(tmp_path):
    def write_file(text: str) -> Path:
        path = tmp_path / "pipeline.yaml"
        path.write_text(text)
        return path

    return write_file


@pytest.fixture
def minimal_file(write):
    return write(yaml.safe_dump(MINIMAL))


def test_a_minimal_configuration_takes_the_documented_defaults():
    config = validate_config(MINIMAL, "demo.yaml")
    assert (config.input.representation, config.input.size) == ("dct", 128)
    assert (config.primary.epochs, config.primary.early_stopping, config.primary.learning_rate) == (100, 5, 1e-3)
    assert (config.data.span, config.sources) == (None, ())


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/*.yaml")), ids=lambda path: path.name)
def test_every_configuration_of_the_repository_is_valid(path):
    assert load_config(path).sources


# --- what is refused: (values, field, rule, value received, fix) ---


def band_case(band, rule):
    return ({"verdict": {"uncertain_band": band}}, "verdict.uncertain_band", rule, str(band), "Correct the value")


REFUSED = {
    "a given model in the place of a head": (
        {"secondary": {"model": "faces"}},
        "secondary.model",
        "must be none",
        "'faces'",
        "Set primary.model instead",
    ),
    "a given model and a warm start": (
        {"primary": {"model": "faces"}, "warm_start": "runs/a"},
        "warm_start",
        "must be none where primary.model is set",
        "'runs/a'",
        "Remove one of them",
    ),
    "unknown key at the top": ({"nmae": 1}, "nmae", "is not a key", "1", "keys here: attribution_level, baselines, "),
    "unknown nested key": (
        {"primary": {"batch_sise": 8}},
        "primary.batch_sise",
        "is not a key",
        "8",
        "keys here: augmentation, auxiliary, batch_size, calibration, calibration_copies, class_weights,",
    ),
    "unknown key of a source": (
        {"sources": ["a", {"name": "b", "spam": 2}]},
        "sources.1.spam",
        "is not a key",
        "2",
        "keys here: name, span.",
    ),
    "unknown key two levels down": (
        {"evaluation": {"detection": {"min_auc": 0.9}}},
        "evaluation.detection.min_auc",
        "is not a key",
        "0.9",
        "keys here: min_average_precision, min_roc_auc.",
    ),
    "unknown key of a baseline": (
        {"baselines": [{"architecture": "gdaconv", "task": "detection", "trainings": {}}]},
        "baselines.0.trainings",
        "is not a key",
        "{}",
        "keys here: architecture, task, training.",
    ),
    "unknown baseline": (
        {"baselines": [{"architecture": "resnet", "task": "detection"}]},
        "baselines.0.architecture",
        "must be 'gdaconv', 'postpool' or 'notl'",
        "'resnet'",
        "Choose one",
    ),
    "unknown level": ({"attribution_level": "family"}, "attribution_level", "must be", "'family'", "Choose one"),
    "quoted whole number": ({"primary": {"epochs": "3"}}, "primary.epochs", "valid integer", "'3'", "without quotes"),
    "truth value for a number": ({"primary": {"epochs": True}}, "primary.epochs", "valid integer", "True", "whole"),
    "fraction for a count": ({"primary": {"epochs": 2.5}}, "primary.epochs", "valid integer", "2.5", "whole number"),
    "quoted number": (
        {"primary": {"learning_rate": "1e-3"}},
        "primary.learning_rate",
        "valid number",
        "'1e-3'",
        "without quotes",
    ),
    "number for text": ({"name": 7}, "name", "valid string", "7", "put quotes around it"),
    "number for a mapping": ({"primary": 3}, "primary", "must be", "3", "Write a mapping"),
    "number for a source": ({"sources": [3]}, "sources.0", "must be", "3", "Write a mapping"),
    "text for a list": ({"sources": "progan"}, "sources", "must be", "'progan'", ""),
    "unknown choice": (
        {"input": {"representation": "wavelet"}},
        "input.representation",
        "must be 'pixel', 'dct' or 'residual'",
        "'wavelet'",
        "Choose one",
    ),
    "no batch": ({"primary": {"batch_size": 0}}, "primary.batch_size", "greater than or equal to 1", "0", ""),
    "no epoch": ({"secondary": {"epochs": 0}}, "secondary.epochs", "greater than or equal to 1", "0", ""),
    "learning rate 0": ({"primary": {"learning_rate": 0.0}}, "primary.learning_rate", "greater than 0", "0.0", ""),
    "learning rate NaN": ({"primary": {"learning_rate": float("nan")}}, "primary.learning_rate", "must be", "nan", ""),
    "gate above 1": (
        {"evaluation": {"attribution": {"min_roc_auc": 1.5}}},
        "evaluation.attribution.min_roc_auc",
        "less than or equal to 1",
        "1.5",
        "",
    ),
    "odd size": ({"input": {"size": 100}}, "input.size", "must be a multiple of 8", "100", ""),
    "tiny size": ({"input": {"size": 8}}, "input.size", "greater than or equal to 32", "8", ""),
    "negative span": ({"data": {"dataset": "d", "span": -1}}, "data.span", "greater than or equal to 0", "-1", ""),
    "empty dataset": ({"data": {"dataset": ""}}, "data.dataset", "at least 1 character", "''", ""),
    "name with a slash": ({"name": "a/b"}, "name", "hold only letters, digits", "'a/b'", ""),
    "source that leaves its folder": (
        {"sources": ["../a"]},
        "sources.0.name",
        "must start with a letter",
        "'../a'",
        "",
    ),
    "reserved source": ({"sources": ["real"]}, "sources.0.name", "one of the verdicts", "'real'", ""),
    "reserved source 4": ({"sources": ["primary"]}, "sources.0.name", "must not be 'primary'", "'primary'", ""),
    "reserved source 2": ({"sources": ["unknown_generator"]}, "sources.0.name", "verdicts", "'unknown_generator'", ""),
    "reserved source 3": ({"sources": ["contradiction"]}, "sources.0.name", "verdicts", "'contradiction'", ""),
    "reserved source 5": ({"sources": ["uncertain"]}, "sources.0.name", "verdicts", "'uncertain'", ""),
    "band upside down": band_case([0.6, 0.4], "in 0..1, the lower first, e.g. [0.4, 0.6]"),
    "band of one point": band_case([0.5, 0.5], "in 0..1, the lower first"),
    "band below 0": band_case([-0.1, 0.5], "in 0..1, the lower first"),
    "band above 1": band_case([0.5, 1.5], "in 0..1, the lower first"),
    "band that is no number": band_case([0.5, float("nan")], "in 0..1, the lower first"),
    "band of one number": band_case([0.5], "must be two probabilities"),
    "band of three numbers": band_case([0.1, 0.2, 0.3], "must be two probabilities"),
    "band that is one number": ({"verdict": {"uncertain_band": 0.5}}, "verdict.uncertain_band", "a list", "0.5", ""),
    "band of words": (
        {"verdict": {"uncertain_band": ["low", 0.5]}},
        "verdict.uncertain_band.0",
        "valid number",
        "'low'",
        "without quotes",
    ),
    "unknown acceptance score": (
        {"verdict": {"acceptance": "odds"}},
        "verdict.acceptance",
        "'none', 'max_logit', 'energy' or 'highest_head'",
        "'odds'",
        "",
    ),
    "known rejection of nothing": (
        {"verdict": {"known_rejection": 0.0}},
        "verdict.known_rejection",
        "greater than 0",
        "0.0",
        "",
    ),
    "known rejection of most": (
        {"verdict": {"known_rejection": 0.6}},
        "verdict.known_rejection",
        "less than or equal to 0.5",
        "0.6",
        "",
    ),
    "unknown key of the verdict": ({"verdict": {"band": [0.4, 0.6]}}, "verdict.band", "is not a key", "[0.4, 0.6]", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_file_field_rule_value_and_fix(case):
    values, field, rule, received, fix = REFUSED[case]
    message = refusal(**values)
    assert message.startswith(f"demo.yaml: {field}: ")
    assert rule in message
    before_fix, _, given_fix = message.partition(f", got {received}. ")
    assert before_fix != message, f"the value received is missing: {message}"
    assert given_fix.endswith(".")
    assert fix in given_fix


def test_a_band_is_read_from_a_list_and_there_is_none_by_default(write):
    said = "name: demo\ndata: {dataset: d}\noutput_root: r\n"
    assert load_config(write(said)).verdict.uncertain_band is None
    config = load_config(write(said + "verdict: {uncertain_band: [0.4, 1]}\n"))
    assert config.verdict.uncertain_band == (0.4, 1.0)
    assert validate_config(config.given(), "again") == config
    assert VerdictParameters.model_validate_json(config.verdict.model_dump_json()) == config.verdict


def test_a_missing_key_is_named_with_what_to_do():
    assert refusal(data={}) == "demo.yaml: data.dataset: is required. Add it."


def test_a_source_that_stands_there_twice_is_named():
    assert "a_celeba is repeated" in refusal(sources=["a_celeba", "b", {"name": "a_celeba", "span": 2}])


def test_a_baseline_that_stands_there_twice_is_named():
    message = refusal(baselines=[{"architecture": "gdaconv", "task": "detection"}] * 2)
    assert "gdaconv.detection is repeated. Remove it." in message


@pytest.mark.parametrize("task", ["attribution", "multiclass"])
def test_a_baseline_that_attributes_needs_sources(task):
    message = refusal(baselines=[{"architecture": "postpool", "task": task}])
    assert f"postpool.{task} needs sources" in message and "task: detection" in message


def test_the_variant_without_transfer_is_no_detector():
    assert "it is the primary module itself" in refusal(baselines=[{"architecture": "notl", "task": "detection"}])


def test_all_problems_are_reported_at_once():
    lines = refusal(input={"size": 100}, primary={"epochs": 0}, sources=["real"]).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["input.size", "primary.epochs", "sources.0.name"]


# --- the file ---


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: cannot be read"):
        load_config(tmp_path / "absent.yaml")


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"image\.yaml: "):
        load_config(tmp_path / "image.yaml")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "3"])
def test_yaml_that_is_no_mapping_is_refused(write, text):
    with pytest.raises(ConfigurationError, match="must hold a mapping of keys to values, found"):
        load_config(write(text))


def test_broken_yaml_is_refused_with_its_line(write):
    with pytest.raises(ConfigurationError, match=r"(?s)is not YAML: .*line 2"):
        load_config(write("name: demo\ndata: ]\n"))


def test_a_yaml_tag_that_would_run_code_is_refused_and_runs_nothing(write, tmp_path):
    marker = tmp_path / "ran"
    path = write(f"name: !!python/object/apply:os.system ['touch {marker}']")
    with pytest.raises(ConfigurationError, match="is not YAML"):
        load_config(path)
    assert not marker.exists()


# --- overrides ---


def test_an_override_sets_a_nested_key_and_leaves_its_neighbours(write):
    path = write(yaml.safe_dump({**MINIMAL, "primary": {"epochs": 7, "batch_size": 9}}))
    config = load_config(path, ["primary.epochs=20"])
    assert (config.primary.epochs, config.primary.batch_size) == (20, 9)


def test_an_override_creates_the_mappings_on_its_way(minimal_file):
    config = load_config(minimal_file, ["evaluation.detection.min_roc_auc=0.5"])
    assert config.evaluation.detection.min_roc_auc == 0.5


def test_an_override_is_read_as_yaml(minimal_file):
    config = load_config(minimal_file, ["sources=[b_x, a_y]", "data.span=3", "secondary.class_weights=none"])
    assert [source.name for source in config.sources] == ["b_x", "a_y"]
    assert (config.data.span, config.secondary.class_weights) == (3, "none")


def test_the_last_of_two_overrides_wins(minimal_file):
    assert load_config(minimal_file, ["primary.epochs=3", "primary.epochs=4"]).primary.epochs == 4


@pytest.mark.parametrize("override", ["primary.epochs", "=3", "primary..epochs=3", ".epochs=3", "primary.=3"])
def test_an_override_of_another_form_is_refused_with_an_example(minimal_file, override):
    with pytest.raises(ConfigurationError) as error:
        load_config(minimal_file, [override])
    assert str(error.value).startswith(f"overrides: {override}: must have the form dotted.key=value, e.g. ")


def test_an_override_below_a_plain_value_is_refused(minimal_file):
    with pytest.raises(ConfigurationError, match=r"overrides: name\.x=3: 'name' is not a mapping"):
        load_config(minimal_file, ["name.x=3"])


def test_an_override_whose_value_is_not_yaml_is_refused(minimal_file):
    with pytest.raises(ConfigurationError, match=r"overrides: sources=\[a: the value is not YAML"):
        load_config(minimal_file, ["sources=[a"])


def test_an_override_is_validated_as_the_file_is(minimal_file):
    with pytest.raises(ConfigurationError, match=r"primary\.epochs: .* got 0"):
        load_config(minimal_file, ["primary.epochs=0"])


# --- the object ---


def test_a_bare_source_name_equals_a_mapping_with_that_name():
    bare = validate_config({**MINIMAL, "sources": ["a_x", "b_y"]}, "demo.yaml")
    assert bare == validate_config(
        {**MINIMAL, "sources": [{"name": "a_x"}, {"name": "b_y", "span": None}]}, "demo.yaml"
    )


@pytest.mark.parametrize("path", ["name", "primary.epochs", "input.size"])
def test_a_configuration_cannot_be_changed(path):
    target = validate_config(MINIMAL, "demo.yaml")
    *parents, last = path.split(".")
    for parent in parents:
        target = getattr(target, parent)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(target, last, getattr(target, last))


def test_yaml_of_a_configuration_reads_back_as_the_same_configuration(write):
    values = {
        **MINIMAL,
        "sources": ["a_x", {"name": "b_y", "span": 2}],
        "primary": {"layers": {"initialization": "paper"}},
    }
    config = validate_config(values, "demo.yaml")
    assert load_config(write(config.to_yaml())) == config


def test_outputs_lie_under_the_output_root_where_design_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = validate_config(MINIMAL, "demo.yaml")
    assert config.serving_base == tmp_path / "runs/demo/serving/generator_attribution"
    assert config.metadata_path.parent == tmp_path / "runs/demo/metadata"
    assert config.dataset == tmp_path / "data/demo"


def test_sources_are_grouped_by_span_with_the_main_span_first():
    sources = [{"name": "new_a", "span": 5}, "old_a", {"name": "old_b", "span": 3}, {"name": "new_b", "span": 5}]
    config = validate_config({**MINIMAL, "data": {"dataset": "d", "span": 3}, "sources": sources}, "demo.yaml")
    assert list(sources_by_span(config).items()) == [(3, ["old_a", "old_b"]), (5, ["new_a", "new_b"])]
