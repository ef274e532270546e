"""`genattr ship` on a servable that knows its answers by heart."""

import json

import pytest

from components.servable.card_file import write_card
from pipeline.cli.main import main
from pipeline.model_card.shipped_answers import ANSWERS_FILE, PER_SOURCE, sample_answers
from serving import contract
from serving.servable.trained_on import TrainedOn, TrainingSource
from tests.pipeline.model_card.test_describe import CARD, FIGURES
from tests.support.small_servable import export_servable

PLACE = "/machine/runs/faces/pipeline/PrimaryTrainer/model/6"
STATED = TrainedOn(
    "demo", "web", "2026-12-01", "for research only", (TrainingSource("gan_a", "fake", 40, "made here"),)
)
METRICS = {
    "images": 8,
    "dataset": {"path": "/machine/data/faces_model", "splits": {"test": 8, "testonly": 0}},
    "models": [
        {
            "name": "primary",
            "results": {
                "blur": {"overall": {"images": 8, "roc_auc": 0.625, **dict.fromkeys(
                    ("average_precision", "tpr_at_fpr_1", "tpr_at_fpr_5", "eer", "ece"))}}
            },
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A pushed version with card, lineage and statement."""
    version = tmp_path_factory.mktemp("runs") / "serving" / contract.DEFAULT_MODEL_NAME / "1796084230"
    export_servable(version)
    lineage = {**CARD["lineage"], "artifacts": [{**CARD["lineage"]["artifacts"][0], "uri": PLACE}]}
    write_card({**CARD, "lineage": lineage}, version)
    points = {"detection": 0.5, "sources": {"gan_a": 0.6}, "input": {"size": 16, "representation": "pixel"}}
    for place, text in {
        contract.TRAINED_ON: STATED.to_json(),
        contract.ASSET_OPERATING_POINTS: json.dumps(points),
        "assets.extra/lineage.json": json.dumps({"model_artifact": "17", "model_uri": PLACE}),
    }.items():
        (version / place).parent.mkdir(exist_ok=True)
        (version / place).write_text(text)
    return version


@pytest.fixture(scope="module")
def shipped(pushed, tmp_path_factory):
    """Directory of the models after two shipments, the first of an older version."""
    root = tmp_path_factory.mktemp("product")
    (root / "models" / "faces" / "7").mkdir(parents=True)
    (root / "models" / "faces" / "7" / "saved_model.pb").write_bytes(b"older")
    (root / "reports").mkdir()
    (root / "reports" / "metrics.json").write_text(json.dumps(METRICS))
    words = ["ship", str(pushed.parent), "faces", "--models", str(root / "models"), "--again", "make faces"]
    assert main([*words, "--evaluation", str(root / "reports"), "--json"]) == 0
    return root / "models" / "faces"


def test_the_version_is_a_base_path_of_tf_serving_and_the_only_one(shipped, pushed):
    assert sorted(path.name for path in shipped.iterdir()) == ["1796084230", "README.md", ANSWERS_FILE]
    assert (shipped / "1796084230" / "saved_model.pb").read_bytes() == (pushed / "saved_model.pb").read_bytes()


def test_nothing_in_it_names_a_place_of_the_machine_that_trained_it(shipped):
    texts = {path: path.read_bytes() for path in shipped.rglob("*") if path.is_file()}
    assert [path.name for path, text in texts.items() if b"/machine/" in text] == []
    assert not (shipped / "1796084230" / "assets.extra" / "lineage.json").exists()


@pytest.mark.parametrize(
    "said",
    [
        "# Model card: faces, version 1796084230",
        "Licence of the weights: for research only.",
        "| gan_a  | fake  | 40     | made here          |",
        "- Few images.",
        "## Measured on faces_model",
        "By genattr evaluate, on 8 images: 8 of test.",
        "| primary | blur         | 8      | 0.625   |",
        "`make faces`",
        "`genattr predict photo.jpg --model faces`",
        f"{FIGURES['overall']['roc_auc']['value']:.3f} (0.500 to 0.900)",
    ],
)
def test_the_card_says_use_terms_limits_figures_and_how_to_train_it_again(shipped, said):
    assert said in (shipped / "README.md").read_text()


def test_the_card_leaves_out_what_is_of_one_machine(shipped):
    assert "Lineage" not in (shipped / "README.md").read_text()


def test_the_answers_are_those_of_the_servable(shipped):
    answers = json.loads((shipped / ANSWERS_FILE).read_text())
    assert answers == {"version": 1796084230, "images": sample_answers(shipped)}
    assert len(answers["images"]) == 6 * PER_SOURCE
    assert all(0 < answer["fake_probability"] < 1 for answer in answers["images"].values())


@pytest.mark.parametrize(
    ("name", "licence", "message"),
    [("Faces!", "MIT", "NAME: must be lower-case letters"), ("faces", None, "does not state the licence")],
)
def test_a_model_that_cannot_be_named_or_has_no_licence_is_not_shipped(tmp_path, capsys, name, licence, message):
    version = tmp_path / "base" / "3"
    (version / "assets.extra").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"")
    (version / contract.TRAINED_ON).write_text(TrainedOn("demo", None, "2026-12-01", licence, ()).to_json())
    assert main(["ship", str(tmp_path / "base"), name, "--models", str(tmp_path / "models")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "models").exists()
