"""The confound check of a run: what it reads from examples, and what the gate makes of it."""

import json
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tfx.types import artifact_utils, channel, standard_artifacts

from components.dataset.compression import NOT_JPEG
from components.dataset.confounds import GivenFile
from components.dataset.example_confounds import find_confounds, read_given_files
from components.dataset.parameters import ConfoundParameters
from components.errors import StepRefusedError
from components.example_validator.component import ExampleGate
from components.example_validator.executor import ExampleGateExecutor
from components.examples import names
from components.examples.records import RecordWriter, encode_example
from tests.support.images import encode, noise

FORMAT_SENTENCE = "file format alone tells real from fake for 100 % of the images"


def example(number: int, label: int, file_format: str, **changes) -> bytes:
    """One record; `changes` replace features, None removes one."""
    source = "gan_a" if label else "real_a"
    features = {
        names.IMAGE_BYTES: encode(noise(number)),
        names.LABEL: label,
        names.SOURCE: source.encode(),
        names.ARCHITECTURE: source.split("_", maxsplit=1)[0].encode(),
        names.PATH: f"{source}/{number}".encode(),
        names.FORMAT: file_format.encode(),
        names.HEIGHT: 32,
        names.WIDTH: 32,
        names.GIVEN_HEIGHT: 50,
        names.GIVEN_WIDTH: 40,
        names.COLOUR_MODE: b"RGB",
        names.COMPRESSION: b"quality 75, 4:2:0" if file_format == "JPEG" else NOT_JPEG.encode(),
        names.RECOMPRESSION: 0,
    } | changes
    return encode_example({name: value for name, value in features.items() if value is not None})


