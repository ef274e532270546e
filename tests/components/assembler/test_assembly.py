import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from components.assembler.assembly import Candidate, assemble
from components.errors import StepRefusedError
from components.features.parameters import InputParameters
from components.features.transform import ExportedTransform
from components.models.distances import SourceDistance
from components.servable.assembly import Assembly, read_assembly
from components.servable.parameters import VerdictParameters
from components.training import artifacts
from components.training.history import History
from components.training.trained import SplitScores, TrainedModule
from tests.support import modules
from tests.support.images import SIZE, SMOOTH, STRIPES, encode, noise

INPUTS = InputParameters(representation="dct", size=SIZE)
UNBLESSED = "mixed_c"


@pytest.fixture(scope="module")
def candidates(tmp_path_factory):
    """A primary module and three heads; that of mixed_c was not blessed."""
    root = tmp_path_factory.mktemp("candidates")
    heads = {
        STRIPES: Candidate(modules.write_head(root / STRIPES, INPUTS, STRIPES, 0.3, seed=2), blessed=True),
        UNBLESSED: Candidate(modules.write_head(root / UNBLESSED, INPUTS, UNBLESSED, 0.5, seed=3), blessed=False),
        SMOOTH: Candidate(modules.write_head(root / SMOOTH, INPUTS, SMOOTH, 0.8, seed=4), blessed=True),
    }
    return Candidate(modules.write_primary(root / "primary", INPUTS), blessed=True), heads


