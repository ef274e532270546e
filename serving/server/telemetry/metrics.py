"""What the server counts and measures, in Prometheus' text format.

Names, labels and buckets of what TF Serving measures too are TF Serving's own, so that one dashboard reads either
server; what only this product knows, such as verdicts, starts with `generator_attribution_`.

No client can make a time series. A model name that is not configured is counted under one name for all such, status
codes that gRPC does not have under UNKNOWN, and a family drops its oldest series when it has too many.

Sources of the names: TF Serving's servables/tensorflow/util.cc and saved_model_warmup_util.cc,
batching/batching_session.cc, util/prometheus_exporter.cc; TensorFlow's cc/saved_model/loader.cc,
core/framework/metrics.cc.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from serving.server.telemetry.exposition import Family, HistogramFamily, Labels, exponential_bounds

# Stands for every model name that is not configured. No configured name can be taken for it: '/' is not allowed there.
UNKNOWN_MODEL = "/unknown"

_MICROSECONDS = 1e6  # in a second, TF Serving's unit of latency
_LONGEST_LABEL = 256  # characters of one label's value; verdicts are names, and paths end in what matters
_BATCH_THREADS = "batch_threads"  # what TF Serving calls its pool of batch threads unless it is configured

_CODES = frozenset(
    {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)

_LATENCY_BOUNDS = exponential_bounds(10, 1.8, 33)  # microseconds: 10 us to 24 minutes
_QUEUING_BOUNDS = exponential_bounds(100, 1.2, 52)  # microseconds: 100 us to 1.1 s
_GRAPH_BOUNDS = exponential_bounds(1000, 2, 20)  # microseconds: 1 ms to 9 minutes
_ROWS_BOUNDS = exponential_bounds(1, 2, 10)  # rows: 1 to 512


class _InFlight:
    """Counts what is inside its `with` blocks, in any number of threads."""

    def __init__(self, change: Callable[[Labels, float], None]) -> None:
        self._change = change

    def __enter__(self) -> None:
        self._change((), 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._change((), -1)


class _TfServingFamilies:
    """Metrics that TF Serving has too, by its names."""

    def __init__(self) -> None:
        self.request_count = Family(
            ":tensorflow:serving:request_count", "counter", "Requests, by outcome.", ("model_name", "status")
        )
        self.request_latency = HistogramFamily(
            ":tensorflow:serving:request_latency",
            "Microseconds from a request's arrival to its answer; successful requests only.",
            _LATENCY_BOUNDS,
            ("model_name", "API", "entrypoint"),
        )
        self.runtime_latency = HistogramFamily(
            ":tensorflow:serving:runtime_latency",
            "Microseconds of computing one batch, without waiting.",
            _LATENCY_BOUNDS,
            ("model_name", "API", "runtime"),
        )
        self.warmup_latency = HistogramFamily(
            ":tensorflow:serving:model_warmup_latency",
            "Microseconds of a version's warm-up requests.",
            _LATENCY_BOUNDS,
            ("model_path", "status"),
        )
        self.queuing_latency = HistogramFamily(
            ":tensorflow:serving:batching_session:queuing_latency",
            "Microseconds that a request waited for its batch to start.",
            _QUEUING_BOUNDS,
            ("thread_pool_name",),
        )
        self.wrapped_runs = Family(
            ":tensorflow:serving:batching_session:wrapped_run_count", "counter", "Batches computed."
        )
        self.load_attempts = Family(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "counter",
            "Versions that were loaded, or could not be.",
            ("model_path", "status"),
        )
        self.load_latency = Family(
            ":tensorflow:cc:saved_model:load_latency",
            "counter",
            "Microseconds of loading a version, successful loads only.",
            ("model_path",),
        )
        self.graph_runs = Family(":tensorflow:core:graph_runs", "counter", "Runs of a servable's graph.")
        self.graph_time = Family(
            ":tensorflow:core:graph_run_time_usecs", "counter", "Microseconds of all runs of graphs."
        )
        self.graph_times = HistogramFamily(
            ":tensorflow:core:graph_run_time_usecs_histogram", "Microseconds of one run of a graph.", _GRAPH_BOUNDS
        )


class _OwnFamilies:
    """Metrics that only this server has."""

    def __init__(self) -> None:
        self.images = Family(
            "generator_attribution_images_total", "counter", "Rows that were computed.", ("model_name",)
        )
        self.batch_rows = HistogramFamily(
            "generator_attribution_batch_rows", "Rows in one batch.", _ROWS_BOUNDS, ("model_name", "signature")
        )
        self.verdicts = Family(
            "generator_attribution_verdicts_total",
            "counter",
            "Verdicts given, by version.",
            ("model_name", "version", "verdict"),
        )
        self.rejections = Family(
            "generator_attribution_queue_rejections_total",
            "counter",
            "Requests refused because the queue was full.",
            ("model_name",),
        )
        self.logged = Family(
            "generator_attribution_request_log_rows_total",
            "counter",
            "Rows chosen for the request log, by what became of them: written, dropped (queue full) or failed.",
            ("outcome",),
        )
        self.requests_in_flight = Family(
            "generator_attribution_requests_in_flight", "gauge", "Requests that are being answered now."
        )
        self.newest_version = Family(
            "generator_attribution_model_version", "gauge", "Newest version available; 0 if none is.", ("model_name",)
        )
        self.versions = Family(
            "generator_attribution_available_versions", "gauge", "How many versions are available.", ("model_name",)
        )


class ServerMetrics:
    """All metrics of one server. Every method may be called from any thread, and costs a few microseconds at most.

    Attributes:
        in_flight: `with metrics.in_flight:` around a request counts it as being answered.
    """

    def __init__(self) -> None:
        self._models: frozenset[str] = frozenset()
        self._configuring = threading.Lock()  # versions are loaded in several threads
        self._tf_serving = _TfServingFamilies()
        self._own = _OwnFamilies()
        self.in_flight = _InFlight(self._own.requests_in_flight.add)

    def request(self, model: str, api: str, entrypoint: str, code: str, seconds: float) -> None:
        """Counts a request that was answered.

        Args:
            model: the name that was asked for, known or not.
            api: "Predict", "Classify", "Regress" or "MultiInference". TF Serving counts no other methods.
            entrypoint: "GRPC" or "REST".
            code: name of the gRPC status code, for either protocol.
            seconds: from its arrival to its answer.
        """
        name = model if model in self._models else UNKNOWN_MODEL
        self._tf_serving.request_count.add((name, code if code in _CODES else "UNKNOWN"))
        if code == "OK":
            # TF Serving labels a REST request by the method in its URL, which is lower case.
            labels = (name, api.lower() if entrypoint == "REST" else api, entrypoint)
            self._tf_serving.request_latency.observe(labels, seconds * _MICROSECONDS)

    def ran(self, model: str, seconds: float) -> None:
        """Counts one run of a servable's graph, of any number of rows."""
        microseconds = seconds * _MICROSECONDS
        self._tf_serving.runtime_latency.observe((model, "Predict", "TF1"), microseconds)
        self._tf_serving.graph_runs.add(())
        self._tf_serving.graph_time.add((), round(microseconds))
        self._tf_serving.graph_times.observe((), microseconds)

    def batch(self, model: str, signature: str, rows: int, queue_seconds: Sequence[float]) -> None:
        """Counts one batch that was computed.

        Args:
            model: name of a configured model.
            signature: the signature, by its own name.
            rows: how many rows it held.
            queue_seconds: how long each of its requests had waited.
        """
        self._tf_serving.wrapped_runs.add(())
        self._own.images.add((model,), rows)
        self._own.batch_rows.observe((model, signature), rows)
        for seconds in queue_seconds:
            self._tf_serving.queuing_latency.observe((_BATCH_THREADS,), seconds * _MICROSECONDS)

    def rejected(self, model: str) -> None:
        """Counts a request that did not fit into the queue."""
        self._own.rejections.add((model,))

    def logged(self, outcome: str, rows: int) -> None:
        """Counts rows of the request log by what became of them; 0 makes the series be there from the start."""
        self._own.logged.add((outcome,), rows)

    def verdicts(self, model: str, version: int, verdicts: Iterable[bytes]) -> None:
        """Counts the verdicts of one answer, as the servable wrote them."""
        number = str(version)
        for verdict in verdicts:
            self._own.verdicts.add((model, number, verdict.decode("utf-8", "replace")[:_LONGEST_LABEL]))

    def loaded(self, model: str, path: str, seconds: float, code: str) -> None:
        """Counts an attempt to load a version.

        Args:
            model: name of the model, which is configured from here on.
            path: the version's directory.
            seconds: how long it took.
            code: name of a gRPC status code; "OK" if it was loaded.
        """
        self._configure(model)
        directory = path[-_LONGEST_LABEL:]
        self._tf_serving.load_attempts.add((directory, "success" if code == "OK" else "fail"))
        if code == "OK":
            self._tf_serving.load_latency.add((directory,), round(seconds * _MICROSECONDS))

    def warmed_up(self, path: str, seconds: float, code: str = "OK") -> None:
        """Measures the warm-up of a version.

        Args:
            path: the version's directory.
            seconds: how long its warm-up requests took together.
            code: name of a gRPC status code; "OK" if all were answered.
        """
        labels = (path[-_LONGEST_LABEL:], code if code in _CODES else "UNKNOWN")
        self._tf_serving.warmup_latency.observe(labels, seconds * _MICROSECONDS)

    def available(self, model: str, versions: Sequence[int]) -> None:
        """Sets which versions of a configured model can be asked; may be none yet, or none any more."""
        self._configure(model)
        self._own.newest_version.set((model,), max(versions, default=0))
        self._own.versions.set((model,), len(versions))

    def render(self) -> bytes:
        """Returns all metrics, to be sent as `exposition.CONTENT_TYPE`."""
        families = (*vars(self._tf_serving).values(), *vars(self._own).values())
        return "".join(family.write() for family in families).encode("utf-8", "replace")

    def _configure(self, model: str) -> None:
        with self._configuring:
            if model in self._models:
                return
            self._models |= {model}
        for family in (self._own.images, self._own.rejections):
            family.add((model,), 0)  # there from the start, so that the first one is seen as an increase