def write(path: Path, examples: list[bytes]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordWriter(path) as writer:
        for record in examples:
            writer.write(record)
    return str(path)


def recorded(path: Path, examples: list[bytes]) -> list:
    return list(read_given_files([write(path, examples)]))


def some(fake_format: str = "PNG", count: int = 20, **changes) -> list[bytes]:
    return [
        example(number, number % 2, fake_format if number % 2 else "JPEG", **changes) for number in range(2 * count)
    ]


# --- what is read ---


def test_examples_give_back_what_prepare_recorded(tmp_path):
    first, second = recorded(tmp_path / "x.gz", [example(0, 0, "JPEG"), example(1, 1, "PNG", recompression=90)])
    assert first.given == GivenFile(0, "JPEG", "quality 75, 4:2:0", (40, 50), "RGB")
    assert second.given == GivenFile(1, "PNG", NOT_JPEG, (40, 50), "RGB")
    assert (first.recompression, second.recompression) == (0, 90)


OPTIONAL = (names.GIVEN_HEIGHT, names.GIVEN_WIDTH, names.COLOUR_MODE, names.COMPRESSION, names.RECOMPRESSION)


def test_an_older_dataset_is_judged_by_what_it_records(tmp_path):
    older = recorded(tmp_path / "x.gz", some(**dict.fromkeys(OPTIONAL)))
    assert older[0].given == GivenFile(0, "JPEG", None, (32, 32), None)
    assert older[1].given == GivenFile(1, "PNG", NOT_JPEG, (32, 32), None)
    report = find_confounds(older, ConfoundParameters())
    assert [figure.property for figure in report.figures] == ["format", "resolution"]
    assert report.warnings[0].startswith(FORMAT_SENTENCE)


def test_recompression_of_all_images_alike_makes_it_a_note(tmp_path):
    findings = find_confounds(recorded(tmp_path / "x.gz", some(recompression=90)), ConfoundParameters())
    assert findings.warnings == []
    assert findings.notes[0].startswith(f"as given, {FORMAT_SENTENCE}")


def test_recompression_of_some_images_is_none(tmp_path):
    half = some(recompression=90)[:20] + some()[20:]
    assert find_confounds(recorded(tmp_path / "x.gz", half), ConfoundParameters()).warnings


# --- the gate ---


def artifacts(folder: Path, examples: dict[str, list[bytes]]) -> dict:
    """Examples, statistics and schema as the steps before the gate leave them."""
    splits = artifact_utils.encode_split_names(list(examples))
    of_examples, statistics = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    schema = standard_artifacts.Schema()
    for artifact, name in ((of_examples, "examples"), (statistics, "statistics"), (schema, "schema")):
        artifact.uri = str(folder / name)
    of_examples.split_names = statistics.split_names = splits
    for split, content in examples.items():
        path = write(folder / "examples" / f"Split-{split}" / "data.gz", content)
        computed = tfdv.generate_statistics_from_tfrecord(
            path, pipeline_options=PipelineOptions(["--runner=FnApiRunner"])
        )
        target = folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        target.parent.mkdir(parents=True)
        target.write_bytes(computed.SerializeToString())
        if split == "train":
            inferred = tfdv.infer_schema(computed, infer_feature_shape=True)
            (folder / "schema").mkdir()
            (folder / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(inferred))
    return {"examples": [of_examples], "statistics": [statistics], "schema": [schema]}


def run_gate(folder: Path, examples: dict[str, list[bytes]], **confound) -> dict | None:
    """Runs the executor; returns what stands in confounds.json, None if there is none."""
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(folder / "anomalies")
    ExampleGateExecutor().Do(
        artifacts(folder, examples),
        {"anomalies": [anomalies]},
        {"exclude_splits": '["testonly"]', "confound": ConfoundParameters(**confound).model_dump_json()},
    )
    file = folder / "anomalies" / "confounds.json"
    return json.loads(file.read_text()) if file.exists() else None


def test_the_gate_writes_down_what_it_found_and_goes_on(tmp_path):
    content = run_gate(tmp_path, {"train": some(), "eval": some()})
    assert (content["action"], content["limit"]) == ("warn", 0.75)
    assert content["warnings"][0].startswith(FORMAT_SENTENCE)


def test_the_gate_stops_the_run_on_request(tmp_path):
    with pytest.raises(StepRefusedError, match=FORMAT_SENTENCE):
        run_gate(tmp_path, {"train": some(), "eval": some()}, action="fail")


def test_the_gate_lets_images_pass_that_came_alike_and_ignores_splits_it_does_not_check(tmp_path):
    strange = [example(number, 1, "WEBP") for number in range(40)]
    content = run_gate(
        tmp_path, {"train": some("JPEG"), "eval": some("JPEG"), "testonly": strange}, action="fail", limit=0.5
    )
    assert content["warnings"] == []
    assert content["figures"][0]["fake"] == {"JPEG": 1.0}


def test_the_gate_does_not_look_when_it_is_told_so(tmp_path):
    assert run_gate(tmp_path, {"train": some(), "eval": some()}, action="off") is None


def test_a_rare_compression_or_colour_mode_in_one_split_alone_is_no_anomaly(tmp_path):
    rare = [
        example(90, 0, "JPEG", compression=b"quality 31, 4:4:4", colour_mode=b"CMYK", perturbation=b"none"),
        *some("JPEG", perturbation=b"none"),
    ]
    assert run_gate(tmp_path, {"train": some("JPEG", perturbation=b"none"), "eval": rare})["warnings"] == []


# --- the component ---


def test_examples_and_parameters_come_together():
    statistics = channel.Channel(type=standard_artifacts.ExampleStatistics)
    schema = channel.Channel(type=standard_artifacts.Schema)
    examples = channel.Channel(type=standard_artifacts.Examples)
    gate = ExampleGate(statistics, schema, ["testonly"], ConfoundParameters(action="fail", limit=0.9), examples)
    assert gate.inputs["examples"] is examples
    assert json.loads(gate.exec_properties["confound"]) == {"action": "fail", "limit": 0.9}
    assert "examples" not in ExampleGate(statistics, schema, ["testonly"]).inputs
    with pytest.raises(ValueError, match="one needs the other"):
        ExampleGate(statistics, schema, ["testonly"], ConfoundParameters())


@pytest.mark.parametrize("values", [{"action": "stop"}, {"limit": 0.4}, {"limit": 1.1}, {"threshold": 0.7}])
def test_impossible_parameters_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        ConfoundParameters(**values)


def test_only_the_first_records_of_a_large_dataset_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("components.dataset.example_confounds._MOST_RECORDS", 7)
    assert len(recorded(tmp_path / "x.gz", some())) == 7


def test_images_are_not_needed(tmp_path):
    (only,) = recorded(tmp_path / "x.gz", [example(0, 0, "PNG", image_bytes=None)])
    assert only.given.label == 0
