import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving import contract


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_for(images, name=contract.DEFAULT_MODEL_NAME, signature=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, tf.string, [len(images)]))
    return request


def failure(stub, request):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request, timeout=30)
    return caught.value.code().name, caught.value.details()


def test_predict_answers_tensors_with_the_batch_first(stub, images, verdicts):
    response = stub.Predict(request_for(images), timeout=30)
    outputs = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    assert set(outputs) == set(contract.PREDICTION_OUTPUTS)
    assert [verdict.decode() for verdict in outputs["verdict"]] == verdicts
    assert outputs["source_probabilities"].shape == (len(images), 2)
    assert outputs["fake_probability"].dtype == np.float32
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (3, "serving_default")


def test_output_filter_returns_only_what_was_asked(stub, images):
    request = request_for(images)
    request.output_filter.append("verdict")
    assert set(stub.Predict(request, timeout=30).outputs) == {"verdict"}
    request.output_filter.append("verdict")
    assert failure(stub, request) == ("INVALID_ARGUMENT", "duplicate output tensor alias: verdict")
    request.output_filter[:] = ["nope"]
    code, message = failure(stub, request)
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("output tensor alias not found in signature: nope")


def test_serving_examples_answers_as_serving_default_does(stub, images):
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={"image_bytes": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}
            )
        ).SerializeToString()
        for image in images
    ]
    request = request_for([], signature="serving_examples")
    del request.inputs["image_bytes"]
    request.inputs["examples"].CopyFrom(tf.make_tensor_proto(examples))
    assert stub.Predict(request, timeout=30).outputs == stub.Predict(request_for(images), timeout=30).outputs
    request.inputs["examples"].CopyFrom(tf.make_tensor_proto([examples[0], b"no example"]))
    assert failure(stub, request)[1].startswith("examples[1]: ")


def test_an_image_that_does_not_decode_is_named_by_its_row(stub, images, undecodable):
    for row in range(4):
        batch = [*images[:3]]
        batch.insert(row, undecodable)
        code, details = failure(stub, request_for(batch))
        assert code == "INVALID_ARGUMENT"
        assert details.startswith(f"image_bytes[{row}]: ")


def test_an_empty_batch_is_answered_with_empty_outputs(stub):
    assert tf.make_ndarray(stub.Predict(request_for([]), timeout=30).outputs["verdict"]).shape == (0,)


def test_unknown_model_version_label_and_signature_have_tf_servings_codes(stub, images):
    assert failure(stub, request_for(images, name="other"))[0] == "NOT_FOUND"
    assert failure(stub, request_for(images, signature="nope"))[0] == "FAILED_PRECONDITION"
    request = request_for(images)
    request.model_spec.version.value = 4
    assert failure(stub, request)[0] == "NOT_FOUND"
    request = request_for(images)
    request.model_spec.version_label = "stable"
    assert failure(stub, request)[0] == "INVALID_ARGUMENT"
    assert failure(stub, predict_pb2.PredictRequest()) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert failure(stub, request_for(images, name="")) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


def test_wrong_inputs_are_invalid_arguments(stub, images):
    def with_tensor(proto, name="image_bytes"):
        request = request_for([])
        del request.inputs["image_bytes"]
        request.inputs[name].CopyFrom(proto)
        return failure(stub, request)

    right = tf.make_tensor_proto(images)
    assert with_tensor(tf.make_tensor_proto([1.0])) == (
        "INVALID_ARGUMENT",
        "image_bytes: must be of type string, got float32.",
    )
    assert "shape [batch], got [1, 1]" in with_tensor(tf.make_tensor_proto([[b"x"]]))[1]
    assert "shape [batch], got []" in with_tensor(tf.make_tensor_proto(b"x"))[1]
    assert "not found in signature: picture" in with_tensor(right, "picture")[1]
    assert "must say its dtype" in with_tensor(tf.make_tensor_proto(images).__class__())[1]

    request = request_for(images)
    request.inputs["second"].CopyFrom(right)
    assert failure(stub, request) == (
        "INVALID_ARGUMENT",
        "input size does not match signature: 2!=1 len({image_bytes,second}) != len({image_bytes}). "
        "Sent extra: {second}. Missing but required: {}.",
    )
    request = request_for([])
    del request.inputs["image_bytes"]
    assert "0!=1 len({}) != len({image_bytes}). Sent extra: {}. Missing but" in failure(stub, request)[1]


