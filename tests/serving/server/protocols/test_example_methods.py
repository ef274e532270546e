"""Refusals by servables that have signatures of the other kinds; test_grpc_service covers ours, which have none."""

import pytest
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import inference_pb2

from serving.errors import InvalidArgumentError, UnimplementedError
from serving.server.protocols.example_methods import CLASSIFY, REGRESS, refuse_multi_inference, refuse_signature

DEFINITIONS = {
    "classes": meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/classify"),
    "values": meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/regress"),
}


def refusal(*tasks):
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, kind in tasks:
        spec = {"name": model, "signature_name": signature}
        request.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{kind}")
    with pytest.raises((InvalidArgumentError, UnimplementedError)) as caught:
        refuse_multi_inference(request, DEFINITIONS)
    return type(caught.value), str(caught.value)


def test_tasks_must_be_of_one_model_and_of_different_signatures():
    first = ("m", "classes", "classify")
    assert refusal(first, first) == (InvalidArgumentError, "Duplicate evaluation of signature: classes")
    assert refusal(first, ("other", "values", "regress")) == (
        InvalidArgumentError,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    )
    assert refusal(first, ("", "values", "regress")) == (
        InvalidArgumentError,
        "Found ModelSpec with an empty model name.",
    )
    assert (
        "to be tensorflow/serving/classify. Was: tensorflow/serving/regress"
        in refusal(first, ("m", "values", "classify"))[1]
    )


def test_a_signature_of_the_right_kind_is_not_implemented():
    assert refusal(("m", "classes", "classify"), ("m", "values", "regress"))[0] is UnimplementedError
    for method, name in ((CLASSIFY, "classes"), (REGRESS, "values")):
        with pytest.raises(UnimplementedError, match=name):
            refuse_signature(method, name, DEFINITIONS)
