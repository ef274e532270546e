"""docs/beam.md: every profile is spelled as Beam spells it, and those that are called tested are run."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENT = (REPOSITORY / "docs" / "beam.md").read_text(encoding="utf-8")
VALUES = {"name": "demo", "data": {"dataset": "data/demo"}, "output_root": "runs/demo"}
_SECTION = re.compile(r"^### (.+?)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PROFILES = {
    title: (yaml.safe_load(_BLOCK.search(text).group(1)), "**Tested" in text)
    for title, text in _SECTION.findall(DOCUMENT)
}
TESTED = [title for title, (_, tested) in PROFILES.items() if tested]


def node_arguments(block):
    """The options that each data-parallel node gets, from the configuration through the pipeline."""
    from pipeline.config.schema import validate_config
    from pipeline.graph.pipeline import create_pipeline

    pipeline = create_pipeline(validate_config(VALUES | block, "docs/beam.md"))
    return {
        node.id: list(node.executor_spec.beam_pipeline_args)
        for node in pipeline.components
        if hasattr(node.executor_spec, "beam_pipeline_args")
    }


def test_the_document_has_tested_profiles_and_says_of_the_others_that_they_were_not_run():
    assert len(TESTED) >= 3
    for title, text in _SECTION.findall(DOCUMENT):
        assert ("**Tested" in text) != ("**Not run here.**" in text), title


@pytest.mark.parametrize("block", [yaml.safe_load(block) for block in _BLOCK.findall(DOCUMENT)], ids=str)
def test_every_block_is_a_configuration_whose_options_beam_knows(block, caplog):
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
    from apache_beam.runners.runner import create_runner

    for arguments in node_arguments(block).values():
        with caplog.at_level(logging.WARNING):
            options = PipelineOptions(arguments)
            options.get_all_options()
        assert "unparseable" not in caplog.text
        name = options.view_as(StandardOptions).runner
        assert name in StandardOptions.KNOWN_RUNNER_NAMES
        if name != "DataflowRunner":  # it needs packages of Google Cloud's that a run elsewhere does not
            assert PipelineOptionsValidator(options, create_runner(name)).validate() == []


def test_a_misspelt_option_is_noticed_by_the_test_above(caplog):
    from apache_beam.options.pipeline_options import PipelineOptions

    with caplog.at_level(logging.WARNING):
        PipelineOptions(["--runner=FnApiRunner", "--direct_num_worker=2"]).get_all_options()
    assert "unparseable" in caplog.text


def test_the_nodes_that_the_document_lists_are_those_that_beam_runs():
    listed = re.findall(r"^\| `([A-Za-z]+)(?:\.<model>)?` \|", DOCUMENT.split("## Profiles")[0], re.MULTILINE)
    assert set(listed) == {name.split(".")[0] for name in node_arguments({"sources": ["first_a"]})}


# The tested ones


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A few images as ImportExampleGen leaves them."""
    from tfx.types import artifact_utils, standard_artifacts

    from tests.support.images import write_dataset

    folder = tmp_path_factory.mktemp("examples")
    write_dataset(folder / "span-1", (12, 4, 4), seed=1)
    for split in ("train", "eval", "test"):
        (folder / "span-1" / split).rename(folder / f"Split-{split}")
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.id = str(folder), 1
    artifact.split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
    return artifact


def artifact_at(kind, path):
    artifact = kind()
    artifact.uri = str(path)
    return artifact


def executor(kind, arguments, folder):
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

    return kind(BaseBeamExecutor.Context(beam_pipeline_args=list(arguments), tmp_dir=str(folder), unique_id="1"))


@pytest.fixture(scope="module")
def computed(examples, tmp_path_factory):
    """Runs StatisticsGen and Transform with the options of a profile, once: what they wrote."""
    results = {}

    def run(title):
        if title not in results:
            results[title] = _run(node_arguments(PROFILES[title][0]), examples, tmp_path_factory.mktemp("run"))
        return results[title]

    return run


