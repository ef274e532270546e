"""What the list says of sources that are served, left out, retired, or never were run."""

import json

import pytest

from components.servable.card_file import write_card
from pipeline.config.schema import validate_config
from pipeline.sources.listing import HEADINGS, list_sources
from pipeline.sources.registry import Registry, write_registry
from pipeline.sources.versions import heads_of, newest_version, served_since
from tests.support.images import REAL, SIZE, SMOOTH, STRIPES
from tests.support.small_dataset import prepare_small


@pytest.fixture
def config(tmp_path):
    dataset = prepare_small(tmp_path / "data", {1: (REAL, SMOOTH, STRIPES)})
    values = {"name": "demo", "data": {"dataset": str(dataset)}, "output_root": str(tmp_path / "run")}
    return validate_config({**values, "input": {"size": SIZE}, "sources": [SMOOTH, "new_c"]}, "demo.yaml")


def push(config, number, *heads):
    version = config.serving_base / str(number)
    (version / "assets").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"graph")
    points = {"detection": 0.5, "sources": dict.fromkeys(heads, 0.5)}
    (version / "assets" / "operating_points.json").write_text(json.dumps(points))
    return version


def model(name, blessed=True):
    figures = {"overall": {"roc_auc": {"value": 0.875, "low": 0.8, "high": 0.9}}}
    return {
        "name": name, "span": 1, "blessed": blessed, "operating_point": {"threshold": 0.25}, "figures": figures,
    }  # fmt: skip


def test_a_head_is_served_since_the_first_version_of_those_that_have_it_without_a_gap(config):
    push(config, 9, "a", "b")
    push(config, 10, "a")
    push(config, 11, "a", "b")
    assert served_since(config.serving_base) == {"a": 9, "b": 11}
    assert heads_of(newest_version(config)) == ("a", "b")


def test_before_the_first_push_nothing_is_served(config):
    assert newest_version(config) is None
    assert served_since(config.serving_base) == {}
    row, never = list_sources(config)
    assert (row.source, row.span, row.blessed, row.served_since) == (SMOOTH, 1, None, None)
    assert sum(row.images.values()) == 6
    assert sum(never.images.values()) == 0


def test_figures_are_those_of_the_newest_versions_card(config):
    version = push(config, 9, SMOOTH)
    card = {"format_version": 1, "models": [model("primary"), model(SMOOTH)], "left_out": [model(STRIPES, False)]}
    write_card(card, version)
    write_registry(config, Registry().with_added(STRIPES, 1))
    rows = {row.source: row for row in list_sources(config)}
    assert (rows[SMOOTH].blessed, rows[SMOOTH].roc_auc, rows[SMOOTH].threshold) == (True, 0.875, 0.25)
    assert (rows[STRIPES].blessed, rows[STRIPES].served_since) == (False, None)
    assert rows[STRIPES].added is not None
    assert "primary" not in rows


def test_retired_sources_stand_behind_the_others_with_the_time(config):
    config.root.mkdir()
    write_registry(config, Registry().with_retired(SMOOTH))
    *_, last = list_sources(config)
    assert last.source == SMOOTH
    assert last.cells()[-1] == last.retired
    assert len(last.cells()) == len(HEADINGS)
    json.dumps(last.to_dict())
