"""TF Serving's configuration files: what is read from good ones, and what is said about bad ones."""

import argparse
import random
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import InvalidArgumentError
from serving.server.arguments import add_server_arguments, options_from
from serving.server.configuration.files import (
    ModelConfig,
    VersionPolicy,
    model_configs,
    read_batching_parameters,
    read_model_configs,
    read_monitoring_config,
    read_ssl_config,
)
from serving.server.configuration.parameters import BatchingParameters, Monitoring, TlsFiles

READERS = (read_model_configs, read_batching_parameters, read_monitoring_config, read_ssl_config)


@pytest.fixture
def write(tmp_path):
    def write(text, name="file.config"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def model(extra="", name='name: "m"', base_path='base_path: "/models/m"', platform='model_platform: "tensorflow"'):
    return f"model_config_list {{ config {{ {name} {base_path} {platform} {extra} }} }}"


def refusal(read, path):
    with pytest.raises(ValueError) as refused:
        read(path)
    return str(refused.value)


# models.config


def test_models_come_in_the_order_of_the_file_with_policies_and_labels(write):
    text = """
        # Comments are allowed.
        model_config_list {
          config { name: "b" base_path: "/models/b" model_platform: "tensorflow" }
          config {
            name: "a" base_path: "/models/a" model_platform: "tensorflow"
            model_version_policy { specific { versions: 3 versions: 5 } }
            version_labels { key: "stable" value: 3 }
            version_labels { key: "canary" value: 5 }
          }
        }"""
    assert read_model_configs(write(text)) == [
        ModelConfig("b", Path("/models/b"), VersionPolicy("latest", 1), {}),
        ModelConfig("a", Path("/models/a"), VersionPolicy("specific", versions=(3, 5)), {"stable": 3, "canary": 5}),
    ]


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("", VersionPolicy("latest", 1)),
        ("model_version_policy {}", VersionPolicy("latest", 1)),
        ("model_version_policy { latest {} }", VersionPolicy("latest", 1)),
        ("model_version_policy { latest { num_versions: 0 } }", VersionPolicy("latest", 1)),
        ("model_version_policy { latest { num_versions: 4 } }", VersionPolicy("latest", 4)),
        ("model_version_policy { all {} }", VersionPolicy("all")),
        ("model_version_policy: { all: {} }", VersionPolicy("all")),
        ("model_version_policy { specific { versions: [7, 9] } }", VersionPolicy("specific", versions=(7, 9))),
    ],
)
def test_each_version_policy_is_read(write, written, policy):
    (read,) = read_model_configs(write(model(written)))
    assert read.policy == policy


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (model(name=""), ["name", "empty"]),
        (model(base_path='base_path: "models/m"'), ["model m", "absolute path", "base_path()=models/m"]),
        (model(base_path=""), ["model m", "absolute path", "base_path()="]),
        (model(platform=""), ["model_platform"]),
        (model(platform='model_platform: "onnx"'), ["Model m", "unsupported platform onnx"]),
        (model("model_version_policy { specific {} }"), ["model m", "at least one version"]),
        ("", ["ModelConfigList"]),
        ("model_config_list {}", ["at least one model"]),
        ("custom_model_config {}", ["ModelConfigList"]),
        (
            model().replace("model_config_list {", "model_config_list { " + model()[len("model_config_list {") : -1]),
            ["Illegal to list model m multiple times"],
        ),
    ],
)
def test_a_models_file_that_cannot_be_served_is_refused_by_name_and_reason(write, text, reasons):
    path = write(text)
    said = refusal(read_model_configs, path)
    for reason in (str(path), *reasons):
        assert reason in said


def test_a_new_configuration_by_request_is_refused_in_tf_servings_words():
    config = text_format.Parse(model(base_path='base_path: "m"'), model_server_config_pb2.ModelServerConfig())
    with pytest.raises(InvalidArgumentError) as refused:
        model_configs(config)
    # Source: TF Serving, model_servers/server_core.cc.
    assert str(refused.value) == "Expected model m to have an absolute path or URI; got base_path()=m"


def test_a_request_may_list_no_model_at_all():
    """It asks to unload everything; only a file that lists nothing is taken for a mistake."""
    config = text_format.Parse("model_config_list {}", model_server_config_pb2.ModelServerConfig())
    assert model_configs(config) == []


# Any file