@pytest.fixture(scope="module")
def assembled(candidates, transform_graph, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assembled")
    return folder, assemble(folder, transform_graph, INPUTS, *candidates)


def test_blessed_heads_go_in_the_given_order_and_others_stay_out(assembled, candidates):
    _, assembly = assembled
    primary, heads = candidates
    assert list(assembly.heads.items()) == [(source, str(heads[source].model)) for source in (STRIPES, SMOOTH)]
    assert assembly.left_out == [UNBLESSED]
    assert assembly.primary == str(primary.model)


def test_what_was_assembled_reads_back(assembled):
    folder, assembly = assembled
    assert read_assembly(folder) == assembly
    assert isinstance(assembly, Assembly)


def test_each_model_keeps_the_operating_point_of_its_training(assembled):
    folder, _ = assembled
    points = json.loads((folder / "Format-Serving" / "assets" / "operating_points.json").read_text())
    assert points["detection"] == modules.DETECTION_THRESHOLD
    assert list(points["sources"].items()) == [(STRIPES, 0.3), (SMOOTH, 0.8)]


def test_the_band_reaches_the_servable_and_without_one_nothing_is_said_of_it(
    assembled, candidates, transform_graph, tmp_path
):
    plain = (assembled[0] / "Format-Serving" / "assets" / "operating_points.json").read_text()
    assert "uncertain" not in plain
    assert "acceptance" not in plain
    assemble(tmp_path, transform_graph, INPUTS, *candidates, "instance", VerdictParameters(uncertain_band=(0.0, 1.0)))
    points = json.loads((tmp_path / "Format-Serving" / "assets" / "operating_points.json").read_text())
    assert points == {**json.loads(plain), "uncertain_band": [0.0, 1.0]}
    answers = modules.ask(tmp_path / "Format-Serving", [encode(noise(1)), encode(noise(2, 40, 50))])
    assert answers["verdict"].tolist() == [b"uncertain", b"uncertain"]


def test_an_acceptance_threshold_is_chosen_on_the_eval_split_and_makes_generators_unknown(
    candidates, transform_graph, tmp_path
):
    primary, heads = candidates
    scored = dict.fromkeys((STRIPES, SMOOTH), None)
    for number, source in enumerate(scored):
        # Twenty images of the source, of which one has a lower highest probability than all others.
        sources = np.array([source] * 20 + ["real_a"] * 5)
        scores = np.linspace(0.9, 0.99, 25).astype(np.float32)
        scores[0] = 0.1
        paths = np.array([f"{source}/{index}" for index in range(25)])
        split = SplitScores((sources == source).astype(np.int32), scores, sources, paths)
        trained = TrainedModule(None, None, History(), {"eval": split}, 0.0)
        artifacts.write_run(tmp_path / f"run-{number}", trained)
        heads = {**heads, source: dataclasses.replace(heads[source], run=tmp_path / f"run-{number}")}
    chosen = VerdictParameters(acceptance="highest_head", known_rejection=0.05)
    assemble(tmp_path / "model", transform_graph, INPUTS, primary, heads, "instance", chosen)
    points = json.loads((tmp_path / "model" / "Format-Serving" / "assets" / "operating_points.json").read_text())
    # Two of forty may fall below: both low ones do.
    assert points["acceptance"] == pytest.approx(float(np.linspace(0.9, 0.99, 25, dtype=np.float32)[1]))
    answers = modules.ask(tmp_path / "model" / "Format-Serving", [encode(noise(1)), encode(noise(2, 40, 50))])
    highest = answers["source_probabilities"].max(axis=1)
    fake = answers["fake_probability"] >= points["detection"]
    unknown = answers["verdict"] == b"unknown_generator"
    assert (highest < points["acceptance"]).all()
    np.testing.assert_array_equal(unknown, fake)


def write_scores(folder, labels, scores, sources, paths):
    split = SplitScores(np.asarray(labels, np.int32), np.asarray(scores, np.float32), sources, paths)
    artifacts.write_run(folder, TrainedModule(None, None, History(), {"eval": split}, 0.0))
    return folder


@pytest.fixture(scope="module")
def answered(assembled, candidates, tmp_path_factory):
    """Images, the answers without acceptance, and the candidates with these answers as scores of the eval split."""
    root = tmp_path_factory.mktemp("scored")
    images = [encode(noise(seed)) for seed in range(60)]
    answers = modules.ask(assembled[0] / "Format-Serving", images)
    sources = np.array([STRIPES] * 25 + [SMOOTH] * 25 + ["real_a"] * 10)
    paths = np.array([f"{source}/{number}" for number, source in enumerate(sources)])
    primary, heads = candidates
    fake = answers["fake_probability"].copy()
    # The primary module calls nine of them real; which answers those have is not decisive for what is tested.
    fake[:9] = 0.1
    fake[9:] = 0.9
    scored = {
        source: dataclasses.replace(
            heads[source],
            run=write_scores(
                root / source, sources == source, answers["source_probabilities"][:, column], sources, paths
            ),
        )
        for column, source in enumerate((STRIPES, SMOOTH))
    }
    run = write_scores(root / "primary", sources != "real_a", fake, sources, paths)
    return images, answers, dataclasses.replace(primary, run=run), {**heads, **scored}


@pytest.mark.parametrize("score", ["max_logit", "energy"])
def test_the_graph_rejects_the_images_that_the_threshold_was_chosen_to_reject(
    answered, transform_graph, tmp_path, score
):
    """The same images in the eval split and in the graph: what scipy rejects is unknown, all else as without it."""
    images, plain, primary, heads = answered
    verdict = VerdictParameters(acceptance=score, known_rejection=0.2)
    assemble(tmp_path, transform_graph, INPUTS, primary, heads, "instance", verdict)
    points = json.loads((tmp_path / "Format-Serving" / "assets" / "operating_points.json").read_text())
    logits = scipy.special.logit(plain["source_probabilities"].astype(np.float64))
    surest = logits.max(axis=1) if score == "max_logit" else scipy.special.logsumexp(logits, axis=1)
    known = np.sort(surest[9:50])  # of 41 known ones that the primary module calls fake, eight may fall below
    assert points["acceptance"] == {
        "score": score,
        "threshold": pytest.approx(known[8], abs=1e-9),
        "known_rejection": 0.2,
    }
    answers = modules.ask(tmp_path / "Format-Serving", images)
    rejected = (surest < known[8] - 1e-5) & (plain["fake_probability"] >= points["detection"])
    certain = np.abs(surest - known[8]) > 1e-5
    expected = np.where(rejected, b"unknown_generator", plain["verdict"])
    np.testing.assert_array_equal(answers["verdict"][certain], expected[certain])
    assert (answers["verdict"] != plain["verdict"]).any()
    np.testing.assert_array_equal(answers["source_probabilities"], plain["source_probabilities"])


@pytest.mark.parametrize("score", ["max_logit", "energy", "highest_head"])
def test_too_few_images_leave_verdicts_as_they_are_and_the_operating_points_say_why(
    answered, transform_graph, tmp_path, score
):
    images, plain, primary, heads = answered
    verdict = VerdictParameters(acceptance=score, known_rejection=0.01)
    assemble(tmp_path, transform_graph, INPUTS, primary, heads, "instance", verdict)
    said = json.loads((tmp_path / "Format-Serving" / "assets" / "operating_points.json").read_text())["acceptance"]
    assert (said["score"], said["threshold"]) == (score, None)
    count = 50 if score == "highest_head" else 41
    assert f"holds {count} images" in said["note"]
    assert "100 are needed for known_rejection 0.01" in said["note"]
    np.testing.assert_array_equal(modules.ask(tmp_path / "Format-Serving", images)["verdict"], plain["verdict"])


def test_a_head_without_scores_is_named_and_its_images_do_not_count(answered, transform_graph, tmp_path, caplog):
    _, plain, primary, heads = answered
    heads = {**heads, SMOOTH: dataclasses.replace(heads[SMOOTH], run=None)}
    verdict = VerdictParameters(acceptance="max_logit", known_rejection=0.25)
    with caplog.at_level("WARNING"):
        assemble(tmp_path, transform_graph, INPUTS, primary, heads, "instance", verdict)
    assert f"images of {SMOOTH} do not count" in caplog.text
    points = json.loads((tmp_path / "Format-Serving" / "assets" / "operating_points.json").read_text())
    known = np.sort(scipy.special.logit(plain["source_probabilities"][9:25, 0].astype(np.float64)))
    assert points["acceptance"]["threshold"] == pytest.approx(known[4], abs=1e-9)


def test_the_servable_answers_as_the_modules_on_the_exported_preprocessing(assembled, candidates, transform_graph):
    folder, _ = assembled
    primary, heads = candidates
    images = [encode(noise(1)), encode(noise(2, 40, 50))]
    answers = modules.ask(folder / "Format-Serving", images)
    transform = ExportedTransform(transform_graph)
    features = tf.function(lambda encoded: transform(encoded)["dct"])(tf.constant(images))
    model = artifacts.read_model(primary.model)
    middle = keras.Model(model.inputs, model.get_layer("dRelu_04").output)(features)
    expected = [artifacts.read_model(heads[source].model)(middle)[:, 0] for source in (STRIPES, SMOOTH)]
    np.testing.assert_allclose(answers["fake_probability"], model(features)[:, 0], atol=1e-6)
    np.testing.assert_allclose(answers["source_probabilities"], np.transpose(expected), atol=1e-6)
    assert answers["source_names"][0].tolist() == [STRIPES.encode(), SMOOTH.encode()]


def test_an_unblessed_primary_module_stops_the_run_and_writes_nothing(candidates, transform_graph, tmp_path):
    primary, heads = candidates
    with pytest.raises(StepRefusedError, match=r"primary module is not blessed.*evaluation\.detection"):
        assemble(tmp_path, transform_graph, INPUTS, Candidate(primary.model, blessed=False), heads)
    assert not list(tmp_path.iterdir())


def test_a_primary_module_that_fails_on_perturbed_copies_is_not_assembled(candidates, transform_graph, tmp_path):
    primary, heads = candidates
    with pytest.raises(StepRefusedError, match=r"missed a gate of evaluation\.perturbations"):
        assemble(tmp_path, transform_graph, INPUTS, dataclasses.replace(primary, robust=False), heads)
    assert list(tmp_path.iterdir()) == []


def test_a_heads_distance_reaches_the_servable(candidates, transform_graph, tmp_path):
    """At a distance that no image is within, nothing is claimed: what was claimed is of an unknown generator."""
    primary, heads = candidates
    head = tmp_path / "head"
    shutil.copytree(heads[STRIPES].model, head)
    nowhere = SourceDistance(np.full(32, 1e3), np.eye(32), 1.0, "far from everything")
    nowhere.write(head / artifacts.DISTANCE_FILE)
    images = [encode(noise(seed)) for seed in range(24)]
    given = {}
    for name, model in (("without", heads[STRIPES].model), ("with", head)):
        assemble(tmp_path / name, transform_graph, INPUTS, primary, {STRIPES: Candidate(model, blessed=True)})
        given[name] = modules.ask(tmp_path / name / "Format-Serving", images)
    claimed = {STRIPES.encode(): b"unknown_generator", b"contradiction": b"real"}
    assert set(given["without"]["verdict"]) & set(claimed)
    expected = [claimed.get(verdict, verdict) for verdict in given["without"]["verdict"].tolist()]
    assert given["with"]["verdict"].tolist() == expected
    np.testing.assert_array_equal(given["with"]["source_probabilities"], given["without"]["source_probabilities"])
