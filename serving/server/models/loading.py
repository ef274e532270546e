"""From a version on disk to one that answers: load it, warm it up, open its queues."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving import contract
from serving.errors import ServableError, ServingError
from serving.servable.model import Prediction, Servable
from serving.servable.rows import run_batch
from serving.servable.tensors import array_from_proto
from serving.servable.versions import Version
from serving.server.models.batching import BatchQueue, BatchScheduler
from serving.server.telemetry.metrics import ServerMetrics

_Result = TypeVar("_Result")

# TF Serving reads no more of a warm-up file than this.
_MOST_WARMUP_RECORDS = 1000


class LoadedServable:
    """A version that is ready to answer: its graph is in memory, and has run once for each warm-up request.

    Args:
        model: the model's name.
        version: where it lies on disk.
        scheduler: the batch threads that compute its requests.
        metrics: where loading, batches and runs are counted.

    Attributes:
        servable: the SavedModel itself.

    Raises:
        ServableError: if it cannot be loaded, does not keep the contract, or refuses its own warm-up requests.
    """

    def __init__(self, model: str, version: Version, scheduler: BatchScheduler, metrics: ServerMetrics) -> None:
        self._model = model
        self._metrics = metrics
        self._scheduler = scheduler
        started = time.perf_counter()
        try:
            self.servable = Servable(version)
        except ServableError:
            metrics.loaded(model, str(version.path), time.perf_counter() - started, "INTERNAL")
            raise
        metrics.loaded(model, str(version.path), time.perf_counter() - started, "OK")
        started = time.perf_counter()
        for signature, inputs in warmup_requests(version.path / contract.WARMUP_REQUESTS, self.servable):
            try:
                run_batch(self.servable, signature, inputs)
            except ServingError as error:
                metrics.warmed_up(str(version.path), time.perf_counter() - started, error.grpc_code)
                raise ServableError(f"{version.path}: refuses its own warm-up for {signature}: {error}") from error
        metrics.warmed_up(str(version.path), time.perf_counter() - started)
        self._queues = {name: self._open_queue(name) for name in self.servable.signatures}

    def submit(
        self, signature: str, inputs: Mapping[str, np.ndarray], rows: int, finish: Callable[[Prediction], _Result]
    ) -> "Future[_Result]":
        """Puts a request into its signature's queue; see `BatchQueue.submit`.

        Args:
            signature: name of a signature that the servable has.
            inputs: arrays that fit the signature.
            rows: how many rows they hold.
            finish: makes the answer from the request's own outputs.

        Raises:
            QueueFullError: if too many requests wait.
        """
        return self._queues[signature].submit(inputs, rows, finish)

    def close(self) -> None:
        """Closes the queues; TensorFlow frees the graph when the last reference to it goes."""
        for queue in self._queues.values():
            self._scheduler.remove(queue)

    def _open_queue(self, signature: str) -> BatchQueue:
        def run(inputs: Mapping[str, np.ndarray]) -> Prediction:
            started = time.perf_counter()
            outputs = run_batch(self.servable, signature, inputs)
            self._metrics.ran(self._model, time.perf_counter() - started)
            return outputs

        def observe(rows: int, waits: Sequence[float]) -> None:
            self._metrics.batch(self._model, signature, rows, waits)

        return self._scheduler.queue(run, observe)


def warmup_requests(path: Path, servable: Servable) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Reads the requests that a version wants to have run before it serves.

    Args:
        path: TFRecord file of PredictionLog; it may be absent.
        servable: whose signatures the requests are for.

    Yields:
        the signature's name and an array for each input.

    Raises:
        ServableError: if the file is damaged, holds too many records, or one that is not for Predict.
    """
    if not path.is_file():
        return
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
            if number == _MOST_WARMUP_RECORDS:
                raise ServableError(f"{path}: must hold at most {_MOST_WARMUP_RECORDS} records, holds more.")
            yield _read_request(prediction_log_pb2.PredictionLog.FromString(record), servable)
    except ServableError:
        raise
    except Exception as error:  # damaged records, damaged protobufs, requests for other signatures
        raise ServableError(f"{path}: is no file of warm-up requests for this servable: {error}") from error


def _read_request(log: prediction_log_pb2.PredictionLog, servable: Servable) -> tuple[str, dict[str, np.ndarray]]:
    if not log.HasField("predict_log"):
        raise ValueError(f"a record is for {log.WhichOneof('log_type')}, only Predict is known")
    request: predict_pb2.PredictRequest = log.predict_log.request
    signature = servable.signature(request.model_spec.signature_name)
    inputs = {
        name: array_from_proto(name, proto, signature.inputs[name], _any_number)
        for name, proto in request.inputs.items()
    }
    return signature.name, inputs


def _any_number(rows: int) -> None:
    """Warm-up may be as large as it likes: it came with the servable, not from a client."""
