"""Which anomalies stop a run: on hand-made protos, and on what TFDV itself makes of small datasets."""

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.example_validator.anomalies import content_findings, schema_findings
from components.examples import names


def rows(split: str, count: int = 30, **changes) -> pd.DataFrame:
    """A split as a table: one row an image, half of them real; `changes` replace columns, None removes one."""
    fakes = [number % 2 for number in range(count)]
    columns = {
        names.IMAGE_BYTES: [b"\x89PNG\xff" + f"{split} {number}".encode() for number in range(count)],
        names.LABEL: fakes,
        names.SOURCE: ["progan_a" if fake else "real_x" for fake in fakes],
        names.ARCHITECTURE: ["progan" if fake else "real" for fake in fakes],
        names.PATH: [f"{split}/{number}.png" for number in range(count)],
        names.FORMAT: ["PNG"] * count,
        names.HEIGHT: [128] * count,
        names.WIDTH: [128] * count,
    } | changes
    return pd.DataFrame({name: values for name, values in columns.items() if values is not None})


def statistics_of(table: pd.DataFrame) -> statistics_pb2.DatasetFeatureStatisticsList:
    return tfdv.generate_statistics_from_dataframe(table, n_jobs=1)


def contents(**splits: pd.DataFrame) -> list[str]:
    return content_findings({name: statistics_of(table).datasets[0] for name, table in splits.items()})


@pytest.fixture(scope="module")
def schema():
    return tfdv.infer_schema(statistics_of(rows("train")), infer_feature_shape=True)


def against(schema, table: pd.DataFrame) -> list[str]:
    return schema_findings("eval", tfdv.validate_statistics(statistics_of(table), schema))


# --- against the schema of the train split ---


def test_a_split_like_the_train_split_has_no_finding_though_all_paths_are_new(schema):
    assert against(schema, rows("eval")) == []


def test_the_paths_would_be_an_anomaly_if_they_were_not_let_through(schema):
    anomalies = tfdv.validate_statistics(statistics_of(rows("eval")), schema)
    assert names.PATH in anomalies.anomaly_info  # else the test above says nothing


def test_a_new_file_format_is_no_finding(schema):
    assert against(schema, rows("eval", format=["PNG"] * 28 + ["WEBP"] * 2)) == []


def test_a_source_that_the_train_split_does_not_hold_is_a_finding(schema):
    sources = ["progan_a", "real_x"] * 14 + ["stylegan_new", "real_x"]
    (finding,) = against(schema, rows("eval", source=sources))
    assert finding.startswith(f"split 'eval': feature '{names.SOURCE}': ")
    assert "stylegan_new" in finding


def test_a_missing_feature_is_a_finding(schema):
    (finding,) = against(schema, rows("eval", label=None))
    assert finding.startswith(f"split 'eval': feature '{names.LABEL}': ")


def test_a_feature_of_another_type_is_a_finding(schema):
    findings = against(schema, rows("eval", height=["tall"] * 30))
    assert any(f"feature '{names.HEIGHT}'" in finding for finding in findings)


def test_a_path_of_another_type_is_a_finding(schema):
    findings = against(schema, rows("eval", path=list(range(30))))
    assert any(f"feature '{names.PATH}'" in finding for finding in findings)


def test_an_anomaly_of_the_whole_dataset_is_a_finding():
    anomalies = anomalies_pb2.Anomalies()
    anomalies.dataset_anomaly_info.description = "Low num examples"
    assert schema_findings("test", anomalies) == ["split 'test': Low num examples"]


# --- the content of the splits ---


def test_splits_that_can_be_learnt_from_have_no_finding():
    assert contents(train=rows("train"), eval=rows("eval")) == []


@pytest.mark.parametrize(("label", "kind", "other"), [(1, "fake", "real"), (0, "real", "fake")])
def test_a_split_of_a_single_class_says_which_one_is_missing(label, kind, other):
    assert contents(eval=rows("eval", label=[label] * 30)) == [
        f"split 'eval': holds only {kind} images; a detector needs {other} ones as well."
    ]


@pytest.mark.parametrize(("labels", "low", "high"), [([0, 2], 0, 2), ([-1, 1], -1, 1), ([7, 7], 7, 7), ([1, 2], 1, 2)])
def test_labels_other_than_0_and_1_are_a_finding_with_the_values_found(labels, low, high):
    (finding,) = contents(train=rows("train", label=labels * 15))
    assert finding.endswith(f"labels must be 0 (real) or 1 (fake), found values from {low} to {high}.")


def test_all_missing_features_are_named_at_once():
    (finding,) = contents(train=rows("train", architecture=None, width=None))
    assert finding == "split 'train': feature architecture, width is missing; prepare the dataset again."


def test_an_empty_split_is_a_finding():
    assert content_findings({"test": statistics_pb2.DatasetFeatureStatistics()}) == ["split 'test': holds no image."]


def test_each_bad_split_is_named():
    findings = contents(train=rows("train"), test=rows("test", label=[1] * 30), eval=rows("eval", label=[0] * 30))
    assert [finding.split(":")[0] for finding in findings] == ["split 'eval'", "split 'test'"]
