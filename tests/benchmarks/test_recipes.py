"""Cross-validation: who is tested when, which configurations rows stand for, and what figures are taken over."""

import hashlib

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.recipes import EVAL_SHARE, FOLDS, VARIANTS, Fold, Image, configuration, divide, read_tree, summarise

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


def test_figures_are_means_over_folds_or_of_all_images_together():
    draw = np.random.default_rng(0)
    folds = []
    for _ in range(2):
        labels = np.arange(40) % 2
        fake = np.clip(0.3 * labels + draw.uniform(0, 0.7, 40), 0, 1).astype(np.float32)
        sources = np.where(labels, np.where(np.arange(40) < 20, "gan_a", "gan_b"), "camera")
        kinds = {"": fake, "jpeg_95": fake, "jpeg_85": 1 - fake, "jpeg_75": fake}
        folds.append(Fold(labels, sources, kinds, {"gan_a": kinds}, (1.0, 2.0), ()))
    figures = summarise(folds)
    areas = [roc_auc_score(fold.labels, fold.fake[""]) for fold in folds]
    assert figures["roc_auc"]["plain"] == pytest.approx(np.mean(areas))
    assert figures["roc_auc"]["jpeg_85"] == pytest.approx(1 - np.mean(areas))
    of_head = [roc_auc_score(fold.sources == "gan_a", fold.fake[""]) for fold in folds]
    assert figures["heads"]["gan_a"]["jpeg_95"] == pytest.approx(np.mean(of_head))
    assert figures["unknown_recall"] == {}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_is_a_valid_configuration(name):
    assert configuration(name).recipe in ("few_images", "paper")


def test_a_row_changes_what_it_says_and_overrides_win():
    plain, changed = configuration("few_images"), configuration("pixels", ["primary.epochs=2"])
    assert (plain.input.representation, changed.input.representation) == ("residual", "pixel")
    assert changed.primary == plain.primary.model_copy(update={"epochs": 2})


def test_a_tree_without_images_is_refused(tmp_path):
    (tmp_path / "real" / "camera").mkdir(parents=True)
    with pytest.raises(SystemExit, match="holds no image"):
        read_tree(tmp_path)
