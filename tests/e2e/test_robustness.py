"""A primary module that is judged on perturbed copies as well: what is measured, and that the gate counts."""

import pytest

from tests.e2e.conftest import Recorder, small_configuration

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def judged(dataset, tmp_path_factory):
    """A run without heads that judges the primary module on two kinds of copies: configuration, outcome, states."""
    from pipeline.config import validate_config
    from pipeline.local import run_pipeline

    values = small_configuration(dataset, tmp_path_factory.mktemp("robustness") / "run", sources=())
    values["primary"]["epochs"] = 1
    values["evaluation"]["perturbations"] = {"jpeg_75": {"min_roc_auc": 0.0}, "noise_10": {}}
    config, recorder = validate_config(values, "test"), Recorder()
    return config, run_pipeline(config, "beam", recorder), recorder.ended


def test_the_copies_are_made_and_judged_before_anything_is_assembled(judged):
    _, outcome, ended = judged
    assert outcome.error is None, outcome.report.message
    order = list(ended)
    assert order.index("PerturbedExamples") < order.index("RobustnessEvaluator") < order.index("Assembler")


def test_each_kind_of_copies_has_figures_of_its_own(judged):
    import tensorflow_model_analysis as tfma

    from pipeline.lineage import read_run
    from pipeline.metadata_store import open_store

    config, outcome, _ = judged
    records = read_run(open_store(config), config.name, outcome.report.run_id)
    evaluation = records["RobustnessEvaluator"].output("evaluation")
    counts = {
        dict(slice_key)["perturbation"]: metrics[""][""]["example_count"]["doubleValue"]
        for slice_key, metrics in tfma.load_eval_result(str(evaluation.path)).slicing_metrics
    }
    images = sum(outcome.report.data.counts["test"].values())
    assert counts == {"clean": images, "jpeg_75": images, "noise_10": images}
    assert records["RobustnessEvaluator"].output("blessing").properties["blessed"] == 1
