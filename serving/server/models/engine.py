"""What both protocols call: finds the model, checks limits, queues the request, counts the verdicts.

gRPC and REST differ in how bytes become arrays, and in nothing else; everything that decides an answer or an error is
here, so that the two cannot drift apart.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
from tensorflow_serving.config import model_server_config_pb2

from serving import contract
from serving.errors import BatchTooLargeError, InvalidArgumentError, QueueFullError
from serving.servable.model import Prediction, check_inputs
from serving.servable.signatures import Signature
from serving.server.configuration.files import model_configs
from serving.server.models.loading import LoadedServable
from serving.server.models.registry import Registry
from serving.server.models.requests import ModelRequest, VersionStatus
from serving.server.telemetry.logged_answers import LoggedAnswers
from serving.server.telemetry.metrics import ServerMetrics

if TYPE_CHECKING:
    from tensorflow.core.protobuf import meta_graph_pb2

_P = ParamSpec("_P")
_R = TypeVar("_R")

# What parses and writes large JSON documents beside the event loop.
_JSON_THREADS = 2


@dataclass(frozen=True)
class Answered:
    """The answer to a request for a prediction.

    Attributes:
        outputs: an array for each output that was asked for, the batch first.
        version: the version that computed it.
        signature: name of the signature.
    """

    outputs: Prediction
    version: int
    signature: str


@dataclass(frozen=True)
class Description:
    """What a version can be asked.

    Attributes:
        version: its number.
        path: its directory.
        signatures: by name.
        signature_defs: the same as TensorFlow's own protobufs.
    """

    version: int
    path: Path
    signatures: Mapping[str, Signature]
    signature_defs: "Mapping[str, meta_graph_pb2.SignatureDef]"


class Engine:
    """Answers requests from the versions that are loaded. Its methods may be called from any thread.

    Args:
        registry: the models.
        metrics: where verdicts and refusals are counted.
        max_batch_rows: most rows that one request may hold.
        logged: where a share of the answers is logged, if anywhere.
    """

    def __init__(
        self,
        registry: "Registry[LoadedServable]",
        metrics: ServerMetrics,
        max_batch_rows: int,
        logged: LoggedAnswers | None = None,
    ) -> None:
        self.metrics = metrics
        self._logged = logged
        self._registry = registry
        self._max_batch_rows = max_batch_rows
        self._helpers = ThreadPoolExecutor(_JSON_THREADS, thread_name_prefix="json")

    def describe(self, request: ModelRequest) -> Description:
        """Says what the version that a request is for can be asked.

        Raises:
            ModelNotFoundError: if the model or the version is not served here.
            InvalidArgumentError: if the label is unknown.
        """
        with self._registry.lease(request) as loaded:
            servable = loaded.servable
            return Description(
                servable.version.number, servable.version.path, servable.signatures, servable.signature_defs
            )

    def signature(self, request: ModelRequest) -> Signature:
        """Returns the signature that a request is for.

        Raises:
            ModelNotFoundError, InvalidArgumentError: as `describe`.
            SignatureNotFoundError: if the version has no such signature.
        """
        with self._registry.lease(request) as loaded:
            return loaded.servable.signature(request.signature)

    def status(self, request: ModelRequest) -> list[VersionStatus]:
        """Returns the state of the version asked for, or of all.

        Raises:
            ModelNotFoundError: if the model or the version is not known here.
            InvalidArgumentError: if the label is unknown.
        """
        return self._registry.status(request)

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the models that are served.

        Raises:
            ServingError: of the kind that tells what is wrong; what was served before then still is.
        """
        self._registry.apply(model_configs(config))

    def check_rows(self, rows: int) -> None:
        """Refuses a batch above the limit; called before its arrays are built.

        Raises:
            BatchTooLargeError: if there are more rows than one request may hold.
        """
        if rows > self._max_batch_rows:
            raise BatchTooLargeError(
                f"batch: must have at most {self._max_batch_rows} rows, got {rows}. Send several requests."
            )

    def submit(
        self, request: ModelRequest, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str] = ()
    ) -> "Future[Answered]":
        """Queues a request.

        Args:
            request: what is asked.
            inputs: an array for each input, the batch first; strings as object arrays of bytes.
            output_filter: the outputs to return; all if empty.

        Returns:
            the answer to come; it fails with a ServingError. Cancelling it takes the request out of the queue.

        Raises:
            ServingError: of the kind that tells what is wrong, where that is known before anything is computed.
        """
        with ExitStack() as stack:
            loaded = stack.enter_context(self._registry.lease(request))
            servable = loaded.servable
            signature = servable.signature(request.signature)
            _check_filter(output_filter, signature)
            check_inputs(signature, inputs)
            rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
            self.check_rows(rows)

            def finish(outputs: Prediction) -> Answered:
                if contract.OUTPUT_VERDICT in outputs:
                    verdicts = outputs[contract.OUTPUT_VERDICT].tolist()
                    self.metrics.verdicts(request.name, servable.version.number, verdicts)
                if self._logged is not None:
                    self._logged.answered(request.name, servable.version.number, inputs, outputs)
                chosen = {name: outputs[name] for name in output_filter} if output_filter else outputs
                return Answered(chosen, servable.version.number, signature.name)

            try:
                answer = loaded.submit(signature.name, inputs, rows, finish)
            except QueueFullError:
                self.metrics.rejected(request.name)
                raise
            lease = stack.pop_all()  # the version must not go before it has answered
            answer.add_done_callback(lambda _: lease.close())
        return answer

    async def offload(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a function in a thread beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._helpers, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Ends the threads of `offload` after what they do."""
        self._helpers.shutdown(wait=True)


def _check_filter(output_filter: Sequence[str], signature: Signature) -> None:
    for position, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise InvalidArgumentError(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}."
            )
        if name in output_filter[:position]:
            raise InvalidArgumentError(f"duplicate output tensor alias: {name}")