@pytest.mark.parametrize("read", READERS)
def test_an_unknown_field_is_refused_with_file_line_and_name(write, read):
    path = write("# first line\n\nbatch_size: 3\n")
    said = refusal(read, path)
    assert str(path) in said
    assert "3:1" in said
    assert "batch_size" in said


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b'"'])
def test_what_is_no_text_form_is_refused_by_name(write, read, content):
    path = write(content)
    assert str(path) in refusal(read, path)


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_cannot_be_read_is_the_systems_own_error(tmp_path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


# batching_parameters.txt


def test_batching_parameters_are_read_and_the_name_of_the_pool_is_let_through(write):
    text = """
        max_batch_size { value: 16 } batch_timeout_micros { value: 500 } max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 } thread_pool_name { value: "any" }"""
    assert read_batching_parameters(write(text)) == BatchingParameters(16, 500, 7, 3)


def test_what_the_batching_file_leaves_out_keeps_its_default(write):
    assert read_batching_parameters(write("")) == BatchingParameters()
    assert read_batching_parameters(write("max_batch_size { value: 5 }")) == BatchingParameters(max_batch_size=5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size"),
        ("max_batch_size {}", "max_batch_size"),
        ("num_batch_threads { value: -1 }", "num_batch_threads"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros"),
        ("batch_timeout_micros { value: 60000001 }", "batch_timeout_micros"),
        ("allowed_batch_sizes: 8 allowed_batch_sizes: 32", "allowed_batch_sizes"),
        ("pad_variable_length_inputs: true", "pad_variable_length_inputs"),
        ("max_batch_size: 32", "max_batch_size"),
    ],
)
def test_a_batching_parameter_that_cannot_be_is_refused_by_file_and_name(write, text, name):
    path = write(text)
    said = refusal(read_batching_parameters, path)
    assert str(path) in said
    assert name in said


# monitoring.config


@pytest.mark.parametrize(
    ("text", "monitoring"),
    [
        ("prometheus_config { enable: true }", Monitoring(True, "/monitoring/prometheus/metrics")),
        ('prometheus_config { enable: true path: "/metrics" }', Monitoring(True, "/metrics")),
        ('prometheus_config { path: "/metrics" }', Monitoring(False, "/metrics")),
        ("", Monitoring(False, "/monitoring/prometheus/metrics")),
    ],
)
def test_metrics_are_where_and_if_the_file_says(write, text, monitoring):
    assert read_monitoring_config(write(text)) == monitoring


@pytest.mark.parametrize("path", ["metrics", "/metrics?x=1", "/{any}"])
def test_a_path_of_metrics_that_no_url_can_have_is_refused(write, path):
    file = write(f'prometheus_config {{ enable: true path: "{path}" }}')
    said = refusal(read_monitoring_config, file)
    assert str(file) in said
    assert repr(path) in said


# The file of --ssl_config_file

PEM = "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n"


def test_the_tls_file_holds_the_pem_text_itself_with_its_line_ends(write):
    text = f'server_key: "KEY {PEM}" server_cert: "CERT {PEM}" custom_ca: "CA {PEM}" client_verify: true'
    plain = PEM.replace("\\n", "\n")
    assert read_ssl_config(write(text)) == TlsFiles(
        f"CERT {plain}".encode(), f"KEY {plain}".encode(), f"CA {plain}".encode(), True
    )


def test_a_tls_file_without_an_authority_asks_clients_for_nothing(write):
    read = read_ssl_config(write('server_key: "k" server_cert: "c"'))
    assert (read.client_authority, read.require_client) == (None, False)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('server_key: "k"', "server_cert"),
        ('server_cert: "c"', "server_key"),
        ('server_key: "k" server_cert: "c" client_verify: true', "client_authority"),
    ],
)
def test_a_tls_file_that_lacks_a_part_is_refused_by_file_and_name(write, text, name):
    path = write(text)
    said = refusal(read_ssl_config, path)
    assert str(path) in said
    assert name in said


# Version policies


def test_policies_choose_what_counting_by_hand_chooses():
    draw = random.Random(0)
    for _ in range(300):
        numbers = draw.sample(range(20), draw.randrange(9))
        count, wanted = draw.randint(1, 10), tuple(draw.sample(range(20), draw.randint(1, 5)))
        newest = {each for each in numbers if sum(other > each for other in numbers) < count}
        assert VersionPolicy("latest", count).choose(iter(numbers)) == newest
        assert VersionPolicy("all").choose(iter(numbers)) == set(numbers)
        assert VersionPolicy("specific", versions=wanted).choose(iter(numbers)) == {
            each for each in numbers if each in wanted
        }


