"""Cross-validation: who is tested when, which configurations rows stand for, what figures are taken over, and kills."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image as PillowImage
from sklearn.metrics import roc_auc_score

from benchmarks import recipes
from benchmarks.recipe_data import EVAL_SHARE, FOLDS, Image, divide, read_tree, without
from benchmarks.recipe_results import Results, summarise
from benchmarks.recipe_rows import VARIANTS, configuration, copies_of
from benchmarks.recipe_training import FoldTraining, RowsOf, detection_figures

TREE = [
    Image(f"{kind}/{source}/{number}.png", source, label, f"{source}{number}".encode())
    for kind, label, source, count in (("real", 0, "camera", 40), ("fake", 1, "gan_a", 70), ("fake", 1, "gan_b", 33))
    for number in range(count)
]


def test_every_image_is_tested_once_and_never_where_it_was_trained_on():
    tested = []
    for fold in range(FOLDS):
        parts = divide(TREE, fold)
        names = {part: {image.path for image in images} for part, images in parts.items()}
        assert not names["test"] & (names["train"] | names["eval"])
        assert not names["train"] & names["eval"]
        assert sum(len(images) for images in parts.values()) == len(TREE)
        tested += names["test"]
    assert sorted(tested) == sorted(image.path for image in TREE)


def test_each_source_is_divided_by_itself():
    parts = divide(TREE, 0)
    assert [image.source for image in parts["test"]].count("gan_a") == 70 // FOLDS
    assert [image.source for image in parts["eval"]].count("gan_a") == 56 // EVAL_SHARE
    # By content: neither names nor other sources decide.
    alone = divide([image for image in TREE if image.source == "gan_a"], 0)["test"]
    assert alone == [image for image in parts["test"] if image.source == "gan_a"]
    hashes = sorted(hashlib.sha256(image.encoded).digest() for image in TREE if image.source == "gan_a")
    assert hashlib.sha256(alone[1].encoded).digest() == hashes[FOLDS]


def test_an_unseen_source_is_tested_and_nothing_else():
    parts = without(divide(TREE, 0), "gan_b")
    sources = {name: {image.source for image in images} for name, images in parts.items()}
    assert sources == {"train": {"camera", "gan_a"}, "eval": {"camera", "gan_a"}, "test": {"camera", "gan_a", "gan_b"}}


def test_figures_are_means_over_folds_or_of_all_images_together():
    draw = np.random.default_rng(0)
    folds, areas, of_head = [], [], []
    for _ in range(2):
        labels = np.arange(40) % 2
        fake = np.clip(0.3 * labels + draw.uniform(0, 0.7, 40), 0, 1).astype(np.float32)
        kinds = {"plain": fake, "jpeg_95": fake, "jpeg_85": 1 - fake}
        areas.append(roc_auc_score(labels, fake))
        of_head.append(float(draw.uniform()))
        primary = {**detection_figures(labels, kinds), "labels": labels.tolist(), "fake": fake.tolist()}
        head = {"roc_auc": {"plain": of_head[-1]}, "cpu_seconds": 2.0}
        folds.append({"primary": {**primary, "cpu_seconds": 1.0}, "head:gan_a": head})
    figures = summarise(folds)
    assert figures["roc_auc"]["plain"] == pytest.approx(np.mean(areas))
    assert figures["roc_auc"]["jpeg_85"] == pytest.approx(1 - np.mean(areas))
    assert figures["heads"] == {"gan_a": {"plain": pytest.approx(np.mean(of_head))}}
    assert figures["unknown_recall"] == {}
    assert figures["cpu_seconds"] == {"primary": 1.0, "heads": 2.0}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_is_a_valid_configuration(name):
    config = configuration(name)
    assert config.recipe in ("few_images", "paper", "web")
    assert ("resize_0.75" in copies_of(config)) == (config.recipe == "web")


def test_a_row_changes_what_it_says_and_overrides_win():
    plain, changed = configuration("few_images"), configuration("pixels", ["primary.epochs=2"])
    assert (plain.input.representation, changed.input.representation) == ("residual", "pixel")
    assert changed.primary == plain.primary.model_copy(update={"epochs": 2})


def test_rows_of_web_take_out_one_part_each():
    web = configuration("web")
    assert configuration("web without auxiliary").primary == web.primary.model_copy(update={"auxiliary": None})
    grid = configuration("web without grid").primary.augmentation
    assert grid == web.primary.augmentation.model_copy(update={"grid": 0.0})
    wide = configuration("web, wide on residuals")
    assert (wide.input.representation, wide.primary.layers.network) == ("residual", "wide")
    assert wide.primary.augmentation == web.primary.augmentation


def test_a_tree_without_images_is_refused(tmp_path):
    (tmp_path / "real" / "camera").mkdir(parents=True)
    with pytest.raises(SystemExit, match="holds no image"):
        read_tree(tmp_path)


def test_a_result_is_computed_once_for_the_same_fold_piece_and_identity(tmp_path):
    computed = []

    def compute():
        computed.append(1)
        return {"count": len(computed)}

    assert [Results(tmp_path, "few images", "a").get(0, "primary", compute)["count"] for _ in range(2)] == [1, 1]
    assert Results(tmp_path, "few images", "a").get(1, "primary", compute) == {"count": 2}
    assert Results(tmp_path, "few images", "b").get(0, "primary", compute) == {"count": 3}
    lines = [json.loads(line) for line in (tmp_path / "few_images.jsonl").read_text().splitlines()]
    assert [line["figures"]["count"] for line in lines] == [1, 2, 3]


def test_a_line_that_was_cut_short_is_measured_again(tmp_path):
    path = tmp_path / "web.jsonl"
    Results(tmp_path, "web", "a").get(0, "primary", lambda: {"count": 1})
    path.write_text(path.read_text()[:-9])
    assert Results(tmp_path, "web", "a").get(0, "primary", lambda: {"count": 2}) == {"count": 2}
    assert Results(tmp_path, "web", "a").get(0, "primary", lambda: {"count": 3}) == {"count": 2}


def test_rows_of_features_are_those_that_were_chosen():
    features = np.arange(12.0).reshape(6, 2)
    rows = RowsOf(features, np.array([1, 4, 5]))
    assert (len(rows), rows.shape) == (3, (3, 2))
    np.testing.assert_array_equal(rows[np.array([2, 0])], features[[5, 1]])


# --- on images ---

TINY = [
    "input.size=64", "primary.augmentation.window=32", "secondary.augmentation.window=32", "primary.epochs=2",
    "primary.passes=1", "secondary.epochs=1", "secondary.copies=2", "primary.batch_size=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A camera and two generators, 30 noisy images of 72 px each."""
    root, draw = tmp_path_factory.mktemp("tree"), np.random.default_rng(0)
    for kind, source, step in (("real", "camera", 0), ("fake", "gan_a", 2), ("fake", "gan_b", 3)):
        (root / kind / source).mkdir(parents=True)
        for number in range(30):
            pixels = draw.integers(0, 256, (72, 72, 3), np.uint8)
            if step:
                pixels[::step] //= 3
            buffer = io.BytesIO()
            PillowImage.fromarray(pixels).save(buffer, "PNG")
            (root / kind / source / f"{number}.png").write_bytes(buffer.getvalue())
    return root


