"""The files of an evaluation: whole or not at all, readable without us, and a page that nothing can break out of."""

import io
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

from components.metrics.scores import precision_recall_curve
from pipeline.evaluate.figures import evaluation_figures
from pipeline.evaluate.files import (
    FORMAT,
    file_names,
    replacing,
    require_replaceable,
    write_metrics,
    write_pictures,
    write_scores,
)
from pipeline.evaluate.pictures import confusion_png, precision_recall_png, roc_png
from pipeline.evaluate.report import render_evaluation
from pipeline.report import plots
from pipeline.report.text import share
from tests.support.servable_answers import PROGAN, REAL, SNGAN, UNSEEN, make_scores

HOSTILE = '<script>alert("x")</script>&$\\frac{1'


def document_of(scores, refused=(), path="models/1"):
    return {
        "created": "2025-01-02 03:04 UTC",
        "servable": {
            "path": path, "description": "DCT.", "heads": scores.head_names, "operating_points": {"primary": 0.5},
        },
        "dataset": {"path": "data/demo", "span": 1, "splits": {"test": 75, "testonly": 25}, "digest": None},
        "settings": {"perturbations": list(scores.answers), "seed": 0, "batch_size": 32},
        "images": scores.images.count,
        "refused": {"count": len(refused), "first": list(refused)},
        **evaluation_figures(scores),
    }  # fmt: skip


def evaluation(folder, **changes):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"format": FORMAT, **changes}))
    return folder


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)).split())


# --- the page ---


def test_the_page_says_what_the_figures_say():
    scores = make_scores(perturbations=("blur", "jpeg"), prepared=True)
    document = document_of(scores, [{"path": "fake/a/7.png", "split": "test", "reason": "is too small"}])
    page = render_evaluation(document, scores)
    text = text_of(page)
    assert page.startswith("<!DOCTYPE html>")
    overall = document["models"][0]["results"]["none"]["overall"]
    assert f"{overall['roc_auc']:.3f}" in text
    assert "100 images judged, 1 refused" in text and "is too small" in text
    contradictions = document["verdicts"]["none"]["overall"]["contradictions"]
    assert f"{contradictions['count']} of {contradictions['predicted_real']} called real" in text
    drop = document["models"][0]["results"]["jpeg"]["drop"]["roc_auc"]
    assert f"{-drop:+.3f}".replace("-", "\u2212") in text
    assert "blur+noise" in text and "Rough figures" in text
    assert page.count("<svg") == 3 * len(document["models"])


def test_the_page_says_how_many_images_are_uncertain_and_how_right_the_others_are():
    scores = make_scores(band=(0.4, 0.6))
    document = document_of(scores)
    figures = document["verdicts"]["none"]["overall"]["uncertain"]
    text = text_of(render_evaluation(document, scores))
    others = " ".join(share(figures["accuracy_of_others"]).split())
    assert f"Uncertain, because the fake probability lies from 0.4 to 0.6: {figures['count']} (" in text
    assert f"0.4 to 0.6; of the others {others} right" in text  # the tile
    assert "Uncertain" not in text_of(render_evaluation(document_of(make_scores()), make_scores()))


def test_the_page_is_self_contained_and_equal_for_equal_evaluations():
    scores = make_scores()
    page = render_evaluation(document_of(scores), scores)
    assert page == render_evaluation(document_of(scores), scores)
    assert "<script" not in page and "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert not re.search(r"url\((?!#)", page)
    assert "--series-0" in page  # the style of the run's report
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_names_from_outside_never_become_markup():
    sources = ((REAL, "test", 0), (HOSTILE, "test", 1), (PROGAN, "test", 1))
    scores = make_scores(heads=(HOSTILE,), sources=sources)
    refused = [{"path": HOSTILE, "split": "test", "reason": HOSTILE}]
    page = render_evaluation(document_of(scores, refused, path=HOSTILE), scores)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": ()},
        {"each": 0},
        {"each": 0, "heads": ()},
        {"sources": ((PROGAN, "test", 1),)},
        {"heads": ("absent",), "sources": ((UNSEEN, "testonly", 1),)},
    ],
)
def test_a_page_and_pictures_come_of_whatever_there_is(tmp_path, changes):
    scores = make_scores(**changes)
    document = document_of(scores)
    page = render_evaluation(document, scores)
    assert "nan" not in text_of(page).lower().split()
    write_pictures(tmp_path, scores, document)
    write_metrics(tmp_path, document)
    assert len(list((tmp_path / "plots").iterdir())) == 3 * (1 + len(scores.heads)) + 1


