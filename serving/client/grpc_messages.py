"""Requests and answers of TF Serving's gRPC API. Importing it imports TensorFlow, because TF Serving's stubs do."""

from collections.abc import Sequence
from typing import Any

import grpc
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2

from serving import contract
from serving.client.answers import (
    Answer,
    ConnectionBrokenError,
    ServerError,
    ServerUnreachableError,
    answers_from_outputs,
)
from serving.client.options import ClientOptions
from serving.client.proxies import grpc_hint, grpc_host, is_loopback
from serving.client.versions import AVAILABLE, VersionState

# How gRPC's own reports begin where nobody was reached; anything else under UNAVAILABLE was said by a server, or is a
# connection that broke.
_NOBODY_THERE = ("failed to connect", "dns resolution failed", "name resolution failure", "empty address list")

# In such a report: somebody was reached, and one side refused the other's certificate or spoke no TLS.
_TLS_FAILED = "ssl_error_ssl"


def check_address(address: str) -> None:
    """Raises ValueError if an address has no port, or is a URL."""
    if "//" in address or not address.rpartition(":")[2].isdecimal():
        raise ValueError(f"address: must be HOST:PORT, e.g. 127.0.0.1:{contract.DEFAULT_GRPC_PORT}, got {address!r}.")


def channel_arguments(address: str, options: ClientOptions) -> list[tuple[str, Any]]:
    """Returns the settings of a channel to an address."""
    # gRPC takes the proxy of the environment even for loopback, where a proxy would ask itself.
    direct = [("grpc.enable_http_proxy", 0)] if is_loopback(grpc_host(address)) else []
    return [
        *direct,
        # Heatmaps of a batch exceed the 4 MB that gRPC would receive; the server's limit is what guards requests.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Repetitions are ours alone: two that repeat would multiply. Connecting again must not lag behind them.
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", round(1000 * options.first_backoff)),
        ("grpc.max_reconnect_backoff_ms", round(1000 * options.max_backoff)),
        # Else another client's failures at the same address would delay the connection of this one.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def credentials(options: ClientOptions) -> grpc.ChannelCredentials | None:
    """Returns what TLS needs, or None if the connection is to be plain."""
    if not options.uses_tls:
        return None
    ca, key, chain = (
        None if path is None else path.read_bytes()
        for path in (options.tls_ca, options.tls_key, options.tls_certificate)
    )
    return grpc.ssl_channel_credentials(ca, key, chain)


def predict_request(images: Sequence[bytes], signature: str, options: ClientOptions) -> predict_pb2.PredictRequest:
    """Returns a request for encoded images."""
    request = predict_pb2.PredictRequest()
    _fill(request.model_spec, options)
    request.model_spec.signature_name = signature
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=images)
    tensor.tensor_shape.dim.add(size=len(images))
    request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(tensor)
    return request


def answers(response: predict_pb2.PredictResponse, rows: int) -> list[Answer]:
    """Reads the answers for as many images as were asked for.

    Raises:
        ServerError: if they are not the contract's.
    """
    try:
        outputs = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    except (TypeError, ValueError) as error:
        raise ServerError("INTERNAL", f"answer holds a tensor that cannot be read: {error}") from error
    return answers_from_outputs(outputs, rows)


def status_request(options: ClientOptions) -> get_model_status_pb2.GetModelStatusRequest:
    """Returns a request for the states of the model's versions."""
    request = get_model_status_pb2.GetModelStatusRequest()
    _fill(request.model_spec, options)
    return request


def versions(response: get_model_status_pb2.GetModelStatusResponse) -> list[VersionState]:
    """Reads the states of the versions."""
    names = get_model_status_pb2.ModelVersionStatus.State
    return [VersionState(status.version, names.Name(status.state)) for status in response.model_version_status]


def metadata_request(options: ClientOptions) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """Returns a request for a description of the version that answers."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    _fill(request.model_spec, options)
    return request


def described_version(response: get_model_metadata_pb2.GetModelMetadataResponse) -> list[VersionState]:
    """Reads which version a description is of; a version that is described answers predictions too."""
    return [VersionState(response.model_spec.version.value, AVAILABLE)]


def server_error(code: grpc.StatusCode, details: str | None, address: str, seconds: float) -> ServerError:
    """Returns what a failed call comes to.

    Args:
        code: its status.
        details: what came with it.
        address: whom it was sent to.
        seconds: deadline of the whole call.
    """
    details = details or ""
    if code is grpc.StatusCode.UNAVAILABLE and details.lower().startswith(_NOBODY_THERE):
        if _TLS_FAILED in details.lower():
            return ServerError(
                "UNAUTHENTICATED",
                f"{address}: TLS failed ({details}). Check the address, tls_ca and tls_certificate.",
            )
        return ServerUnreachableError(
            code.name,
            f"no gRPC server answers at {address} ({details}). Start one with "
            f"`genattr serve MODEL_BASE_DIR` on gRPC port {address.rpartition(':')[2]}, or correct the address. "
            "If one closed the connection, it may want TLS (tls_ca), or a client's certificate (tls_certificate)."
            f"{grpc_hint(address)}",
        )
    if code is grpc.StatusCode.UNAVAILABLE and "proxy" in details.lower():
        return ServerUnreachableError(
            code.name, f"no gRPC server answers at {address} ({details}).{grpc_hint(address)}"
        )
    if code is grpc.StatusCode.CANCELLED:  # what arrives while a server stops; our own cancelling never gets here
        return ConnectionBrokenError("UNAVAILABLE", f"{address} ended the request before it had answered ({details}).")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServerError(code.name, f"{address} did not answer within {seconds:g} s.{grpc_hint(address)}")
    return ServerError(code.name, details)


def _fill(spec: model_pb2.ModelSpec, options: ClientOptions) -> None:
    spec.name = options.model_name
    if options.version is not None:
        spec.version.value = options.version
    if options.label is not None:
        spec.version_label = options.label