def _run(arguments, examples, folder):
    import tensorflow_data_validation as tfdv
    from google.protobuf import json_format
    from tfx.components.statistics_gen.executor import Executor as StatisticsGen
    from tfx.components.transform.executor import Executor as Transform
    from tfx.proto import transform_pb2
    from tfx.types import standard_artifacts

    statistics = artifact_at(standard_artifacts.ExampleStatistics, folder / "statistics")
    executor(StatisticsGen, arguments["StatisticsGen"], folder / "temporary").Do(
        {"examples": [examples]}, {"statistics": [statistics]}, {"exclude_splits": "[]"}
    )
    written = tfdv.load_stats_binary(str(folder / "statistics" / "Split-train" / "FeatureStats.pb"))
    schema = artifact_at(standard_artifacts.Schema, folder / "schema")
    (folder / "schema").mkdir()
    tfdv.write_schema_text(
        tfdv.infer_schema(written, infer_feature_shape=True), str(folder / "schema" / "schema.pbtxt")
    )
    graph = artifact_at(standard_artifacts.TransformGraph, folder / "graph")
    executor(Transform, arguments["Transform"], folder / "temporary").Do(
        {"examples": [examples], "schema": [schema]},
        {"transform_graph": [graph]},
        {
            "preprocessing_fn": "components.features.preprocessing.preprocessing_fn",
            "module_file": None,
            "module_path": None,
            "custom_config": json.dumps({"size": 32}),
            "disable_statistics": 1,
            "disable_analyzer_cache": 1,
            "force_tf_compat_v1": 0,
            "data_view": None,
            "stats_options_updater_fn": None,
            "splits_config": json_format.MessageToJson(transform_pb2.SplitsConfig(analyze=["train"], transform=[])),
            "materialize": 0,
        },
    )
    return counts(written), spectra(graph.uri)


def counts(statistics):
    """What of the statistics is exact: how many values each feature has, and their mean or mean length."""
    found = {}
    for feature in statistics.datasets[0].features:
        kind = feature.WhichOneof("stats")
        stats = getattr(feature, kind)
        average = {"num_stats": "mean", "string_stats": "avg_length", "bytes_stats": "avg_num_bytes"}[kind]
        common = stats.common_stats
        found[feature.path.step[0]] = (
            *(statistics.datasets[0].num_examples, common.num_non_missing, common.tot_num_values),
            round(getattr(stats, average), 3),
        )
    return found


def spectra(graph):
    """What the exported preprocessing makes of images that it has not seen."""
    import tensorflow as tf

    from components.features.transform import ExportedTransform
    from tests.support.images import encode, noise

    transform = ExportedTransform(graph)
    return tf.function(transform.__call__)(tf.constant([encode(noise(seed)) for seed in (90, 91)]))["dct"].numpy()


@pytest.fixture
def worker_pool(request):
    """The title of a profile; the worker pool that its section starts, if it does, is there meanwhile."""
    text = dict(_SECTION.findall(DOCUMENT))[request.param]
    command = re.search(r"^    python (.*--service_port=(\d+))$", text, re.MULTILINE)
    if command is None:
        yield request.param
        return
    # A pool starts its workers with whatever `python` is on the path.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PATH": path}
    pool = subprocess.Popen([sys.executable, *command.group(1).split()], env=environment, start_new_session=True)
    try:
        last = time.monotonic() + 120
        while not _listens(int(command.group(2))):
            assert pool.poll() is None and time.monotonic() < last, "the pool did not start"
            time.sleep(0.2)
        yield request.param
    finally:
        os.killpg(pool.pid, signal.SIGTERM)  # its workers with it
        pool.wait(timeout=60)


def _listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.e2e
@pytest.mark.parametrize("worker_pool", TESTED[1:], indirect=True)
def test_a_tested_profile_gives_what_the_default_gives(worker_pool, computed):
    (counted, spectrum), (expected_counts, expected) = computed(worker_pool), computed(TESTED[0])
    assert counted == expected_counts
    assert expected_counts["image_bytes"][0] > 0
    np.testing.assert_allclose(spectrum, expected, atol=1e-6)  # sums may be added up in another order
