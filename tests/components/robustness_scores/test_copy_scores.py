"""Scores of copies against what the servable is known to answer."""

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts

from components.examples import names
from components.robustness_scores.copy_scores import read_copy_scores, score_copies, write_copy_scores
from components.robustness_scores.executor import RobustnessScoresExecutor
from tests.support.images import encode
from tests.support.small_servable import COLOURS, GREEN, RED, export_servable

KINDS = ("clean", "jpeg_75")
# More copies than one batch holds.
IMAGES = [
    (f"{kind}/{name}_{number:02}.png", f"{kind}_{name}", int(kind == "fake"), COLOURS[name][0])
    for number in range(11)
    for kind, name in (("real", "black"), ("fake", "orange"), ("fake", "lilac"))
]


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "Format-Serving"
    export_servable(path)
    return path


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """The folder of a split, in two files; copies lie in no order, and a perturbed one is darker by half."""
    folder = tmp_path_factory.mktemp("copies") / "Split-test"
    folder.mkdir()
    rows = [(kind, *image) for kind in KINDS for image in IMAGES]
    order = np.random.default_rng(0).permutation(len(rows))
    for shard, part in enumerate(np.array_split(order, 2)):
        with tf.io.TFRecordWriter(str(folder / f"data_tfrecord-{shard}.gz"), "GZIP") as writer:
            for row in part:
                kind, path, source, label, colour = rows[row]
                pixels = np.full((8, 8, 3), colour, np.uint8) // (1 if kind == "clean" else 2)
                texts = {names.PERTURBATION: kind, names.PATH: path, names.SOURCE: source}
                feature = {
                    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
                    for name, text in texts.items()
                }
                feature[names.IMAGE_BYTES] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encode(pixels)]))
                feature[names.LABEL] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return folder


@pytest.fixture(scope="module")
def scores(servable, copies):
    return score_copies(servable, [str(file) for file in copies.iterdir()])


def test_every_copy_is_there_once_by_kind_and_path(scores):
    expected = sorted((kind, path) for kind in KINDS for path, *_ in IMAGES)
    assert list(zip(scores.perturbation.tolist(), scores.path.tolist(), strict=True)) == expected


def test_label_source_and_answers_stay_with_their_copy(scores):
    known = {path: (source, label, colour) for path, source, label, colour in IMAGES}
    assert scores.heads.tolist() == [RED, GREEN]
    for row, path in enumerate(scores.path.tolist()):
        source, label, colour = known[path]
        seen = np.array(colour) // (1 if scores.perturbation[row] == "clean" else 2)
        assert (scores.source[row], scores.label[row]) == (source, label)
        # The small servable's answer is the brightness; its heads look at red and at green.
        assert scores.fake_probability[row] == pytest.approx(seen.mean() / 255, abs=1e-6)
        assert scores.source_probabilities[row] == pytest.approx(seen[:2] / 255, abs=1e-6)


def test_the_file_gives_back_what_was_written(scores, tmp_path):
    write_copy_scores(scores, tmp_path / "scores")
    again = read_copy_scores(tmp_path / "scores")
    for name, values in vars(scores).items():
        assert np.array_equal(getattr(again, name), values), name


def test_no_copies_are_refused(servable):
    with pytest.raises(ValueError, match="must hold at least one copy, got 0 files"):
        score_copies(servable, [])


def test_the_step_scores_the_split_it_is_told(servable, copies, scores, tmp_path):
    examples, model, written = (
        kind() for kind in (standard_artifacts.Examples, standard_artifacts.Model, standard_artifacts.InferenceResult)
    )
    examples.uri, examples.split_names = str(copies.parent), artifact_utils.encode_split_names(["test"])
    model.uri, written.uri = str(servable.parent), str(tmp_path / "scores")
    RobustnessScoresExecutor().Do(
        {"model": [model], "perturbed": [examples]}, {"scores": [written]}, {"split": "test", "source_digest": ""}
    )
    assert np.array_equal(read_copy_scores(tmp_path / "scores").fake_probability, scores.fake_probability)
