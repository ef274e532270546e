"""YAML of configurations: scalars of YAML 1.2, no key twice, bounded aliases, values of --set."""

import math

import pytest
import yaml

from pipeline.config.schema import ConfigurationError, load_config
from pipeline.config.yaml_text import YamlTextError, read_value, read_yaml, write_yaml

HEAD = "name: demo\ndata: {dataset: data/x}\noutput_root: runs/x\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E3", 1000.0), ("-.5", -0.5), ("+1", 1), ("1.", 1.0), ("0o17", 15), ("0x1F", 31),
        ("017", 17), (".inf", math.inf), ("-.INF", -math.inf), ("off", "off"), ("no", "no"), ("On", "On"), ("y", "y"),
        ("yes", "yes"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("Null", None), ("12:30", "12:30"),
        ("190:20:30", "190:20:30"), ("1_000", "1_000"), ("2026-01-01", "2026-01-01"), ("0b11", "0b11"), ("=", "="),
        ("'1e-3'", "1e-3"), ("1e", "1e"), ("e3", "e3"), (".", "."), ("+", "+"), ("0o8", "0o8"), ("-0x1", "-0x1"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_yaml_1_2_says(text, value):
    assert read_yaml(f"key: {text}") == {"key": value}
    assert type(read_yaml(f"key: {text}")["key"]) is type(value) or isinstance(value, int | float)


def test_not_a_number_is_a_number_of_its_own():
    assert math.isnan(read_yaml(".nan"))


def write(tmp_path, text):
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    return path


def test_an_exponent_without_a_point_is_a_number(tmp_path):
    config = load_config(write(tmp_path, f"{HEAD}primary: {{learning_rate: 1e-3, epochs: 2}}\n"))
    assert config.primary.learning_rate == 0.001
    assert type(config.primary.epochs) is int


def test_plain_words_stay_words_and_sources_keep_their_names(tmp_path):
    config = load_config(write(tmp_path, f"{HEAD}confound: {{action: off}}\nsources: [123, no, on, 007, 1e3, gan_b]\n"))
    assert config.confound.action == "off"
    assert [source.name for source in config.sources] == ["123", "no", "on", "007", "1e3", "gan_b"]
    again = load_config(write(tmp_path, config.to_yaml()))
    assert again == config
    assert yaml.safe_load(config.to_yaml()) == config.model_dump(mode="json")


def test_names_that_look_like_numbers_are_names(tmp_path):
    config = load_config(write(tmp_path, "name: 2024\ndata: {dataset: 0123}\noutput_root: 1e3\n"))
    assert (config.name, config.data.dataset, config.output_root) == ("2024", "0123", "1e3")


@pytest.mark.parametrize("text", ["off", "1e-3", "0o17", "12:30", "null", "~", "", "2026-01-01", "=", "1_000", "a: b"])
def test_text_is_written_so_that_every_reader_takes_it_for_text(text):
    written = write_yaml({"key": text})
    assert yaml.safe_load(written) == read_yaml(written) == {"key": text}


def test_keys_that_stand_twice_are_refused_with_both_lines(tmp_path):
    path = write(
        tmp_path,
        f"{HEAD}primary:\n  epochs: 50\n  layers: {{network: wide, network: paper}}\nsources: [a]\n"
        "primary:\n  epochs: 100\nsources: [b]\n",
    )
    with pytest.raises(ConfigurationError) as error:
        load_config(path)
    assert str(error.value).splitlines() == [
        f"{path}: primary: is given at line 4 and again at line 8. Keep one.",
        f"{path}: sources: is given at line 7 and again at line 10. Keep one.",
        f"{path}: primary.layers.network: is given at line 6 and again at line 6. Keep one.",
    ]


def test_a_merged_key_may_be_given_again():
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_aliases_that_would_fill_the_memory_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigurationError, match=r"line \d+: holds more than 20,000 values"):
        load_config(write(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a [*a]", "line 1: the alias refers to what it stands in"),
        ("a: " + "[" * 5000, "is nested deeper than"),
        ("a: " + "[" * 100 + "]" * 100, "is nested deeper than"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("? [a]\n: 1", "is not YAML"),
        ("!!int x", "no number"),
        ("a: " + "9" * 5000, "no number"),
        ("a: !!bool maybe", r"is not YAML: no !!bool"),
        ("a: !!timestamp soon", r"is not YAML: no !!timestamp"),
        ("a: !!timestamp 2001-99-99", r"is not YAML: no !!timestamp"),
        ("!!bool a: 1", r"is not YAML: no !!bool"),
        ("1: a\n0x1: b", "0x1: is given at line 1 and again at line 2"),
        ("1: a\n1.0: b", "1.0: is given at line 1 and again at line 2"),
        ("true: a\nTRUE: b", "TRUE: is given at line 1 and again at line 2"),
    ],
)
def test_documents_that_cannot_be_are_refused(text, problem):
    with pytest.raises(YamlTextError, match=problem):
        read_yaml(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20), ("1e-3", 0.001), ("true", True), ("", None), ("null", None), (" 3 ", 3), ("none", "none"),
        ("[a, b]", ["a", "b"]), ("{epochs: 3}", {"epochs": 3}), ("epochs: 3", {"epochs": 3}), ("'1'", "1"),
        ('"a # b"', "a # b"), ("runs/a #b", "runs/a #b"), ("runs/#1", "runs/#1"), ("# all", "# all"),
        ("*.png", "*.png"), ("&x", "&x"), ("!x", "!x"), ("@x", "@x"), ("%x", "%x"), ("'tis", "'tis"), ("off", "off"),
        ("it's", "it's"), ("a #: b", "a #: b"), ("C:\\x", "C:\\x"), ("- a", ["a"]), ("~/data", "~/data"),
        ("a\tb", "a\tb"),
        ('["#"]', ["#"]),
    ],
)  # fmt: skip
def test_the_value_of_an_override_is_literal_unless_it_is_a_scalar_a_list_or_a_mapping(text, value):
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["[a", "{a: 1", "[a] # b", "[a] b"])
def test_an_override_that_begins_as_a_list_must_be_one(text):
    with pytest.raises(YamlTextError, match="is not YAML"):
        read_value(text)


@pytest.mark.parametrize("text", ["!!bool maybe", "!!timestamp soon"])
def test_a_tag_that_does_not_fit_leaves_an_override_text(text):
    assert read_value(text) == text


def test_a_number_sign_in_an_override_does_not_change_the_directory(tmp_path):
    config = load_config(write(tmp_path, HEAD), ["output_root=runs/try #2", "data.dataset=2024"])
    assert config.output_root == "runs/try #2"
    assert config.data.dataset == "2024"


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert load_config(path).name == "demo"


@pytest.mark.parametrize("line", ["1: a", "null: a", "primary: {1: a}", "kubeflow: {node_selector: {on: 1}}"])
def test_keys_that_are_no_names_are_refused(tmp_path, line):
    with pytest.raises(ConfigurationError):
        load_config(write(tmp_path, f"{HEAD}{line}\n"))
