"""What a dataset does not hold is refused, with what it does hold, before anything runs."""

import json
import shutil

import pytest

from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.runs.dataset_check import require_dataset, with_resolved_span
from tests.support.images import REAL, SIZE, SMOOTH, STRIPES
from tests.support.small_dataset import prepare_small

MINIMAL = {"name": "demo", "data": {"dataset": "data/demo"}, "output_root": "runs/demo"}


def test_a_dataset_that_is_not_there_is_answered_with_the_command_that_makes_it(tmp_path):
    config = validate_config({**MINIMAL, "data": {"dataset": str(tmp_path / "absent")}}, "demo.yaml")
    with pytest.raises(ConfigurationError, match=r"data\.dataset: .*absent is not a folder.*genattr prepare"):
        require_dataset(config)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset of 32 px with spans 1 and 3; smooth_a is in both, stripes_b in span 3 alone."""
    return prepare_small(tmp_path_factory.mktemp("prepared"), {1: (REAL, SMOOTH), 3: (REAL, SMOOTH, STRIPES)})


def asked_of(dataset, span=None, size=SIZE, sources=()):
    return validate_config(
        {
            **MINIMAL,
            "data": {"dataset": str(dataset), "span": span},
            "input": {"size": size},
            "sources": list(sources),
        },
        "demo.yaml",
    )


@pytest.mark.parametrize(
    ("span", "sources"),
    [(None, [SMOOTH, STRIPES]), (1, [SMOOTH]), (3, [STRIPES]), (1, [SMOOTH, {"name": STRIPES, "span": 3}])],
)
def test_a_dataset_that_holds_what_is_asked_for_is_accepted(dataset, span, sources):
    require_dataset(asked_of(dataset, span, sources=sources))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"span": 2}, r"data\.span: .* has no span 2; there are: span-1, span-3\."),
        (
            {"span": 1, "sources": [STRIPES]},
            r"'stripes_b' has no training image in span 1\. Sources there: real_noise",
        ),
        ({"span": 3, "sources": [{"name": STRIPES, "span": 1}]}, r"'stripes_b' has no training image in span 1"),
        ({"sources": ["smoth_a"]}, r"'smoth_a' has no training image in span 3\. Sources there: .*smooth_a"),
        ({"sources": [REAL]}, r"'real_noise' is camera-made in span 3; .* Generators there: smooth_a, stripes_b\."),
        ({"size": 64}, r"input\.size: must be at most 32, .*got 64\."),
    ],
)
def test_what_a_dataset_does_not_hold_is_refused_with_what_it_does_hold(dataset, asked, message):
    with pytest.raises(ConfigurationError, match=message):
        require_dataset(asked_of(dataset, **asked))


def of_architectures(dataset, *names):
    values = {**MINIMAL, "data": {"dataset": str(dataset)}, "input": {"size": SIZE}, "sources": list(names)}
    return validate_config({**values, "attribution_level": "architecture"}, "demo.yaml")


def test_at_architecture_level_sources_are_names_of_architectures(dataset):
    require_dataset(of_architectures(dataset, "smooth", "stripes"))


def test_at_architecture_level_the_name_of_a_source_is_refused_with_the_architectures(dataset):
    with pytest.raises(ConfigurationError, match=r"'smooth_a' has no .* Architectures .*: real, smooth, stripes\."):
        require_dataset(of_architectures(dataset, "smooth_a"))


def test_an_architecture_that_real_and_fake_sources_share_is_refused(dataset, tmp_path):
    """Its head would have to call real images the generator's."""
    shutil.copytree(dataset, tmp_path / "mixed")
    path = tmp_path / "mixed" / "span-3" / "manifest.json"
    text = path.read_text().replace(REAL, "smooth_camera")
    assert json.loads(text)
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"'smooth' is the name of real and of fake sources in span 3"):
        require_dataset(of_architectures(tmp_path / "mixed", "smooth"))


def test_a_folder_without_a_span_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"has no span.*there are: none\. Make one with genattr prepare"):
        require_dataset(asked_of(tmp_path))


def test_the_newest_span_is_written_out_and_a_named_one_kept(dataset):
    assert with_resolved_span(asked_of(dataset)) == asked_of(dataset, span=3)
    assert with_resolved_span(asked_of(dataset, span=1)) == asked_of(dataset, span=1)


def test_spans_are_compared_as_numbers(tmp_path):
    for span in ("2", "10", "9"):
        (tmp_path / f"span-{span}").mkdir()
        (tmp_path / f"span-{span}" / "manifest.json").touch()
    assert with_resolved_span(asked_of(tmp_path)).data.span == 10
