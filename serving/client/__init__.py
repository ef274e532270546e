"""Asking a model, wherever it is: on a server by gRPC or REST, or in a directory.

    with open_predictor(rest="http://127.0.0.1:8501") as predictor:
        answers = predictor.predict([Path("photo.jpg").read_bytes()])

    async with async_client(rest="http://127.0.0.1:8501") as client:
        answers = await client.predict([Path("photo.jpg").read_bytes()])

TensorFlow is imported only for gRPC (TF Serving's stubs need it) and for a directory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import contract
from serving.client.answers import Answer, Heatmaps, PredictionError, Predictor, ServerError, ServerUnreachableError
from serving.client.asynchronous import AsyncClient
from serving.client.options import ClientOptions
from serving.client.rest_client import RestClient
from serving.client.versions import VersionState

__all__ = [
    "Answer",
    "AsyncClient",
    "ClientOptions",
    "Heatmaps",
    "PredictionError",
    "Predictor",
    "RestClient",
    "ServerError",
    "ServerUnreachableError",
    "VersionState",
    "async_client",
    "open_predictor",
]


@contextmanager
def open_predictor(
    *,
    model: Path | None = None,
    grpc: str | None = None,
    rest: str | None = None,
    model_name: str | None = None,
    timeout: float | None = None,
    options: ClientOptions | None = None,
) -> Iterator[Predictor]:
    """Opens the one predictor that was named, and closes its connections afterwards.

    Args:
        model: directory of a servable, or the base directory above its versions.
        grpc: "host:port" of a server.
        rest: base URL of a server.
        model_name: the model to ask a server for; short for `options`.
        timeout: seconds that one call to a server may take in total; short for `options`.
        options: how a server is asked.

    Yields:
        the predictor.

    Raises:
        ValueError: if not exactly one of model, grpc and rest is given, an address cannot be one, or something is given
            beside options that belongs into them.
        ServableError: if the directory holds no servable that keeps the contract.
    """
    if sum(way is not None for way in (model, grpc, rest)) != 1:
        raise ValueError("exactly one of model, grpc and rest must be given.")
    chosen = _options(options, model_name, timeout)
    if model is not None:
        from serving.client.local_model import LocalModel

        yield LocalModel(model)
    elif grpc is not None:
        from serving.client.grpc_client import GrpcClient

        with GrpcClient(grpc, chosen) as client:
            yield client
    elif rest is not None:
        with RestClient(rest, chosen) as client:
            yield client


def async_client(
    *, grpc: str | None = None, rest: str | None = None, options: ClientOptions | None = None
) -> AsyncClient:
    """Return a client for asyncio; use it in an `async with` block.

    Args:
        grpc: "host:port" of a server.
        rest: Base URL of a server.
        options: Model, deadline, repetitions and limits.

    Raises:
        ValueError: if not exactly one of grpc and rest is given, or an address cannot be one.
    """
    if grpc is not None and rest is None:
        from serving.client.grpc_client import GrpcClient

        return AsyncClient(GrpcClient(grpc, options))
    if rest is not None and grpc is None:
        return AsyncClient(RestClient(rest, options))
    raise ValueError("exactly one of grpc and rest must be given.")


def _options(options: ClientOptions | None, model_name: str | None, timeout: float | None) -> ClientOptions:
    if options is None:
        return ClientOptions(
            model_name=contract.DEFAULT_MODEL_NAME if model_name is None else model_name,
            deadline=ClientOptions.deadline if timeout is None else timeout,
        )
    if model_name is not None or timeout is not None:
        raise ValueError("options: cannot be given together with model_name or timeout. Put them into the options.")
    return options
