"""What is refused before any work, and what a run that changes a source may do."""

import pytest
from tfx.types import standard_artifacts

from components.errors import StepRefusedError
from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.sources import change
from pipeline.sources.change import add_source, prepare_images, retire_source
from pipeline.sources.images import span_for
from pipeline.sources.registry import Registry, write_registry
from pipeline.sources.rules import ChangeRules
from pipeline.sources.served import ServedPrimary
from tests.support.images import REAL, SIZE, SMOOTH, STRIPES
from tests.support.small_dataset import prepare_small


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return prepare_small(tmp_path_factory.mktemp("prepared"), {1: (REAL, SMOOTH), 3: (REAL, SMOOTH, STRIPES)})


@pytest.fixture
def config(dataset, tmp_path):
    values = {"name": "demo", "data": {"dataset": str(dataset)}, "output_root": str(tmp_path / "run")}
    return validate_config({**values, "input": {"size": SIZE}, "sources": [SMOOTH]}, "demo.yaml")


@pytest.fixture
def pushed(monkeypatch):
    """Something is served, and nothing may run."""
    monkeypatch.setattr(change, "served_primary", lambda config, store: ServedPrimary(7, 1, "run-1"))
    monkeypatch.setattr(change, "run_alone", lambda *given: pytest.fail("the pipeline ran"))


def add(config, name, span=None):
    return add_source(config, name, span, "local", None)


def retire(config, name):
    return retire_source(config, name, "local", None)


@pytest.mark.parametrize(
    ("name", "span", "message"),
    [
        (SMOOTH, None, r"'smooth_a' is there already"),
        ("primary", None, r"must not be 'primary'"),
        ("no/name", None, r"must start with a letter"),
        ("gone_c", None, r"'gone_c' has no training image in any span .*smooth_a, stripes_b"),
        (STRIPES, 1, r"'stripes_b' has no training image in span 1\."),
        (STRIPES, 2, r"span: .* has no span 2; there are: 1, 3\."),
        (STRIPES, None, r"'stripes_b' has too few images in span 3: train \d, .*at least needed: train 10"),
    ],
)
def test_a_source_that_cannot_be_added_is_refused_before_anything_runs(config, pushed, name, span, message):
    with pytest.raises(ConfigurationError, match=message):
        add(config, name, span)


def test_camera_made_sources_get_no_head(config, pushed, monkeypatch):
    monkeypatch.setattr("pipeline.sources.images.FEWEST", {"train": 1, "eval": 0, "test": 0})
    with pytest.raises(ConfigurationError, match="'real_noise' is camera-made"):
        add(config, REAL, 1)


def test_an_unknown_source_is_not_retired(config, pushed):
    with pytest.raises(ConfigurationError, match=r"'gone_c' is none of this pipeline\. Sources there: smooth_a"):
        retire(config, "gone_c")


def test_the_last_source_is_not_retired(config, pushed):
    with pytest.raises(ConfigurationError, match=r"'smooth_a' is the last one"):
        retire(config, SMOOTH)


def test_a_source_is_retired_once(config, pushed):
    config.root.mkdir()
    write_registry(config, Registry().with_added(STRIPES, 3).with_retired(STRIPES))
    with pytest.raises(ConfigurationError, match="'stripes_b' was retired already, 20"):
        retire(config, STRIPES)


def test_without_a_pushed_version_there_is_nothing_to_add_to(config):
    with pytest.raises(ConfigurationError, match=r"nothing was pushed under .*Run genattr run CONFIG first"):
        add(config, STRIPES)


def test_the_newest_span_that_holds_a_source_is_taken(config, monkeypatch):
    monkeypatch.setattr("pipeline.sources.images.FEWEST", {"train": 1, "eval": 0, "test": 0})
    assert span_for(config, STRIPES, None) == 3
    assert span_for(config, SMOOTH, 1) == 1


def test_a_source_of_the_configuration_comes_back_on_the_span_that_this_says(config, pushed, monkeypatch, tmp_path):
    config.root.mkdir()
    write_registry(config, Registry().with_retired(SMOOTH))
    with pytest.raises(ConfigurationError, match=r"span: 'smooth_a' is a source of the configuration.*span 1, got 3"):
        add(config, SMOOTH, 3)
    with pytest.raises(ConfigurationError, match="images: 'smooth_a' is a source of the configuration"):
        prepare_images(config, SMOOTH, tmp_path)
    ran = []
    monkeypatch.setattr(change, "_run", lambda config, registry, primary, name, span, *how: ran.append(span))
    add(config, SMOOTH)
    assert ran == [1], "the newest span that holds it is 3"


def test_an_added_source_comes_back_on_the_span_that_it_had(config, pushed, monkeypatch):
    monkeypatch.setattr("pipeline.sources.images.FEWEST", {"train": 1, "eval": 0, "test": 0})
    config.root.mkdir()
    bare = config.model_copy(update={"sources": ()})
    write_registry(bare, Registry().with_added(SMOOTH, 1).with_retired(SMOOTH))
    ran = []
    monkeypatch.setattr(change, "_run", lambda config, registry, primary, name, span, *how: ran.append(span))
    add(bare, SMOOTH)
    add(bare, SMOOTH, 3)
    assert ran == [1, 3]


def test_images_that_do_not_hold_the_source_are_refused_before_they_are_prepared(config, tmp_path):
    (tmp_path / "tree" / "fake" / "other_c").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"holds no folder fake/stripes_b; there are: other_c"):
        prepare_images(config, STRIPES, tmp_path / "tree")
    assert not (config.dataset / "span-4").exists()


def blessing(value):
    artifact = standard_artifacts.ModelBlessing()
    artifact.set_int_custom_property("blessed", value)
    return {"blessing.stripes_b": [artifact]}


@pytest.mark.parametrize("node", ["PrimaryTrainer", "SecondaryTrainer.smooth_a", "BaselineTrainer.notl.detection"])
@pytest.mark.parametrize("added", [STRIPES, None])
def test_no_other_model_may_be_trained(config, node, added):
    with pytest.raises(StepRefusedError, match=f"{node} would train again.*genattr run CONFIG first"):
        ChangeRules(config, added).before_execution(node, {})


@pytest.mark.parametrize("node", ["SecondaryTrainer.stripes_b", "Evaluator.stripes_b", "Pusher"])
def test_the_new_head_may_be_trained_judged_and_pushed(config, node):
    ChangeRules(config, STRIPES).before_execution(node, {})


def test_nothing_is_assembled_without_the_head_that_was_asked_for(config):
    rules = ChangeRules(config, STRIPES)
    rules.before_execution("Assembler", blessing(1))
    with pytest.raises(StepRefusedError, match="head of 'stripes_b' is not blessed"):
        rules.before_execution("Assembler", blessing(0))


def test_another_run_under_the_same_root_is_waited_for(config, pushed):
    from pipeline.runs.local import only_run

    with only_run(config.root), pytest.raises(ConfigurationError, match="another run works under"):
        add(config, STRIPES)
