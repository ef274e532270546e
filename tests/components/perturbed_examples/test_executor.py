"""Perturbed copies of a split, made by the executor as TFX calls it."""

import json

import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components.examples import names
from components.perturbed_examples.executor import PerturbedExamplesExecutor


def _examples(uri, splits):
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(uri), artifact_utils.encode_split_names(splits)
    return artifact


def _records(uri, split):
    files = sorted(str(file) for file in (uri / f"Split-{split}").iterdir())
    return [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files, "GZIP")]


def _value(example, name):
    return example.features.feature[name].bytes_list.value[0].decode()


@pytest.fixture(scope="module")
def copied(prepared_dataset, tmp_path_factory):
    """The test split of span 1 (images of 40 px, window of 32) and its copies."""
    folder = tmp_path_factory.mktemp("perturbed")
    (folder / "examples").mkdir()
    (folder / "examples" / "Split-test").symlink_to(prepared_dataset / "span-1" / "test")
    written = _examples(folder / "copies", [])
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=FnApiRunner"], tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    PerturbedExamplesExecutor(context).Do(
        {"examples": [_examples(folder / "examples", ["test"])]},
        {"perturbed": [written]},
        {"split": "test", "perturbations": json.dumps(["jpeg_75", "resize_0.5"]), "size": 32},
    )
    return _records(folder / "examples", "test"), _records(folder / "copies", "test"), written


def test_every_image_is_there_as_it_was(copied):
    originals, copies, _ = copied
    clean = {_value(one, names.PATH): one for one in copies if _value(one, names.PERTURBATION) == "clean"}
    assert len(clean) == len(originals)
    for original in originals:
        one = clean[_value(original, names.PATH)]
        for name in (names.IMAGE_BYTES, names.LABEL, names.SOURCE):
            assert one.features.feature[name] == original.features.feature[name]


def test_every_image_has_its_jpeg_copy_with_its_label_and_source(copied):
    originals, copies, _ = copied
    jpegs = {_value(one, names.PATH): one for one in copies if _value(one, names.PERTURBATION) == "jpeg_75"}
    assert set(jpegs) == {_value(original, names.PATH) for original in originals}
    for original in originals:
        one = jpegs[_value(original, names.PATH)]
        assert one.features.feature[names.IMAGE_BYTES].bytes_list.value[0].startswith(b"\xff\xd8\xff")
        assert one.features.feature[names.LABEL] == original.features.feature[names.LABEL]


def test_copies_smaller_than_the_window_are_left_out_and_counted(copied):
    originals, copies, written = copied
    assert {_value(one, names.PERTURBATION) for one in copies} == {"clean", "jpeg_75"}
    assert json.loads(written.get_string_custom_property("copies_too_small")) == {"resize_0.5": len(originals)}


def test_the_artifact_says_what_it_holds(copied):
    _, _, written = copied
    assert artifact_utils.decode_split_names(written.split_names) == ["test"]
    assert written.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
