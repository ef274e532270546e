"""The recipe for few images, judged on perturbed copies as well: what is measured, and what the servable is like."""

import json

import numpy as np
import pytest
import scipy.special

from tests.e2e.conftest import CONFIGURED, Recorder, small_configuration

pytestmark = pytest.mark.e2e

KINDS = ("clean", "jpeg_75", "jpeg_95", "noise_10")


@pytest.fixture(scope="module")
def judged(dataset, tmp_path_factory):
    """A run with one head on residuals that is judged on three kinds of copies: configuration, outcome, states."""
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    values = small_configuration(dataset, tmp_path_factory.mktemp("robustness") / "run", sources=CONFIGURED[:1])
    augmentation = {"window": 32}
    values |= {
        "recipe": "few_images",
        "primary": {"epochs": 1, "passes": 2, "augmentation": augmentation},
        "secondary": {
            "epochs": 1,
            "copies": 2,
            "augmentation": augmentation,
            "distance": "mahalanobis",
            "operating_point": {"rule": "target_fpr", "target_fpr": 0.1},
        },
        "verdict": {"uncertain_band": [0.45, 0.55], "acceptance": "max_logit", "known_rejection": 0.5},
    }
    values["evaluation"]["perturbations"] = {"jpeg_75": {"min_roc_auc": 0.0}, "jpeg_95": {}, "noise_10": {}}
    config, recorder = validate_config(values, "test"), Recorder()
    return config, run_pipeline(config, "beam", recorder), recorder.ended


def test_the_copies_are_made_and_judged_before_anything_is_assembled(judged):
    _, outcome, ended = judged
    assert outcome.error is None, outcome.report.message
    order = list(ended)
    assert order.index("PerturbedExamples") < order.index("RobustnessEvaluator") < order.index("Assembler")


def test_the_servable_is_asked_about_the_copies_once_it_is_pushed(judged):
    _, outcome, ended = judged
    order = list(ended)
    assert order.index("Pusher") < order.index("RobustnessScores")
    assert ended["RobustnessScores"] == "executed"
    assert outcome.report.outcome == "pushed"


def test_every_served_model_has_scores_on_every_kind(judged):
    _, outcome, _ = judged
    copies = {kind.perturbation: kind for kind in outcome.report.copies}
    assert tuple(copies) == KINDS
    images = sum(outcome.report.data.counts["test"].values())
    for kind in copies.values():
        assert set(kind.scores) == {"primary", CONFIGURED[0]}
        assert kind.images == images == len(kind.scores["primary"].scores)
        assert kind.scores[CONFIGURED[0]].labels.sum() == outcome.report.data.counts["test"][CONFIGURED[0]]


def test_on_the_images_as_they_were_the_servable_scores_as_its_trainers_did(judged):
    _, outcome, _ = judged
    for model in outcome.report.models:
        trained = next(scores for scores in model.scores if scores.split == "test")
        served = outcome.report.copies[0].scores[model.name]
        np.testing.assert_allclose(np.sort(served.scores), np.sort(trained.scores), atol=1e-5)


def test_the_report_shows_copies_saving_alike_and_calibration(judged):
    _, outcome, _ = judged
    text = outcome.report_path.read_text(encoding="utf-8")
    section = text[text.index('<section id="robustness">') : text.index("</section>", text.index('id="robustness"'))]
    for words in ("jpeg_<wbr>75", "jpeg_<wbr>95", "noise_<wbr>10", "reached", "not set", "JPEG quality"):
        assert words in section
    assert "saved alike (JPEG 95)" in text
    assert '<section id="probabilities">' in text and "Reliability diagram of primary" in text


def test_a_machine_reads_the_same(judged):
    from pipeline.cli.run import outcome_values

    values = outcome_values(judged[1])
    assert values["robustness"]["saved_alike"]["perturbation"] == "jpeg_95"
    assert [kind["gate"] for kind in values["robustness"]["copies"]] == ["not set", "reached", "not set", "not set"]
    assert all(0 <= model["calibration"]["after"] <= 1 for model in values["models"])


def test_each_kind_of_copies_has_figures_of_its_own(judged):
    import tensorflow_model_analysis as tfma

    from pipeline.metadata.lineage import read_run
    from pipeline.metadata.store import open_store

    config, outcome, _ = judged
    records = read_run(open_store(config), config.name, outcome.report.run_id)
    evaluation = records["RobustnessEvaluator"].output("evaluation")
    counts = {
        dict(slice_key)["perturbation"]: metrics[""][""]["example_count"]["doubleValue"]
        for slice_key, metrics in tfma.load_eval_result(str(evaluation.path)).slicing_metrics
    }
    images = sum(outcome.report.data.counts["test"].values())
    assert counts == dict.fromkeys(KINDS, images)
    assert records["RobustnessEvaluator"].output("blessing").properties["blessed"] == 1


def test_the_servable_holds_what_the_recipe_and_the_configuration_ask_for(judged):
    config, outcome, _ = judged
    version = max(config.serving_base.iterdir())
    points = json.loads((version / "assets" / "operating_points.json").read_text())
    assert points["input"]["representation"] == "residual"
    assert points["uncertain_band"] == [0.45, 0.55]
    labels = json.loads((version / "assets" / "label_map.json").read_text())
    assert "uncertain" in labels["verdicts"]
    primary, head = outcome.report.models
    assert primary.name == "primary"
    assert primary.calibration is not None
    assert "target_fpr" in head.threshold_rule
    assert "false-positive rate" in head.threshold_rule


def test_the_acceptance_threshold_is_that_of_the_scores_that_the_trainers_left(judged):
    from components.training import artifacts
    from pipeline.cli.run import outcome_values
    from pipeline.config.nodes import trainer_of
    from pipeline.metadata.lineage import read_run
    from pipeline.metadata.store import open_store

    config, outcome, _ = judged
    records = read_run(open_store(config), config.name, outcome.report.run_id)
    head = artifacts.read_scores(records[trainer_of(CONFIGURED[0])].output("model_run").path)["eval"]
    primary = artifacts.read_scores(records[trainer_of("primary")].output("model_run").path)["eval"]
    detection = np.float32(outcome.report.models[0].threshold)
    fake = {path for path, score in zip(primary.paths, primary.scores, strict=True) if score >= detection}
    own = [path in fake and source == CONFIGURED[0] for path, source in zip(head.paths, head.sources, strict=True)]
    logits = np.sort(scipy.special.logit(head.scores[own].astype(np.float64)))
    version = max(config.serving_base.iterdir())
    acceptance = json.loads((version / "assets" / "operating_points.json").read_text())["acceptance"]
    assert (acceptance["score"], acceptance["known_rejection"]) == ("max_logit", 0.5)
    if len(logits) < 2:  # what one epoch of training calls fake is anybody's guess
        assert acceptance["threshold"] is None
        assert f"holds {len(logits)} images" in acceptance["note"]
    else:
        assert acceptance["threshold"] == pytest.approx(logits[len(logits) // 2], abs=1e-6)
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    assert card["acceptance"] == outcome_values(outcome)["acceptance"] == acceptance
    assert "Acceptance: " in outcome.report_path.read_text(encoding="utf-8")
