"""Every task and mode through the whole pipeline: baselines, architectures, grey pixels, warm start."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.e2e.conftest import CONFIGURED, LATER, SIZE, Recorder, small_configuration

pytestmark = pytest.mark.e2e

ONCE = {"epochs": 1, "batch_size": 16}
BASELINES = [
    {"architecture": "gdaconv", "task": "detection", "training": ONCE},
    {"architecture": "gdaconv", "task": "multiclass", "training": ONCE},
    {"architecture": "postpool", "task": "attribution", "training": ONCE},
    {"architecture": "notl", "task": "multiclass", "training": {**ONCE, "sampling": "balanced"}},
]


def run(values):
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    recorder = Recorder()
    outcome = run_pipeline(validate_config(values, "test"), "local", recorder)
    assert outcome.error is None, outcome.report.message
    return outcome, recorder.ended


@pytest.fixture(scope="module")
def beside_baselines(first_run):
    """The pipeline of the first run, whose own nodes come from the cache, with baselines added."""
    values, _, _ = first_run
    # Another test may have prepared a later span meanwhile.
    return run({**values, "data": {**values["data"], "span": 1}, "baselines": BASELINES})


def test_baselines_are_trained_beside_a_servable_that_stays_as_it_is(beside_baselines, first_run):
    outcome, states = beside_baselines
    executed = {node for node, state in states.items() if state == "executed"}
    assert executed == {
        "BaselineTrainer.gdaconv.detection",
        "BaselineTrainer.gdaconv.multiclass",
        *(f"BaselineTrainer.postpool.attribution.{source}" for source in CONFIGURED),
        "BaselineTrainer.notl.multiclass",
    }
    assert outcome.report.servable == first_run[1].report.servable


def test_one_report_compares_them_on_the_same_images(beside_baselines, dataset):
    from pipeline.report.comparison import compare

    outcome, _ = beside_baselines
    report = outcome.report
    compared = compare(report.models, report.baselines, report.combined)
    assert [row.model for row in compared.detection] == [
        "proposed",
        "gdaconv, detection",
        "gdaconv, multiclass",
        "notl, multiclass",
    ]
    assert {row.question for row in compared.attribution} == set(CONFIGURED)
    assert [row.model for row in compared.multiclass] == [
        "proposed, heads combined",
        "gdaconv, softmax",
        "notl, softmax",
    ]
    counts = json.loads((dataset / "span-1" / "manifest.json").read_text())["splits"]["test"]["sources"]
    unknown = counts.pop(LATER)  # a generator that no class stands for
    assert {row.images for row in compared.multiclass} == {sum(counts.values())}
    assert {row.left_out for row in compared.multiclass} == {unknown}
    text = outcome.report_path.read_text()
    assert "Comparison with baselines" in text and "postpool, attribution" in text


def test_a_softmax_has_an_output_for_real_and_for_each_source(beside_baselines, first_run):
    from components.training import artifacts
    from pipeline.config.schema import validate_config
    from pipeline.metadata.lineage import newest_models
    from pipeline.metadata.store import open_store

    config = validate_config(first_run[0], "test")
    folder = newest_models(open_store(config), config.root)["BaselineTrainer.notl.multiclass"]
    assert artifacts.read_description(folder).classes == ("real", *CONFIGURED)
    assert artifacts.read_model(folder).output_shape == (None, 1 + len(CONFIGURED))


# --- architectures, and grey pixels ---


@pytest.fixture(scope="module")
def of_architectures(image_tree, tmp_path_factory):
    """Two sources of one architecture, a head for both, on grey pixels."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    root = tmp_path_factory.mktemp("architectures")
    shutil.copytree(image_tree, root / "images")
    source = root / "images" / "fake" / "nearest_demo"
    (root / "images" / "fake" / "nearest_late").mkdir()
    for image in sorted(source.iterdir())[::2]:
        image.rename(root / "images" / "fake" / "nearest_late" / image.name)
    prepare(root / "images", root / "dataset", PreparationParameters(size=SIZE))
    values = {
        **small_configuration(root / "dataset", root / "run", ("nearest",)),
        "input": {"size": SIZE, "representation": "pixel", "colour": "grey"},
        "attribution_level": "architecture",
        "baselines": [{"architecture": "notl", "task": "attribution", "training": ONCE}],
    }
    return values, *run(values)