def test_beyond_a_dozen_models_cards_are_folded_away():
    scores = make_scores(heads=tuple(f"head_{number}" for number in range(12)), each=3)
    page = render_evaluation(document_of(scores), scores)
    assert "1 more models" in text_of(page)
    assert page.count("<svg") == 3 * 13


# --- pictures ---


def test_pictures_are_png_files_of_every_model_perturbation_and_verdicts(tmp_path):
    scores = make_scores(perturbations=("blur",))
    write_pictures(tmp_path, scores, document_of(scores))
    names = {file.name for file in (tmp_path / "plots").iterdir()}
    kinds = ("roc_{}", "precision_recall_{}", "confusion_{}", "confusion_{}_blur")
    expected = {kind.format(model) + ".png" for kind in kinds for model in ("primary", PROGAN, SNGAN)}
    assert names == expected | {"verdicts.png", "verdicts_blur.png"}
    for name in names:
        with Image.open(tmp_path / "plots" / name) as image:
            image.load()
            assert image.format == "PNG" and min(image.size) > 200
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def test_a_confusion_picture_is_dark_where_a_row_is_called():
    def darkness(counts):
        png = confusion_png(("a", "b"), ("a", "b"), np.array(counts), "t", "truth")
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        blue = (pixels[..., 2] - pixels[..., 0] > 40) & (pixels[..., 0] < 60)
        return np.argwhere(blue).mean(axis=0) / blue.shape

    upper_left, lower_left = darkness([[9, 0], [0, 0]]), darkness([[0, 0], [9, 0]])
    assert upper_left[0] < 0.4 and lower_left[0] > 0.5 and abs(upper_left[1] - lower_left[1]) < 0.05
    # Dark is a share of the row: nine of nine, not fifty of a hundred.
    assert (darkness([[50, 50], [0, 9]]) > [0.4, 0.5]).all()


def test_names_that_mathematics_or_fonts_choke_on_are_drawn():
    sets = {HOSTILE: (np.array([0, 1]), np.array([0.1, 0.9])), "\u4e2d\u6587": (np.array([1]), np.array([0.5]))}
    for picture in (
        roc_png(sets, HOSTILE),
        precision_recall_png(sets, HOSTILE * 9),
        confusion_png((HOSTILE, "b"), ("$x", "b"), np.eye(2), HOSTILE, "truth"),
    ):
        assert picture.startswith(b"\x89PNG")


def test_the_precision_recall_curve_is_that_of_scikit_learn():
    scores = make_scores()
    labels, values = scores.ground_truth[:, 1], scores.answers["none"].raw[:, 1]
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(labels, values)
    curve = precision_recall_curve(labels, values)
    np.testing.assert_allclose(
        curve.thresholds, thresholds[::-1]
    )  # theirs rise, and end with an extra (recall 0) point
    np.testing.assert_allclose(curve.precision, precision[-2::-1])
    np.testing.assert_allclose(curve.recall, recall[-2::-1])


