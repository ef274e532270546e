"""Asking a model, wherever it is: on a server by gRPC or REST, or in a directory.

    with open_predictor(rest="http://127.0.0.1:8501") as predictor:
        answers = predictor.predict([Path("photo.jpg").read_bytes()])

TensorFlow is imported only for gRPC (TF Serving's stubs need it) and for a directory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import contract
from serving.client.answers import Answer, Heatmaps, PredictionError, Predictor, ServerError, ServerUnreachableError
from serving.client.rest_client import RestClient

__all__ = [
    "Answer",
    "Heatmaps",
    "PredictionError",
    "Predictor",
    "RestClient",
    "ServerError",
    "ServerUnreachableError",
    "open_predictor",
]


@contextmanager
def open_predictor(
    *,
    model: Path | None = None,
    grpc: str | None = None,
    rest: str | None = None,
    model_name: str = contract.DEFAULT_MODEL_NAME,
    timeout: float = 60.0,
) -> Iterator[Predictor]:
    """Opens the one predictor that was named, and closes its connection afterwards.

    Args:
        model: directory of a servable, or the base directory above its versions.
        grpc: "host:port" of a server.
        rest: base URL of a server.
        model_name: the model to ask a server for.
        timeout: seconds that one request to a server may take.

    Yields:
        the predictor.

    Raises:
        ValueError: if not exactly one of model, grpc and rest is given, or an address cannot be one.
        ServableError: if the directory holds no servable that keeps the contract.
    """
    if sum(way is not None for way in (model, grpc, rest)) != 1:
        raise ValueError("exactly one of model, grpc and rest must be given.")
    if model is not None:
        from serving.client.local_model import LocalModel

        yield LocalModel(model)
    elif grpc is not None:
        from serving.client.grpc_client import GrpcClient

        with GrpcClient(grpc, model_name, timeout) as client:
            yield client
    elif rest is not None:
        with RestClient(rest, model_name, timeout) as client:
            yield client