def test_a_shape_that_claims_more_than_was_sent_is_refused_before_memory_is_taken(stub, images):
    request = request_for(images[:1])
    request.inputs["image_bytes"].tensor_shape.dim[0].size = 2**40
    assert failure(stub, request) == (
        "INVALID_ARGUMENT",
        f"batch: must have at most 8 rows, got {2**40}. Send several requests.",
    )
    request.inputs["image_bytes"].tensor_shape.dim[0].size = 2
    assert "string_val must hold 2 values" in failure(stub, request)[1]
    request.inputs["image_bytes"].tensor_shape.dim[0].size = -1
    assert failure(stub, request)[0] == "INVALID_ARGUMENT"


def test_limits_of_rows_and_bytes(stub, images):
    assert failure(stub, request_for([images[0]] * 9))[0] == "INVALID_ARGUMENT"
    assert failure(stub, request_for([b"x" * 200_001]))[0] == "RESOURCE_EXHAUSTED"
    assert stub.Predict(request_for([images[0]] * 8), timeout=30).outputs


def test_a_long_message_is_cut_so_that_it_reaches_the_client(stub, images):
    for _ in range(10):  # above 8 kB, gRPC refuses some answers at random
        code, details = failure(stub, request_for(images, signature="\u00fc" * 50_000))
        assert code == "FAILED_PRECONDITION"
        assert details.endswith("\u00fc...")


def test_metadata_holds_the_signatures(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = contract.DEFAULT_MODEL_NAME
    response = stub.GetModelMetadata(request, timeout=30)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(definitions)
    assert set(contract.SIGNATURES) <= set(definitions.signature_def)
    request.metadata_field[:] = ["weights"]
    with pytest.raises(grpc.RpcError, match="weights is not supported"):
        stub.GetModelMetadata(request, timeout=30)


@pytest.mark.parametrize(
    ("method", "request_type", "noun", "kind"),
    [
        ("Classify", classification_pb2.ClassificationRequest, "classification", "tensorflow/serving/classify"),
        ("Regress", regression_pb2.RegressionRequest, "regression", "tensorflow/serving/regress"),
    ],
)
def test_methods_for_examples_are_refused_as_tf_serving_refuses_them(stub, method, request_type, noun, kind):
    def refused(name=contract.DEFAULT_MODEL_NAME, signature=""):
        request = request_type()
        request.model_spec.name, request.model_spec.signature_name = name, signature
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, method)(request, timeout=30)
        return caught.value.code().name, caught.value.details()

    was = f"Expected {noun} signature method_name to be {kind}. Was: tensorflow/serving/predict"
    assert refused() == refused(signature="explain") == ("INVALID_ARGUMENT", was)
    assert refused(signature="nope") == ("INVALID_ARGUMENT", "No signature was found with the name: nope")
    assert refused("other")[0] == "NOT_FOUND"
    with pytest.raises(grpc.RpcError, match="Missing ModelSpec"):
        getattr(stub, method)(request_type(), timeout=30)


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ([("", "", "")], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ([("other", "", "")], "NOT_FOUND", "Servable not found for request: Latest(other)"),
        ([("M", "nope", "")], "INVALID_ARGUMENT", "Requested signature not found in model graph: nope"),
        ([("M", "", "do")], "UNIMPLEMENTED", "Unsupported signature method_name: do"),
        (
            [("M", "", "tensorflow/serving/regress")],
            "INVALID_ARGUMENT",
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict",
        ),
    ],
)
def test_multi_inference_is_refused_as_tf_serving_refuses_it(stub, tasks, code, message):
    request = inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = name.replace("M", contract.DEFAULT_MODEL_NAME)
        task.model_spec.signature_name = signature
    with pytest.raises(grpc.RpcError) as caught:
        stub.MultiInference(request, timeout=30)
    assert caught.value.code().name == code
    assert caught.value.details().startswith(message)


def test_status_reports_the_version_as_available(channel):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = contract.DEFAULT_MODEL_NAME
    (status,) = (
        model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30).model_version_status
    )
    assert (status.version, status.state) == (3, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
