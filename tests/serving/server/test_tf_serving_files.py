"""The files that TF Serving is started with, which the embedded server reads too, and the document about them."""

import argparse
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving import contract
from serving.server.arguments import add_server_arguments, options_from
from serving.server.configuration.files import (
    VersionPolicy,
    model_configs,
    read_batching_parameters,
    read_model_configs,
    read_monitoring_config,
)
from serving.server.configuration.options import ServerOptions
from serving.server.configuration.parameters import Monitoring
from tests.support.repository import REPOSITORY
from tests.support.servers import running_server
from tests.support.small_servable import VERSION

CONFIG = REPOSITORY / "k8s" / "base" / "config"
DOCUMENT = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")

MODELS = CONFIG / "models.config"
BATCHING = CONFIG / "batching_parameters.txt"
MONITORING = CONFIG / "monitoring.config"


def server_parser():
    parser = argparse.ArgumentParser()
    add_server_arguments(parser)
    return parser


def examples(language):
    """The document's fenced blocks of one language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    return [text for each, text in blocks if each == language]


def test_the_model_is_the_one_that_clients_ask_for_by_default():
    (model,) = read_model_configs(MODELS)
    assert model.name == contract.DEFAULT_MODEL_NAME
    assert model.base_path == Path("/models") / contract.DEFAULT_MODEL_NAME


def test_the_newest_version_is_served_and_no_label_stands_in_the_way_of_a_start():
    (model,) = read_model_configs(MODELS)
    assert (model.policy, model.labels) == (VersionPolicy("latest", 1), {})


def test_the_commented_example_of_labels_can_be_switched_on(tmp_path):
    """What an operator does under pressure: take the comment signs away."""
    text = MODELS.read_text(encoding="utf-8").replace(
        "model_version_policy { latest", "# model_version_policy { latest"
    )
    edited = tmp_path / "models.config"
    edited.write_text(re.sub(r"# (model_version_policy \{ specific|version_labels)", r"\1", text), encoding="utf-8")
    (model,) = read_model_configs(edited)
    assert model.policy == VersionPolicy("specific", versions=(1, 2))
    assert model.labels == {"stable": 1, "canary": 2}


def test_a_batch_holds_what_our_client_sends_at_most_unless_told_otherwise():
    from serving.client.options import ClientOptions

    assert read_batching_parameters(BATCHING).max_batch_size >= ClientOptions().batch_size


def test_a_batch_waits_for_company_only_milliseconds():
    assert 0 <= read_batching_parameters(BATCHING).batch_timeout_micros <= 5_000


@pytest.mark.parametrize(
    "field", ["max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"]
)
def test_no_batching_parameter_is_left_to_the_servers_differing_defaults(field):
    assert re.search(rf"^{field} \{{ value: \d+ \}}$", BATCHING.read_text(encoding="utf-8"), re.MULTILINE)


def test_metrics_are_on_under_tf_servings_own_path():
    assert read_monitoring_config(MONITORING) == Monitoring(True, "/monitoring/prometheus/metrics")


def test_the_embedded_server_takes_all_three_files_as_options():
    words = ["--model-config-file", MODELS, "--batching-parameters-file", BATCHING]
    words += ["--monitoring-config-file", MONITORING]
    options = options_from(server_parser().parse_args([str(word) for word in words]), None)
    assert options.model_config_file == MODELS
    assert options.batching == read_batching_parameters(BATCHING)
    assert options.monitoring == read_monitoring_config(MONITORING)


def test_the_documentation_lists_exactly_the_options_that_there_are():
    section = DOCUMENT.split("## Options", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)
    there_are = [action.option_strings[0] for action in server_parser()._actions if action.option_strings[0] != "-h"]
    assert sorted(listed) == sorted(there_are)


def test_the_documentation_mounts_these_files_and_names_them_in_flags():
    assert "k8s/base/config" in DOCUMENT
    flags = dict(re.findall(r"--(\w+)=(/\S+)", DOCUMENT))
    named = ("model_config_file", "batching_parameters_file", "monitoring_config_file")
    assert {Path(flags[name]).name for name in named} == {path.name for path in CONFIG.iterdir()}
    for name in named:
        assert re.search(rf":{Path(flags[name]).parent}:ro\b", DOCUMENT), f"{flags[name]} is not mounted"


def test_the_documentation_lists_exactly_the_metrics_that_there_are():
    from serving.server.telemetry.metrics import ServerMetrics

    section = DOCUMENT.split("## Metrics", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^\| `([:\w]+)`", section, re.MULTILINE)
    there_are = re.findall(r"^# TYPE (\S+) ", ServerMetrics().render().decode(), re.MULTILINE)
    assert sorted(listed) == sorted(there_are)


def test_the_documentations_canary_is_a_models_file():
    (block,) = examples("")
    config = text_format.Parse(block, model_server_config_pb2.ModelServerConfig())
    (model,) = model_configs(config)
    assert model.labels.keys() == {"stable", "canary"}
    assert set(model.labels.values()) == set(model.policy.versions)


@pytest.mark.e2e
def test_the_documentations_reload_puts_a_label_into_force(model_base, tmp_path):
    """The example as it stands there, on a server of its own, because it changes what is served."""
    (example,) = (block for block in examples("python") if "model_management_pb2" in block)
    models = MODELS.read_text(encoding="utf-8").replace("/models/generator_attribution", str(model_base))
    label = f'base_path: "{model_base}" version_labels {{ key: "stable" value: {VERSION} }}'
    (tmp_path / "models.config").write_text(models.replace(f'base_path: "{model_base}"', label), encoding="utf-8")
    with running_server(ServerOptions(model_base, grpc_port=0, rest_port=0)) as addresses:
        asked = f"{addresses.rest}/v1/models/{contract.DEFAULT_MODEL_NAME}/labels/stable/metadata"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(asked, timeout=30)
        script = example.replace("127.0.0.1:8500", addresses.grpc)
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)
        with urllib.request.urlopen(asked, timeout=30) as response:
            assert json.load(response)["model_spec"]["version"] == str(VERSION)
