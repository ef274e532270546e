"""The model card: its figures, its limits, and what it says it was made from."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.assembler.card_figures import model_figures
from components.assembler.model_card import (
    ArtifactRecord,
    AssemblyRun,
    ExamplesRecord,
    ModelRecord,
    build_card,
    with_acceptance,
)
from components.features.parameters import InputParameters
from components.metrics.calibration import Calibration
from components.metrics.operating_point import OperatingPoint
from components.servable.card_file import CARD_FILE, read_card, write_card
from components.training import artifacts
from components.training.history import History
from components.training.trained import SplitScores, TrainedModule
from serving.servable.acceptance import Acceptance

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
SCORES = np.array([0.1, 0.2, 0.6, 0.3, 0.9, 0.7, 0.2, 0.8], np.float32)
SOURCES = np.array(["real_x"] * 4 + ["gan_a", "gan_a", "gan_b", "gan_b"])


def test_figures_are_those_of_scikit_learn_with_an_interval_around_each():
    figures = model_figures(LABELS, SCORES, SOURCES, 0.5)
    area = figures["overall"]["roc_auc"]
    assert area["value"] == pytest.approx(roc_auc_score(LABELS, SCORES))
    assert area["low"] < area["value"] < area["high"]
    assert figures["overall"]["true_positive_rate"]["value"] == 0.75
    assert figures["overall"]["false_positive_rate"]["value"] == 0.25
    # Wilson, 1 of 4, as in Newcombe 1998.
    assert figures["overall"]["false_positive_rate"]["low"] == pytest.approx(0.0456, abs=1e-4)
    assert figures["overall"]["false_positive_rate"]["high"] == pytest.approx(0.6994, abs=1e-4)


def test_calibration_is_measured_before_and_after():
    # A scale of 0.5 made 0.75 of 0.9, and 0.25 of 0.1.
    scores = np.where(LABELS, 0.75, 0.25)
    figures = model_figures(LABELS, scores, SOURCES, 0.5, Calibration(0.5, 0.0, "fitted"))["overall"]["calibration"]
    assert figures["before"] == pytest.approx(0.1)
    assert figures["after"] == pytest.approx({"value": 0.25, "low": 0.25, "high": 0.25})
    assert figures["brier"] == pytest.approx(0.0625)
    unknown = model_figures(LABELS, scores, SOURCES, 0.5)["overall"]["calibration"]
    assert unknown["before"] is None and unknown["after"]["value"] == pytest.approx(0.25)


def test_each_source_is_held_against_the_images_of_the_other_class():
    sources = model_figures(LABELS, SCORES, SOURCES, 0.5)["sources"]
    against_real = SOURCES != "gan_a"
    expected = roc_auc_score(LABELS[against_real], SCORES[against_real])
    assert sources["gan_b"]["roc_auc"]["value"] == pytest.approx(expected)
    assert sources["gan_b"]["called"]["value"] == 0.5
    assert {name: cell["images"] for name, cell in sources.items()} == {"real_x": 4, "gan_a": 2, "gan_b": 2}


def test_what_one_class_does_not_define_is_left_empty():
    figures = model_figures(LABELS[:4], SCORES[:4], SOURCES[:4], 0.5)
    assert figures["overall"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert figures["overall"]["true_positive_rate"]["value"] is None
    json.dumps(figures, allow_nan=False)


class _Weightless:
    """Stands in for a Keras model, of which the card wants the number of weights alone."""

    def count_params(self):
        return 12

    def save(self, path):
        path.write_bytes(b"")


def record(root, name, number, span, blessed=True, source=""):
    scores = {"test": SplitScores(LABELS, SCORES, SOURCES, SOURCES)}
    point = OperatingPoint(0.5, "balanced_accuracy", "fell back to 0.5: no scores" if source == "gan_b" else "chosen")
    trained = TrainedModule(_Weightless(), point, History(), scores, 1.5)
    artifacts.write_module(root / name / "model", trained, source)
    artifacts.write_run(root / name / "run", trained)
    examples = ArtifactRecord(span, "Examples", "", f"ImportExampleGen.span-{span}", "1")
    return ModelRecord(
        ArtifactRecord(number, "Model", str(root / name / "model"), name, str(number)),
        ArtifactRecord(number + 100, "ModelRun", str(root / name / "run"), name, str(number)),
        ExamplesRecord(examples, span, "fingerprint"),
        blessed,
    )


MANIFEST = {
    "digest": "d" * 64, "inputs_digest": "e" * 64, "rejected": [1, 2], "duplicates": [],
    "parameters": {"perturb": "none"},
    "splits": {"train": {"sources": {"real_x": 300, "gan_a": 40}}, "test": {"sources": {"real_x": 4, "gan_a": 2}}},
    "sources": {"real_x": {"label": 0, "formats": {"JPEG": 304}}, "gan_a": {"label": 1, "formats": {"PNG": 42}}},
    "warnings": ["The file format tells real from fake."],
}  # fmt: skip


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    return make_card(tmp_path_factory.mktemp("card"))


def make_card(root, band=None):
    """Of a primary module and gan_a on span 1, whose manifest is there, and gan_b, not blessed, on span 2."""
    (root / "dataset" / "span-1").mkdir(parents=True)
    (root / "dataset" / "span-1" / "manifest.json").write_text(json.dumps(MANIFEST))
    run = AssemblyRun("demo", "run-7", "9", "0123456789abcdef", {"tfx": "1.21.0"})
    heads = {
        "gan_a": record(root, "gan_a", 11, 1, source="gan_a"),
        "gan_b": record(root, "gan_b", 12, 2, blessed=False, source="gan_b"),
    }
    graph = ArtifactRecord(5, "TransformGraph", "", "Transform", "5")
    primary = record(root, "primary", 10, 1)
    return build_card(run, InputParameters(size=64), "instance", graph, primary, heads, root / "dataset", band)


@pytest.mark.parametrize(("band", "said"), [((0.4, 0.6), 1), ((0.7, 0.9), 2)])  # the threshold is 0.5
def test_the_band_stands_in_the_card_and_among_the_limits(card, tmp_path, band, said):
    banded = make_card(tmp_path, band)
    assert banded["uncertain_band"] == list(band)
    limits = [limit for limit in banded["known_limits"] if limit not in card["known_limits"]]
    assert len(limits) == said
    assert f"from {band[0]} to {band[1]} is called uncertain" in limits[0]
    assert all("0.5000, lies outside this band" in limit for limit in limits[1:])
    assert "uncertain" not in json.dumps(card)


@pytest.mark.parametrize(
    ("acceptance", "said", "limit"),
    [
        (
            Acceptance("max_logit", -0.5, 0.05),
            {"score": "max_logit", "threshold": -0.5, "known_rejection": 0.05},
            "of which the max_logit of all heads is below -0.5 is called unknown_generator, whatever a head claims; up "
            "to 0.05 of the eval split's images",
        ),
        (
            Acceptance("highest_head", 0.25),
            {"score": "highest_head", "threshold": 0.25, "known_rejection": None},
            "of which the highest_head of all heads is below 0.25 is called unknown_generator, whatever a head claims.",
        ),
        (
            Acceptance("energy", None, 0.05, "too few images"),
            {"score": "energy", "threshold": None, "known_rejection": 0.05, "note": "too few images"},
            "threshold on energy was configured, but none could be chosen: too few images. Each head's own",
        ),
    ],
)
def test_an_acceptance_threshold_or_its_absence_stands_in_the_card_and_among_the_limits(card, acceptance, said, limit):
    accepted = with_acceptance(card, acceptance)
    assert accepted["acceptance"] == said
    *others, last = accepted["known_limits"]
    assert others == card["known_limits"]
    assert limit in last
    assert with_acceptance(card, None) == card
    assert "acceptance" not in json.dumps(card)


def test_models_that_are_served_and_those_left_out_stand_apart(card):
    assert [model["name"] for model in card["models"]] == ["primary", "gan_a"]
    assert [model["name"] for model in card["left_out"]] == ["gan_b"]
    assert card["models"][1]["operating_point"] == {"threshold": 0.5, "rule": "balanced_accuracy", "note": "chosen"}


def test_every_span_says_what_it_holds_and_who_was_trained_on_it(card):
    first, second = card["data"]
    assert (first["span"], first["digest"], first["models"]) == (1, "d" * 64, ["primary", "gan_a"])
    assert first["sources"]["gan_a"] == {
        "label": 1, "train": 40, "eval": 0, "test": 2, "testonly": 0, "formats": {"PNG": 42},
    }  # fmt: skip
    assert (second["span"], second["sources"], second["models"]) == (2, None, ["gan_b"])


@pytest.mark.parametrize(
    "said",
    [
        "a side is below 64 pixels is refused",
        "names these generators and no others: gan_a",
        "gan_b too, but were not blessed",
        "Fewer than 200 training images in span 1 of gan_a (40)",
        "learnt in span 1 from real_x alone",
        "In span 1: The file format tells real from fake.",
        "Images of span 1 were not perturbed",
        "The manifest of span 2 was not there",
        "Fewer than 100 test images of a class for primary (4 positive, 4 negative)",
        "Probabilities of primary, gan_a are not calibrated",
    ],
)
def test_known_limits_follow_from_data_and_figures(card, said):
    assert any(said in limit for limit in card["known_limits"]), card["known_limits"]


def test_each_artifact_names_those_that_it_was_made_from(card):
    made = {artifact["role"]: artifact for artifact in card["lineage"]["artifacts"]}
    assert made["primary module"]["made_from"] == [1, 5]
    assert made["head of gan_a"]["made_from"] == [1, 5, 10]
    assert made["head of gan_b"]["made_from"] == [2, 5, 10]
    assert card["lineage"]["run_id"] == "run-7"


def test_a_card_reads_back_from_the_servable(card, tmp_path):
    assert read_card(tmp_path) is None
    write_card(card, tmp_path)
    assert read_card(tmp_path) == json.loads(json.dumps(card))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is damaged"), ('{"format_version": 99}', "of format 1, is of 99")]
)
def test_a_card_that_cannot_be_read_is_refused_by_its_path(tmp_path, text, message):
    (tmp_path / CARD_FILE).parent.mkdir()
    (tmp_path / CARD_FILE).write_text(text)
    with pytest.raises(ValueError, match=f"model_card.json: .*{message}"):
        read_card(tmp_path)
