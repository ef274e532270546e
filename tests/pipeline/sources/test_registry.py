"""The registry of sources: what it does to a configuration, and how it is kept."""

import json

import pytest

from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.sources.registry import Registry, read_registry, registry_file, with_registered_sources, write_registry
from tests.support.images import REAL, SIZE, SMOOTH, STRIPES
from tests.support.small_dataset import prepare_small


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Spans 1 and 3: smooth_a is in both, stripes_b in span 3 alone."""
    return prepare_small(tmp_path_factory.mktemp("prepared"), {1: (REAL, SMOOTH), 3: (REAL, SMOOTH, STRIPES)})


def configured(dataset, root, span=None, sources=(SMOOTH,)):
    values = {"name": "demo", "data": {"dataset": str(dataset), "span": span}, "output_root": str(root)}
    root.mkdir(exist_ok=True)
    return validate_config({**values, "input": {"size": SIZE}, "sources": list(sources)}, "demo.yaml")


def spans(config) -> dict[str, int | None]:
    return {source.name: source.span for source in config.sources}


def test_without_a_registry_a_configuration_stays_what_it_is(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run")
    assert with_registered_sources(config) is config


def test_an_added_source_stands_behind_those_of_the_configuration_with_its_span(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run", span=1)
    write_registry(config, Registry().with_added(STRIPES, 3))
    assert spans(with_registered_sources(config)) == {SMOOTH: None, STRIPES: 3}


@pytest.mark.parametrize(("run_span", "expected"), [(1, 3), (3, None), (None, None)])
def test_an_added_source_is_trained_as_all_others_once_a_run_reads_a_newer_span_that_holds_it(
    dataset, tmp_path, run_span, expected
):
    config = configured(dataset, tmp_path / "run", span=run_span)
    assert spans(Registry().with_added(STRIPES, 3).apply(config))[STRIPES] == expected


def test_a_newer_span_that_does_not_hold_it_leaves_an_added_source_its_own(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run", span=3)
    assert spans(Registry().with_added("gone_c", 1).apply(config))["gone_c"] == 1


def test_a_retired_source_is_left_out_and_comes_back_in_its_old_place(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run", sources=(STRIPES, SMOOTH))
    without = Registry().with_retired(STRIPES)
    assert list(spans(without.apply(config))) == [SMOOTH]
    assert spans(without.with_added(STRIPES, 3).apply(config)) == {STRIPES: None, SMOOTH: None}


def test_an_added_source_can_be_retired_and_added_again_with_another_span(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run", span=1)
    retired = Registry().with_added(STRIPES, 3).with_retired(STRIPES)
    assert list(spans(retired.apply(config))) == [SMOOTH]
    assert spans(retired.with_added(STRIPES, 4).apply(config))[STRIPES] == 4


def test_applying_it_twice_is_applying_it_once(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run", span=1)
    registry = Registry().with_added(STRIPES, 3)
    assert registry.apply(registry.apply(config)) == registry.apply(config)


def test_what_is_written_reads_back_and_leaves_no_other_file(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run")
    registry = Registry().with_added(STRIPES, 3).with_retired(SMOOTH)
    write_registry(config, registry)
    assert read_registry(config) == registry
    assert list(config.root.iterdir()) == [registry_file(config)]


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"format_version": 9, "sources": {}})])
def test_a_damaged_registry_is_refused_by_its_path(dataset, tmp_path, text):
    config = configured(dataset, tmp_path / "run")
    registry_file(config).write_text(text)
    with pytest.raises(ConfigurationError, match=r"sources\.json: is damaged"):
        read_registry(config)