def run(tree, folder, capsys, *options):
    arguments = [str(tree), "--folds", "0", "--json", "--models", str(folder / "models")]
    recipes.main([*arguments, "--results", str(folder / "results"), "--set", *TINY, *options])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.e2e
def test_a_fold_with_heads_turns_and_an_unseen_source_is_measured_once(tree, tmp_path, capsys, monkeypatch):
    options = ("--heads", "--unknown", "--unseen", "gan_b")
    first = run(tree, tmp_path, capsys, *options)
    assert set(first["roc_auc"]) == {"plain", "jpeg_95", "jpeg_85", "jpeg_75"}
    assert set(first["heads"]) == {"gan_a", "gan_b"}
    assert set(first["unseen"]) == {"unseen:gan_b", "few:gan_b:20"}  # 21 images of it are trained on
    recall = first["unseen"]["unseen:gan_b"]["unknown_recall"]
    assert set(recall) == set(first["roc_auc"])
    assert "max_logit" in recall["plain"]

    def forbidden(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(FoldTraining, "_ask", forbidden)
    monkeypatch.setattr("components.training.modules.train_primary", forbidden)
    assert run(tree, tmp_path, capsys, *options) == first


@pytest.mark.e2e
def test_a_kept_primary_module_is_not_trained_again_and_heads_are_added(tree, tmp_path, capsys, monkeypatch):
    alone = run(tree, tmp_path, capsys)
    assert alone["heads"] == {}

    def forbidden(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("components.training.modules.train_primary", forbidden)
    both = run(tree, tmp_path, capsys, "--heads")
    assert both["roc_auc"] == alone["roc_auc"]
    assert set(both["heads"]) == {"gan_a", "gan_b"}


@pytest.mark.e2e
def test_a_killed_training_goes_on_with_the_schedule_that_was_measured(tree, tmp_path, capsys, monkeypatch):
    from components.training import loop

    report = loop.report

    def killed(name, history, epoch, parameters):
        report(name, history, epoch, parameters)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "report", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tree, tmp_path, capsys, "--seconds", "3")
    plan = json.loads(next((tmp_path / "models").rglob("schedule.json")).read_text())
    monkeypatch.setattr(loop, "report", report)
    started = []
    monkeypatch.setattr(FoldTraining, "_seconds_per_pass", lambda self: started.append(1))
    run(tree, tmp_path, capsys, "--seconds", "3")
    assert not started
    line = json.loads((tmp_path / "results" / "few_images.jsonl").read_text())
    assert line["figures"]["schedule"] == {"epochs": plan["epochs"], "passes": plan["passes"]}
    assert line["figures"]["cpu_seconds"] >= plan["cpu_seconds"]
