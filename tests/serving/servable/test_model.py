import shutil

import pytest
import tensorflow as tf

from serving import contract
from serving.errors import BadRowError, InvalidArgumentError, ServableError
from serving.servable.model import Servable, string_array
from serving.servable.rows import run_batch
from serving.servable.versions import find_version, list_versions


@pytest.fixture(scope="module")
def servable(model_base):
    return Servable(find_version(model_base))


def test_the_newest_complete_version_is_found(model_base):
    assert find_version(model_base).number == 3  # not 8, which has no graph yet, nor .pushing-9
    assert [version.number for version in list_versions(model_base)] == [3]


def test_versions_are_ordered_as_numbers(tmp_path):
    for name in ("9", "10", "x11", "-12", "1.5", str(10**20), str(2**63)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert [version.number for version in list_versions(tmp_path)] == [9, 10]


def test_a_versions_own_directory_is_accepted(model_base, tmp_path):
    assert find_version(model_base / "3").number == 3
    shutil.copytree(model_base / "3", tmp_path / "Format-Serving")
    assert find_version(tmp_path / "Format-Serving").number == 1


def test_a_directory_without_a_version_is_refused_by_name(tmp_path):
    (tmp_path / ".pushing-1").mkdir()
    with pytest.raises(ServableError, match=r"holds no version.*\.pushing-1"):
        find_version(tmp_path)
    with pytest.raises(ServableError, match="does not exist"):
        find_version(tmp_path / "nowhere")


def test_a_damaged_graph_is_refused_by_name(model_base, tmp_path):
    shutil.copytree(model_base / "3", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xffno protobuf")
    with pytest.raises(ServableError, match=r"saved_model\.pb: is no SavedModel"):
        Servable(find_version(tmp_path))


def test_a_model_without_the_contracts_signatures_is_refused_with_all_that_is_missing(tmp_path):
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
        def serve(self, image_bytes):
            return {"verdict": image_bytes}

    other = Other()
    tf.saved_model.save(other, str(tmp_path / "1"), {"serving_default": other.serve})
    with pytest.raises(ServableError) as caught:
        Servable(find_version(tmp_path))
    message = str(caught.value)
    assert "'explain' is missing" in message
    assert "'serving_default' lacks the outputs fake_probability" in message


def test_predict_answers_arrays_by_the_contracts_names(servable, images, verdicts):
    outputs = servable.predict(images)
    assert [verdict.decode() for verdict in outputs["verdict"]] == verdicts
    assert set(servable.predict(images, contract.SIGNATURE_EXPLAIN)) > set(outputs)


def test_trailing_zero_bytes_survive():
    assert string_array([b"a\x00\x00"])[0] == b"a\x00\x00"


@pytest.mark.parametrize("row", [0, 1, 5, 7])
def test_finding_a_bad_row_costs_few_runs(servable, images, undecodable, row, monkeypatch):
    runs = []
    run = Servable.run
    monkeypatch.setattr(Servable, "run", lambda self, *args: runs.append(1) or run(self, *args))
    batch = [images[0]] * 8
    batch[row] = undecodable
    with pytest.raises(BadRowError) as caught:
        run_batch(servable, "", {"image_bytes": string_array(batch)})
    assert caught.value.row == row
    assert len(runs) <= 1 + 3 + 1  # the batch, log2(8) halves, the row itself


def test_a_failure_that_no_row_repeats_is_the_batchs_own(servable, images, monkeypatch):
    run = Servable.run

    def fails_in_company(self, signature, inputs):
        if len(inputs["image_bytes"]) == 4:
            raise tf.errors.InvalidArgumentError(None, None, "too much company")
        return run(self, signature, inputs)

    monkeypatch.setattr(Servable, "run", fails_in_company)
    with pytest.raises(InvalidArgumentError, match=r"^too much company$"):
        run_batch(servable, "", {"image_bytes": string_array(images[:4])})
