"""What both protocols call: finds the model, checks limits, and computes off the event loop.

gRPC and REST differ in how bytes become arrays, and in nothing else; everything that decides an answer or an error is
here, so that the two cannot drift apart.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import numpy as np

from serving.errors import BatchTooLargeError, InvalidArgumentError, ModelNotFoundError
from serving.model import Prediction, Servable
from serving.rows import run_batch
from serving.server.requests import ModelRequest, VersionStatus

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Engine:
    """Answers prediction requests from a loaded servable.

    Args:
        model_name: the name under which it is served.
        servable: the servable.
        max_batch_rows: most rows that one request may hold.
        threads: how many requests are computed at the same time.
    """

    def __init__(self, model_name: str, servable: Servable, max_batch_rows: int, threads: int) -> None:
        self._model_name = model_name
        self._servable = servable
        self._max_batch_rows = max_batch_rows
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    def servable(self, request: ModelRequest) -> Servable:
        """Returns the servable that a request is for.

        Raises:
            ModelNotFoundError: if the model or the version is not served here.
            InvalidArgumentError: if the request asks by an unknown label.
        """
        if request.name != self._model_name:
            raise ModelNotFoundError(
                f"Servable not found for request: {_asked(request)}. Served here: {self._model_name}."
            )
        if request.label:
            raise InvalidArgumentError(
                f"Unrecognized servable version label: {request.label}. Ask by version, or for the newest."
            )
        if request.version not in (None, self._servable.version.number):
            raise ModelNotFoundError(
                f"Servable not found for request: {_asked(request)}. "
                f"Versions served here: {self._servable.version.number}."
            )
        return self._servable

    def status(self, request: ModelRequest) -> list[VersionStatus]:
        """Returns the state of the version asked for, or of all.

        Raises:
            ModelNotFoundError: if the model or the version is not served here.
            InvalidArgumentError: if the request asks by an unknown label.
        """
        return [VersionStatus(self.servable(request).version.number, "AVAILABLE")]

    def check_rows(self, rows: int) -> None:
        """Refuses a batch above the limit; called before its arrays are built.

        Raises:
            BatchTooLargeError: if there are more rows than one request may hold.
        """
        if rows > self._max_batch_rows:
            raise BatchTooLargeError(
                f"batch: must have at most {self._max_batch_rows} rows, got {rows}. Send several requests."
            )

    async def predict(
        self, request: ModelRequest, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str] = ()
    ) -> Prediction:
        """Computes one request in a worker thread.

        Args:
            request: what is asked.
            inputs: an array for each input, the batch first; strings as object arrays of bytes.
            output_filter: the outputs to return; all if empty.

        Returns:
            arrays by output name.

        Raises:
            ServingError: of the kind that tells what is wrong.
        """
        servable = self.servable(request)
        declared = servable.signature(request.signature).outputs
        for position, name in enumerate(output_filter):
            if name not in declared:
                raise InvalidArgumentError(
                    f"output tensor alias not found in signature: {name}. Outputs: {', '.join(sorted(declared))}."
                )
            if name in output_filter[:position]:
                raise InvalidArgumentError(f"duplicate output tensor alias: {name}")
        for array in inputs.values():
            self.check_rows(array.shape[0] if array.ndim else 0)
        outputs = await self.offload(run_batch, servable, request.signature, inputs)
        return {name: outputs[name] for name in output_filter} if output_filter else outputs

    async def offload(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a function in a worker thread, so that the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Waits for what is being computed, and ends the worker threads."""
        self._workers.shutdown(wait=True)


def _asked(request: ModelRequest) -> str:
    # TF Serving's own wording, which clients are known to look for.
    return f"Latest({request.name})" if request.version is None else f"Specific({request.name}, {request.version})"