def test_a_head_for_an_architecture_learns_and_is_judged_on_all_its_sources(of_architectures):
    _, outcome, _ = of_architectures
    (head,) = [model for model in outcome.report.models if model.name == "nearest"]
    for scores in head.scores:
        assert set(scores.sources[scores.labels == 1]) == {"nearest_demo", "nearest_late"}
        assert not {"nearest_demo", "nearest_late"} & set(scores.sources[scores.labels == 0])
        # TFMA's labels are those of the same images: its area equals ours.
    (test,) = [scores for scores in head.scores if scores.split == "test"]
    from components.metrics.scores import roc_auc

    assert head.metrics["roc_auc"] == pytest.approx(roc_auc(test.labels, test.scores), abs=2e-3)


def test_the_servable_names_the_architecture_and_reads_grey_pixels(of_architectures):
    _, outcome, _ = of_architectures
    servable = tf.saved_model.load(outcome.report.servable)
    described = json.loads((Path(outcome.report.servable) / "assets" / "operating_points.json").read_text())
    assert (described["level"], described["input"]["colour"]) == ("architecture", "grey")
    image = tf.io.encode_png(np.zeros((SIZE, SIZE, 3), np.uint8))
    answer = servable.signatures["serving_default"](image_bytes=tf.stack([image]))
    assert answer["source_names"].numpy().tolist() == [[b"nearest"]]
    rows, columns, counts = outcome.report.confusion
    assert "nearest" in rows and "nearest" in columns and counts.sum() > 0


# --- warm start ---


@pytest.fixture(scope="module")
def continued(first_run, image_tree, tmp_path_factory):
    """A run that goes on from the first run's models with perturbed images; two workers train the primary module."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    root = tmp_path_factory.mktemp("continued")
    prepare(image_tree, root / "dataset", PreparationParameters(size=SIZE, perturb="multi"))
    started_from, _, _ = first_run
    # Calibrated anew on perturbed images, the last layer would not be the earlier one's.
    training = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-12, "calibration": "none"}
    values = {
        **small_configuration(root / "dataset", root / "run"),
        "primary": {**training, "strategy": "multi_worker", "workers": 2},
        "secondary": training,
        "warm_start": started_from["output_root"],
    }
    return values, *run(values)


def test_a_warm_start_begins_with_the_earlier_weights_and_the_configured_learning_rate(first_run, continued):
    """At a learning rate near zero the weights stay where they came from; the earlier rate would have moved them."""
    from components.training import artifacts
    from pipeline.config.schema import validate_config
    from pipeline.metadata.lineage import newest_models
    from pipeline.metadata.store import open_store

    configs = [validate_config(run[0], "test") for run in (first_run, continued)]
    earlier, later = (newest_models(open_store(config), config.root) for config in configs)
    for node in ("PrimaryTrainer", *(f"SecondaryTrainer.{source}" for source in CONFIGURED)):
        before, after = (trainable(artifacts.read_model(models[node])) for models in (earlier, later))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)


def trainable(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize(
    ("warm_start", "message"), [("own", "must be the output root of another run"), ("empty", "no finished")]
)
def test_a_warm_start_from_nothing_is_refused_before_any_node_runs(first_run, tmp_path, warm_start, message):
    from pipeline.config.schema import ConfigurationError, validate_config
    from pipeline.runs.local import run_pipeline

    values, _, _ = first_run
    folder = {"own": values["output_root"], "empty": str(tmp_path / "empty")}[warm_start]
    with pytest.raises(ConfigurationError, match=message):
        run_pipeline(validate_config({**values, "warm_start": folder}, "test"), "local", Recorder())