@pytest.mark.parametrize("policy", [{"kind": "latest", "count": 0}, {"kind": "specific"}])
def test_a_policy_that_wants_nothing_is_refused(policy):
    with pytest.raises(ValueError, match=r"model_version_policy.*at least"):
        VersionPolicy(**policy)


# The command line


def options(model_base_path, *words):
    parser = argparse.ArgumentParser()
    add_server_arguments(parser)
    return options_from(parser.parse_args([str(word) for word in words]), model_base_path)


@pytest.fixture
def files(write):
    return {
        "models": write(model(), "models.config"),
        "batching": write("max_batch_size { value: 16 }", "batching.txt"),
        "monitoring": write("prometheus_config {}", "monitoring.config"),
        "tls": write('server_key: "k" server_cert: "c"', "tls.config"),
    }


def test_without_any_word_a_server_listens_to_this_machine_with_tf_servings_ports(tmp_path):
    read = options(tmp_path)
    assert (read.host, read.grpc_port, read.rest_port) == ("127.0.0.1", 8500, 8501)
    assert (read.model_base_path, read.model_name) == (tmp_path, "generator_attribution")
    assert (read.batching, read.monitoring, read.tls) == (BatchingParameters(), Monitoring(), None)
    assert read.page is False


def test_files_and_single_values_reach_the_options(files):
    words = ["--model-config-file", files["models"], "--batching-parameters-file", files["batching"]]
    words += ["--monitoring-config-file", files["monitoring"], "--ssl-config-file", files["tls"]]
    words += ["--host", "0.0.0.0", "--grpc-port", 1, "--rest-port", 2, "--poll-seconds", 0, "--drain-seconds", 1.5]
    read = options(None, *words, "--ui")
    assert read.model_config_file == files["models"]
    assert read.batching == BatchingParameters(max_batch_size=16)
    assert read.monitoring.enabled is False
    assert read.tls == TlsFiles(b"c", b"k")
    assert (read.host, read.grpc_port, read.rest_port) == ("0.0.0.0", 1, 2)
    assert (read.poll_seconds, read.drain_seconds, read.page) == (0.0, 1.5, True)


def test_single_batching_values_change_only_themselves(tmp_path):
    read = options(tmp_path, "--max-batch-size", 4, "--batch-timeout-micros", 9)
    assert read.batching == BatchingParameters(max_batch_size=4, batch_timeout_micros=9)


def test_an_authority_of_clients_makes_their_certificates_a_must(tmp_path):
    without = options(tmp_path, "--tls-cert", "c.pem", "--tls-key", "k.pem")
    read = options(tmp_path, "--tls-cert", "c.pem", "--tls-key", "k.pem", "--tls-client-ca", "ca.pem")
    assert without.tls == TlsFiles(Path("c.pem"), Path("k.pem"))
    assert read.tls == TlsFiles(Path("c.pem"), Path("k.pem"), Path("ca.pem"), True)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--batching-parameters-file", "batching", "--max-batch-size", 4], "--max-batch-size"),
        (["--batching-parameters-file", "batching", "--batch-timeout-micros", 0], "--batch-timeout-micros"),
        (["--ssl-config-file", "tls", "--tls-cert", "c.pem"], "--ssl-config-file"),
        (["--ssl-config-file", "tls", "--tls-client-ca", "c.pem"], "--ssl-config-file"),
        (["--tls-cert", "c.pem"], "--tls-key"),
        (["--tls-key", "k.pem"], "--tls-cert"),
        (["--tls-client-ca", "ca.pem"], "--tls-cert"),
        (["--model-config-file", "models"], "not both"),
        (["--num-batch-threads", 0], "num_batch_threads"),
        (["--grpc-port", 9000, "--rest-port", 9000], "rest_port"),
        (["--rest-port", 65536], "rest_port"),
        (["--model-name", "a/b"], "model_name"),
        (["--drain-seconds", -1], "drain_seconds"),
    ],
)
def test_options_that_contradict_each_other_or_cannot_be_are_refused_by_name(tmp_path, files, words, named):
    with pytest.raises(ValueError, match=named):
        options(tmp_path, *(files.get(word, word) for word in words))


def test_a_server_without_folder_or_models_file_is_refused():
    with pytest.raises(ValueError, match=r"either the folder .* or --model-config-file"):
        options(None)


def test_a_batching_file_that_is_not_there_is_the_systems_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        options(tmp_path, "--batching-parameters-file", tmp_path / "missing")
