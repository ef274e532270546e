"""Requests and answers, made and read with TensorFlow's and TF Serving's own messages."""

import base64
from collections.abc import Sequence

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from serving import contract

TIMEOUT = 60  # seconds; the first request of a cold server may take long


def examples(images: Sequence[bytes]) -> list[bytes]:
    def example(image: bytes) -> bytes:
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
        return tf.train.Example(features=tf.train.Features(feature={"image_bytes": feature})).SerializeToString()

    return [example(image) for image in images]


def rows_for(signature: str, images: Sequence[bytes]) -> tuple[str, list[bytes]]:
    """Returns the name of a signature's input, and the values that stand for these images."""
    name, _ = contract.SIGNATURES[signature or contract.SIGNATURE_DEFAULT]
    return name, examples(images) if name == contract.INPUT_EXAMPLES else list(images)


def predict_request(
    model: str, images: Sequence[bytes], signature: str = "", **spec: object
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec={"name": model, "signature_name": signature, **spec})
    name, values = rows_for(signature, images)
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.string, [len(values)]))
    return request


def outputs_of(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


def metadata_request(model: str, *fields: str) -> get_model_metadata_pb2.GetModelMetadataRequest:
    return get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": model}, metadata_field=fields)


def failure(method: grpc.UnaryUnaryMultiCallable, request: object) -> tuple[str, str]:
    """Returns status code and message of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=TIMEOUT)
    return caught.value.code().name, caught.value.details()


def b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}
