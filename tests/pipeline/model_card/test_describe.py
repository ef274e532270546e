"""A servable described: with its card, and without one, in every format."""

import json

import pytest

from components.servable.card_file import write_card
from pipeline.cli.main import main

HOSTILE = "<script>alert(1)</script>|x"
FIGURE = {"value": 0.75, "low": 0.5, "high": 0.9}
NONE = dict.fromkeys(FIGURE)
FIGURES = {
    "split": "test",
    "overall": {
        "images": 8, "positives": 4, "roc_auc": FIGURE, "true_positive_rate": FIGURE, "false_positive_rate": FIGURE,
        "average_precision": 0.8, "balanced_accuracy": 0.7, "ece": None,
    },
    "sources": {"gan_a": {"images": 4, "label": 1, "called": FIGURE, "roc_auc": NONE}},
}  # fmt: skip
CARD = {
    "format_version": 1,
    "name": "demo",
    "level": "instance",
    "intended_use": ["For triage."],
    "input": {"representation": "dct", "colour": "grey", "size": 64},
    "data": [
        {
            "span": 3, "digest": "abc", "inputs_digest": "d", "preparation": {"crop": "center"}, "rejected": 0,
            "sources": {
                "gan_a": {"label": 1, "train": 40, "eval": 3, "test": 4, "testonly": 0, "formats": {"PNG": 47}}
            },
            "duplicates": 0, "warnings": [], "fingerprint": "f", "models": ["primary"],
        }
    ],
    "models": [
        {
            "name": "primary", "task": "detection", "span": 3, "blessed": True, "parameters": 1,
            "training_seconds": 1.0,
            "operating_point": {"threshold": 0.4, "rule": "fixed", "note": HOSTILE}, "figures": FIGURES, "artifact": 6,
        }
    ],
    "left_out": [],
    "known_limits": ["Few images."],
    "lineage": {
        "pipeline": "demo", "run_id": "run-7", "execution": "9", "source_digest": "0123",
        "versions": {"tfx": "1.21.0"},
        "artifacts": [
            {"role": "primary module", "id": 6, "type": "Model", "uri": "/m", "node": "PrimaryTrainer",
             "execution": "6", "made_from": [1, 5]}
        ],
    },
}  # fmt: skip


@pytest.fixture
def servable(tmp_path):
    version = tmp_path / "serving" / "generator_attribution" / "17"
    (version / "assets").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"graph")
    points = {"detection": 0.4, "sources": {"gan_a": 0.6}, "level": "instance"}
    (version / "assets" / "operating_points.json").write_text(json.dumps(points))
    return version


def printed(capsys, *words) -> str:
    assert main(["describe", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_the_newest_version_of_a_folder_is_described(servable, capsys):
    (servable.parent / "16").mkdir()
    (servable.parent / "16" / "saved_model.pb").write_bytes(b"older")
    assert "version 17" in printed(capsys, servable.parent)


def test_calibration_is_told_with_its_error_before_and_after(servable, capsys):
    figures = {"before": 0.2, "after": FIGURE, "by_chance": 0.1, "brier": 0.1}
    overall = {**FIGURES["overall"], "calibration": figures}
    model = {
        **CARD["models"][0],
        "figures": {**FIGURES, "overall": overall},
        "calibration": {"scale": 0.5, "shift": 0.0, "note": "fitted on 30 positive and 40 negative images"},
    }
    write_card({**CARD, "models": [model]}, servable)
    text = printed(capsys, servable)
    assert "0.750 (0.500 to 0.900); before calibration 0.200" in text
    assert "fitted on 30 positive and 40 negative images" in text


def test_a_servable_without_a_card_says_its_thresholds_and_what_is_not_known(servable, capsys):
    text = printed(capsys, servable)
    assert "| gan_a   | 0.6000    |" in text
    assert "## Not known" in text
    assert "no scores on test images" in text
    values = json.loads(printed(capsys, servable, "--json"))
    assert values["card"] is None
    assert values["operating_points"] == {"detection": 0.4, "sources": {"gan_a": 0.6}}
    assert len(values["unknown"]) == 5


@pytest.mark.parametrize(
    "said",
    [
        "# Model card: demo, version 17",
        "- For triage.",
        "- Few images.",
        "Span 3: digest abc; trained on it: primary; crop center:",
        "| gan_a  | fake  | 40    | 3    | 4    | 0        | PNG 47           |",
        "0.750 (0.500 to 0.900)",
        "| primary | 0.4000    | fixed | ",
        "Assembled in run run-7 of pipeline demo, execution 9, by code of digest 0123.",
        "| primary module | 6        | PrimaryTrainer, execution 6 | 1, 5 | /m    |",
    ],
)
def test_markdown_says_use_limits_data_figures_thresholds_and_lineage(servable, capsys, said):
    write_card(CARD, servable)
    assert said in printed(capsys, servable)


def test_no_cell_can_break_its_table_or_its_page(servable, capsys):
    write_card(CARD, servable)
    assert "alert(1)</script>\\|x |" in printed(capsys, servable)
    page = printed(capsys, servable, "--format", "html")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.startswith("<!DOCTYPE html>")


def test_a_card_is_written_where_it_is_asked_for(servable, capsys, tmp_path):
    write_card(CARD, servable)
    assert printed(capsys, servable, "--format", "html", "-o", tmp_path / "card.html") == ""
    assert "Known limits" in (tmp_path / "card.html").read_text()


def test_what_is_no_servable_is_an_error_that_names_it(capsys, tmp_path):
    assert main(["describe", str(tmp_path / "absent")]) == 1
    assert "absent: must be a directory that holds a servable" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("threshold", [-0.5, None])
def test_an_acceptance_threshold_or_its_absence_is_told_in_words_and_as_json(servable, capsys, threshold):
    path = servable / "assets" / "operating_points.json"
    acceptance = {"score": "max_logit", "threshold": threshold, "known_rejection": 0.05}
    if threshold is None:
        acceptance["note"] = "the eval split holds 3 images"
    path.write_text(json.dumps({**json.loads(path.read_text()), "acceptance": acceptance}))
    said = (
        "unknown generator below -0.5 of max_logit" if threshold else "no acceptance threshold (the eval split holds 3"
    )
    assert said in printed(capsys, servable)
    assert json.loads(printed(capsys, servable, "--json"))["acceptance"] == acceptance


def test_without_acceptance_nothing_is_said_of_it(servable, capsys):
    assert "acceptance" not in json.loads(printed(capsys, servable, "--json"))
