"""The metrics, as prometheus_client's own reader finds them, and TensorFlow's own buckets."""

import re
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.server.telemetry.exposition import exponential_bounds
from serving.server.telemetry.metrics import UNKNOWN_MODEL, ServerMetrics

MODEL = "generator_attribution"


@pytest.fixture
def metrics():
    metrics = ServerMetrics()
    metrics.available(MODEL, [3])
    return metrics


def samples(metrics):
    """{(name, ((label, value), ...)): value} of everything that the page says."""
    page = metrics.render().decode("utf-8")
    names = {re.split(r"[{ ]", line)[0] for line in page.splitlines()}
    return {
        # The reader gives every counter the name that the client library would give it, whatever the page says.
        (
            sample.name if sample.name in names else sample.name.removesuffix("_total"),
            tuple(sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(metrics, name, **labels):
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def label_values(metrics, name, label):
    return {dict(labels)[label] for (sample, labels) in samples(metrics) if sample == name}


def test_requests_are_counted_by_model_and_status_and_only_successes_are_timed(metrics):
    metrics.request(MODEL, "Predict", "GRPC", "OK", 0.25)
    metrics.request(MODEL, "Predict", "GRPC", "OK", 0.25)
    metrics.request(MODEL, "Predict", "GRPC", "INVALID_ARGUMENT", 0.125)

    assert value(metrics, ":tensorflow:serving:request_count", model_name=MODEL, status="OK") == 2
    assert value(metrics, ":tensorflow:serving:request_count", model_name=MODEL, status="INVALID_ARGUMENT") == 1
    labels = {"model_name": MODEL, "API": "Predict", "entrypoint": "GRPC"}
    assert value(metrics, ":tensorflow:serving:request_latency_count", **labels) == 2
    assert value(metrics, ":tensorflow:serving:request_latency_sum", **labels) == 500_000


def test_a_rest_request_is_labelled_by_the_method_of_its_url(metrics):
    metrics.request(MODEL, "Predict", "REST", "OK", 0.001)
    labels = {"model_name": MODEL, "API": "predict", "entrypoint": "REST"}
    assert value(metrics, ":tensorflow:serving:request_latency_count", **labels) == 1


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        (":tensorflow:serving:request_latency", (10, 1.8, 33)),
        (":tensorflow:serving:runtime_latency", (10, 1.8, 33)),
        (":tensorflow:serving:model_warmup_latency", (10, 1.8, 33)),
        (":tensorflow:serving:batching_session:queuing_latency", (100, 1.2, 52)),
        (":tensorflow:core:graph_run_time_usecs_histogram", (1000, 2, 20)),
    ],
)
def test_the_buckets_are_those_that_tensorflow_makes(metrics, name, bounds):
    monitoring = pytest.importorskip("tensorflow.python.eager.monitoring")
    sampler = monitoring.Sampler(f"/test{name}", monitoring.ExponentialBuckets(*bounds), "buckets")
    cell = sampler.get_cell()
    cell.add(1.0)
    # The last one is the largest number of the type, which TF Serving's exporter writes as +Inf.
    expected = [format(limit, "g") for limit in cell.value().bucket_limit][:-1]

    metrics.request(MODEL, "Predict", "GRPC", "OK", 1.0)
    metrics.ran(MODEL, 1.0)
    metrics.warmed_up("/models/generator_attribution/3", 1.0)
    metrics.batch(MODEL, "serving_default", 1, [1.0])
    written = [dict(labels)["le"] for sample, labels in samples(metrics) if sample == f"{name}_bucket"]
    assert written == [*expected, "+Inf"]
    assert len(exponential_bounds(*bounds)) == bounds[2]


def test_buckets_are_cumulative_and_include_their_upper_bound(metrics):
    for rows in (1, 2, 2, 3, 10_000):
        metrics.batch(MODEL, "serving_default", rows, [])
    labels = {"model_name": MODEL, "signature": "serving_default"}
    counts = {
        bound: value(metrics, "generator_attribution_batch_rows_bucket", le=bound, **labels)
        for bound in ("1", "2", "4", "512", "+Inf")
    }
    assert counts == {"1": 1, "2": 3, "4": 4, "512": 4, "+Inf": 5}
    assert value(metrics, "generator_attribution_batch_rows_sum", **labels) == 10_008


def test_a_batch_counts_its_images_and_the_wait_of_each_request(metrics):
    metrics.batch(MODEL, "explain", 7, [0.5, 0.25])
    assert value(metrics, "generator_attribution_images_total", model_name=MODEL) == 7
    assert value(metrics, ":tensorflow:serving:batching_session:wrapped_run_count") == 1
    name = ":tensorflow:serving:batching_session:queuing_latency"
    assert value(metrics, f"{name}_count", thread_pool_name="batch_threads") == 2
    assert value(metrics, f"{name}_sum", thread_pool_name="batch_threads") == 750_000


def test_a_run_of_the_graph_is_counted_under_tensorflows_names(metrics):
    metrics.ran(MODEL, 0.5)
    assert value(metrics, ":tensorflow:core:graph_runs") == 1
    assert value(metrics, ":tensorflow:core:graph_run_time_usecs") == 500_000
    assert value(metrics, ":tensorflow:core:graph_run_time_usecs_histogram_count") == 1
    labels = {"model_name": MODEL, "API": "Predict", "runtime": "TF1"}
    assert value(metrics, ":tensorflow:serving:runtime_latency_sum", **labels) == 500_000


def test_verdicts_are_counted_by_version(metrics):
    metrics.verdicts(MODEL, 3, [b"real", b"progan_celeba", b"real"])
    metrics.verdicts(MODEL, 4, [b"real"])
    name = "generator_attribution_verdicts_total"
    assert value(metrics, name, model_name=MODEL, version="3", verdict="real") == 2
    assert value(metrics, name, model_name=MODEL, version="3", verdict="progan_celeba") == 1
    assert value(metrics, name, model_name=MODEL, version="4", verdict="real") == 1


def test_loads_are_counted_by_path_and_timed_when_they_succeed(metrics):
    metrics.loaded(MODEL, "/models/m/4", 2.0, "OK")
    metrics.loaded(MODEL, "/models/m/5", 1.0, "INVALID_ARGUMENT")
    name = ":tensorflow:cc:saved_model:load_attempt_count"
    assert value(metrics, name, model_path="/models/m/4", status="success") == 1
    assert value(metrics, name, model_path="/models/m/5", status="fail") == 1
    assert value(metrics, ":tensorflow:cc:saved_model:load_latency", model_path="/models/m/4") == 2_000_000
    assert value(metrics, ":tensorflow:cc:saved_model:load_latency", model_path="/models/m/5") is None


def test_the_newest_available_version_is_shown_until_there_is_none(metrics):
    metrics.available(MODEL, [3, 12, 4])
    assert value(metrics, "generator_attribution_model_version", model_name=MODEL) == 12
    assert value(metrics, "generator_attribution_available_versions", model_name=MODEL) == 3
    metrics.available(MODEL, [])
    assert value(metrics, "generator_attribution_model_version", model_name=MODEL) == 0


def test_what_did_not_happen_yet_is_there_as_zero(metrics):
    assert value(metrics, "generator_attribution_queue_rejections_total", model_name=MODEL) == 0
    assert value(metrics, "generator_attribution_images_total", model_name=MODEL) == 0
    metrics.rejected(MODEL)
    assert value(metrics, "generator_attribution_queue_rejections_total", model_name=MODEL) == 1


def test_requests_in_flight_are_counted_while_they_are_and_not_after_an_error(metrics):
    name = "generator_attribution_requests_in_flight"
    with pytest.raises(RuntimeError), metrics.in_flight, metrics.in_flight:
        assert value(metrics, name) == 2
        raise RuntimeError
    assert value(metrics, name) == 0


def test_no_model_name_that_a_client_invents_becomes_a_series(metrics):
    for number in range(50):
        metrics.request(f"model{number}", "Predict", "GRPC", "NOT_FOUND", 0.001)
    metrics.request("", "Predict", "GRPC", "INVALID_ARGUMENT", 0.001)
    name = ":tensorflow:serving:request_count"
    assert label_values(metrics, name, "model_name") == {UNKNOWN_MODEL}
    assert value(metrics, name, model_name=UNKNOWN_MODEL, status="NOT_FOUND") == 50


def test_a_status_that_grpc_does_not_have_is_counted_as_unknown(metrics):
    metrics.request(MODEL, "Predict", "REST", "418", 0.001)
    assert label_values(metrics, ":tensorflow:serving:request_count", "status") == {"UNKNOWN"}


def test_a_family_with_too_many_series_drops_the_oldest(metrics):
    for version in range(1, 1502):
        metrics.verdicts(MODEL, version, [b"real"])
        metrics.warmed_up(f"/models/m/{version}", 1.0)
    versions = label_values(metrics, "generator_attribution_verdicts_total", "version")
    assert len(versions) == 1000
    assert {"502", "1501"} <= versions
    paths = label_values(metrics, ":tensorflow:serving:model_warmup_latency_count", "model_path")
    assert len(paths) == 1000


def test_label_values_are_escaped_so_that_a_reader_gets_them_back(metrics):
    strange = 'a"b\\c\nd{e="f"} 1 \N{SNOWMAN}'
    metrics.verdicts(MODEL, 3, [strange.encode("utf-8")])
    assert label_values(metrics, "generator_attribution_verdicts_total", "verdict") == {strange}


def test_a_label_that_is_no_text_or_very_long_does_not_spoil_the_page(metrics):
    metrics.verdicts(MODEL, 3, [b"\xff\xfe", b"x" * 100_000])
    values = label_values(metrics, "generator_attribution_verdicts_total", "verdict")
    assert max(map(len, values)) <= 256
    assert len(values) == 2


def test_nothing_is_lost_when_many_threads_count(metrics):
    def count():
        for _ in range(2000):
            metrics.verdicts(MODEL, 3, [b"real"])
            metrics.batch(MODEL, "serving_default", 1, [0.001])

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    name = "generator_attribution_verdicts_total"
    assert value(metrics, name, model_name=MODEL, version="3", verdict="real") == 16_000
    name = ":tensorflow:serving:batching_session:queuing_latency_bucket"
    assert value(metrics, name, thread_pool_name="batch_threads", le="+Inf") == 16_000