def test_the_legend_of_precision_and_recall_gives_area_and_what_the_threshold_reaches():
    sets = {"all": (np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.6, 0.9])), HOSTILE: (np.array([1]), np.array([0.5]))}
    plot = plots.precision_recall_plot(sets, 0.6, "p", HOSTILE)
    assert [entry.label for entry in plot.legend] == [
        "all: average precision 0.833",
        "threshold: precision 66.7%, recall 100.0%",
        f"{HOSTILE}: no curve, one class only",
    ]
    assert ElementTree.fromstring(plot.svg).attrib["aria-label"] == HOSTILE
    assert len(plots.precision_recall_plot(sets, 0.95, "p", "").legend) == 2  # nothing is called: no point


def test_names_become_different_harmless_file_names():
    assert file_names(["primary", "../x", "..\\x", "A b", "a b", "a_b"]) == [
        "primary", ".._x", ".._x-2", "A_b", "a_b-2", "a_b-3",
    ]  # fmt: skip


# --- arrays and rows ---


def test_arrays_have_the_published_shapes_and_types_and_rows_follow_their_order(tmp_path):
    scores = make_scores(perturbations=("noise",))
    write_scores(tmp_path, scores, [{"path": "a", "reason": "is empty"}])
    for folder, name in ((tmp_path, "none"), (tmp_path / "perturbed/noise", "noise")):
        arrays = {
            file: np.load(folder / f"{file}.npy", allow_pickle=False)
            for file in ("raw_predictions", "predictions", "ground_truth")
        }
        assert {file: (array.dtype, array.shape) for file, array in arrays.items()} == {
            "raw_predictions": (np.float32, (100, 3)),
            "predictions": (np.int8, (100, 3)),
            "ground_truth": (np.int8, (100, 3)),
        }
        np.testing.assert_array_equal(arrays["raw_predictions"], scores.answers[name].raw)
        rows = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
        assert [row["path"] for row in rows] == scores.images.paths.tolist()
        assert [row["verdict"] for row in rows] == scores.answers[name].verdicts.tolist()
        assert [row["label"] for row in rows] == arrays["ground_truth"][:, 0].tolist()
        assert set(rows[0]) == {"path", "split", "source", "label", "verdict"}
    assert json.loads((tmp_path / "refused.jsonl").read_text()) == {"path": "a", "reason": "is empty"}


# --- the folder ---


def test_a_folder_that_is_new_empty_or_ours_may_be_written(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty", evaluation(tmp_path / "ours")):
        require_replaceable(folder)


@pytest.mark.parametrize("what", ["file", "other", "mixed", "foreign metrics", "dangling link"])
def test_what_is_not_ours_is_never_overwritten(tmp_path, what):
    folder = tmp_path / "report"
    if what == "file":
        folder.touch()
    elif what == "dangling link":
        folder.symlink_to(tmp_path / "nowhere")
    elif what == "other":
        folder.mkdir()
        (folder / "thesis.tex").touch()
    elif what == "mixed":
        (evaluation(folder) / "notes.txt").touch()
    else:
        evaluation(folder, format="somebody else's")
    with pytest.raises(ValueError, match=r"report: must be .*Name another one with -o"):
        require_replaceable(folder)


def test_an_earlier_evaluation_is_replaced_as_a_whole(tmp_path):
    folder = evaluation(tmp_path / "report")
    (folder / "refused.jsonl").touch()
    with replacing(folder) as inside:
        evaluation(inside / "x")
        assert (folder / "refused.jsonl").exists()  # until the new one is complete
    assert [entry.name for entry in folder.iterdir()] == ["x"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    folder = evaluation(tmp_path / "report")
    with pytest.raises(KeyboardInterrupt), replacing(folder) as inside:
        (inside / "half").touch()
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]
    assert [entry.name for entry in folder.iterdir()] == ["metrics.json"]


def test_what_appeared_meanwhile_is_not_overwritten(tmp_path):
    folder = tmp_path / "report"
    with pytest.raises(ValueError, match=r"it holds thesis\.tex"), replacing(folder):
        folder.mkdir()
        (folder / "thesis.tex").touch()
    assert [entry.name for entry in tmp_path.rglob("*")] == ["report", "thesis.tex"]
