"""TF Serving's contract and ours by gRPC, in checks that hold for TF Serving itself."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import contract
from tests.support.serving_messages import TIMEOUT, examples, failure, metadata_request, outputs_of, predict_request

AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
NO_VERSION = 2**40


@pytest.fixture(scope="module")
def ask(prediction_service, target):
    def ask(images, signature="", **spec):
        request = predict_request(target.model, images, signature, **spec)
        return prediction_service.Predict(request, timeout=TIMEOUT)

    return ask


@pytest.fixture(scope="module")
def refused(prediction_service, target):
    """Changes a good request and returns how it fails."""

    def refused(change, images=(b"x",)):
        request = predict_request(target.model, images)
        change(request)
        return failure(prediction_service.Predict, request)

    return refused


@pytest.fixture(scope="module")
def version(ask, images):
    return ask(images[:1]).model_spec.version.value


def status_request(model, **version):
    return get_model_status_pb2.GetModelStatusRequest(model_spec={"name": model, **version})


def test_the_version_that_answers_is_available(model_service, target, version):
    every = model_service.GetModelStatus(status_request(target.model), timeout=TIMEOUT).model_version_status
    assert (version, AVAILABLE, 0) in [(status.version, status.state, status.status.error_code) for status in every]
    (one,) = model_service.GetModelStatus(
        status_request(target.model, version={"value": version}), timeout=TIMEOUT
    ).model_version_status
    assert (one.version, one.state) == (version, AVAILABLE)


def test_status_of_what_is_not_there_is_not_found(model_service, target):
    code, message = failure(model_service.GetModelStatus, status_request("no_such_model"))
    assert (code, message.startswith("Could not find any versions of model no_such_model")) == ("NOT_FOUND", True)
    code, message = failure(model_service.GetModelStatus, status_request(target.model, version={"value": NO_VERSION}))
    assert (code, message.startswith(f"Could not find version {NO_VERSION} of model")) == ("NOT_FOUND", True)
    missing = get_model_status_pb2.GetModelStatusRequest()
    assert failure(model_service.GetModelStatus, missing) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_a_reload_without_a_list_of_models_is_refused(model_service):
    code, message = failure(model_service.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())
    assert code == "INVALID_ARGUMENT"
    assert "Only ModelConfigList is currently supported" in message


def test_metadata_lists_the_signatures_of_the_contract(prediction_service, target, version):
    response = prediction_service.GetModelMetadata(metadata_request(target.model, "signature_def"), timeout=TIMEOUT)
    assert (response.model_spec.name, response.model_spec.version.value) == (target.model, version)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(definitions)
    for name, (input_name, output_names) in contract.SIGNATURES.items():
        definition = definitions.signature_def[name]
        assert definition.method_name == "tensorflow/serving/predict"
        (given,) = definition.inputs.items()
        assert given[0] == input_name
        assert given[1].dtype == tf.string.as_datatype_enum
        assert [dimension.size for dimension in given[1].tensor_shape.dim] == [-1]
        assert set(output_names) <= set(definition.outputs)


def test_metadata_needs_a_field_that_it_knows(prediction_service, target):
    ask = prediction_service.GetModelMetadata
    message = "GetModelMetadataRequest must specify at least one metadata_field"
    assert failure(ask, metadata_request(target.model)) == ("INVALID_ARGUMENT", message)
    code, message = failure(ask, metadata_request(target.model, "weights"))
    assert (code, "is not supported" in message) == ("INVALID_ARGUMENT", True)
    assert failure(ask, metadata_request("no_such_model", "signature_def"))[0] == "NOT_FOUND"


@pytest.mark.parametrize("signature", ["", contract.SIGNATURE_DEFAULT, contract.SIGNATURE_EXAMPLES])
def test_predictions_are_what_the_contract_says(ask, images, signature):
    response = ask(images, signature)
    outputs = outputs_of(response)
    assert response.model_spec.signature_name == (signature or contract.SIGNATURE_DEFAULT)
    assert set(outputs) == set(contract.PREDICTION_OUTPUTS)
    fake, sources = outputs[contract.OUTPUT_FAKE_PROBABILITY], outputs[contract.OUTPUT_SOURCE_PROBABILITIES]
    assert (fake.shape, fake.dtype) == ((len(images),), np.float32)
    assert (sources.shape[0], sources.ndim, sources.dtype) == (len(images), 2, np.float32)
    assert outputs[contract.OUTPUT_SOURCE_NAMES].shape == sources.shape
    assert ((fake >= 0) & (fake <= 1)).all()
    assert ((sources >= 0) & (sources <= 1)).all()
    verdicts = {value.decode() for value in outputs[contract.OUTPUT_VERDICT]}
    names = {value.decode() for value in outputs[contract.OUTPUT_SOURCE_NAMES].ravel()}
    assert verdicts <= {*contract.RESERVED_VERDICTS, *names}


def test_examples_are_answered_as_their_images_are(ask, images):
    expected = outputs_of(ask(images))
    for name, values in outputs_of(ask(images, contract.SIGNATURE_EXAMPLES)).items():
        np.testing.assert_array_equal(values, expected[name])


def test_explain_adds_heatmaps_to_the_same_answer(ask, images):
    plain, explained = outputs_of(ask(images[:4])), outputs_of(ask(images[:4], contract.SIGNATURE_EXPLAIN))
    detection = explained.pop(contract.OUTPUT_DETECTION_HEATMAP)
    sources = explained.pop(contract.OUTPUT_SOURCE_HEATMAPS)
    heads = plain[contract.OUTPUT_SOURCE_NAMES].shape[1]
    assert (detection.ndim, detection.shape[0], detection.dtype) == (3, 4, np.float32)
    assert sources.shape == (4, heads, *detection.shape[1:])
    assert set(explained) == set(plain)
    for name in (contract.OUTPUT_FAKE_PROBABILITY, contract.OUTPUT_SOURCE_PROBABILITIES):
        np.testing.assert_allclose(explained[name], plain[name], atol=1e-6)


def test_transformed_features_have_one_row_an_example(ask, images):
    outputs = outputs_of(ask(images[:3], contract.SIGNATURE_TRANSFORM))
    assert outputs
    assert {values.shape[0] for values in outputs.values()} == {3}


@pytest.mark.parametrize("size", [1, 8])
def test_scores_do_not_depend_on_the_size_of_the_batch(ask, images, size):
    together = outputs_of(ask(images))
    parts = [outputs_of(ask(images[start : start + size])) for start in range(0, len(images), size)]
    for name in (contract.OUTPUT_FAKE_PROBABILITY, contract.OUTPUT_SOURCE_PROBABILITIES):
        apart = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(apart, together[name], atol=1e-6, rtol=0)
    assert [v for part in parts for v in part[contract.OUTPUT_VERDICT]] == list(together[contract.OUTPUT_VERDICT])


def test_output_filter_returns_what_is_asked_and_nothing_else(prediction_service, target, images, refused):
    request = predict_request(target.model, images[:1])
    request.output_filter.extend([contract.OUTPUT_VERDICT, contract.OUTPUT_FAKE_PROBABILITY])
    response = prediction_service.Predict(request, timeout=TIMEOUT)
    assert set(response.outputs) == {contract.OUTPUT_VERDICT, contract.OUTPUT_FAKE_PROBABILITY}
    twice = refused(lambda request: request.output_filter.extend(["verdict", "verdict"]), images[:1])
    assert twice == ("INVALID_ARGUMENT", "duplicate output tensor alias: verdict")
    code, message = refused(lambda request: request.output_filter.append("nope"), images[:1])
    assert (code, message.startswith("output tensor alias not found in signature: nope")) == ("INVALID_ARGUMENT", True)


def test_a_version_may_be_pinned(ask, images, version):
    pinned = ask(images[:1], version={"value": version})
    assert pinned.model_spec.version.value == version
    assert pinned.outputs == ask(images[:1]).outputs


def replaced(**spec):
    def change(request):
        request.model_spec.MergeFrom(type(request.model_spec)(**spec))

    return change


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (replaced(name="no_such_model"), "NOT_FOUND", "Servable not found for request: Latest(no_such_model)"),
        (replaced(version={"value": NO_VERSION}), "NOT_FOUND", "Servable not found for request: Specific("),
        (replaced(version_label="nope"), "INVALID_ARGUMENT", "Unrecognized servable version label: nope"),
        (replaced(signature_name="nope"), "FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
        (lambda request: request.ClearField("model_spec"), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (lambda request: request.model_spec.ClearField("name"), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            lambda request: request.inputs.clear(),
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({image_bytes}). "
            "Sent extra: {}. Missing but required: {image_bytes}.",
        ),
        (
            lambda request: request.inputs["more"].CopyFrom(tf.make_tensor_proto([b"x"])),
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({image_bytes,more}) != len({image_bytes}). "
            "Sent extra: {more}. Missing but required: {}.",
        ),
    ],
)
def test_a_request_for_what_is_not_there_is_refused(refused, images, change, code, message):
    answered = refused(change, images[:1])
    assert answered[0] == code
    assert answered[1].startswith(message)


@pytest.mark.parametrize(
    "tensor",
    [
        tf.make_tensor_proto([1.0]),
        tf.make_tensor_proto([[b"x"]]),
        tf.make_tensor_proto(b"x"),
        tf.make_tensor_proto([b"no image at all"]),
        tf.make_tensor_proto([b""]),
    ],
    ids=["dtype", "rank_2", "rank_0", "no_image", "empty"],
)
def test_a_tensor_that_holds_no_images_is_an_invalid_argument(refused, tensor):
    assert refused(lambda request: request.inputs["image_bytes"].CopyFrom(tensor))[0] == "INVALID_ARGUMENT"


def test_a_misnamed_input_is_an_invalid_argument(refused):
    def rename(request):
        request.inputs["picture"].CopyFrom(request.inputs["image_bytes"])
        del request.inputs["image_bytes"]

    assert refused(rename)[0] == "INVALID_ARGUMENT"


def test_one_bad_row_fails_its_request_and_no_other(prediction_service, target, ask, images):
    expected = ask(images[:3]).outputs
    for bad in (b"", images[0][:100], b"%PDF-1.7"):
        request = predict_request(target.model, [*images[:3], bad])
        assert failure(prediction_service.Predict, request)[0] == "INVALID_ARGUMENT"
    assert ask(images[:3]).outputs == expected


def test_an_example_without_an_image_is_an_invalid_argument(prediction_service, target, images):
    request = predict_request(target.model, images[:1], contract.SIGNATURE_EXAMPLES)
    for bad in (b"no example", tf.train.Example().SerializeToString()):
        request.inputs["examples"].CopyFrom(tf.make_tensor_proto([*examples(images[:1]), bad]))
        assert failure(prediction_service.Predict, request)[0] == "INVALID_ARGUMENT"


def test_requests_at_the_same_time_get_their_own_answers(prediction_service, target, ask, images):
    expected = [outputs_of(ask([image]))["fake_probability"][0] for image in images]
    futures = [
        prediction_service.Predict.future(predict_request(target.model, [image]), timeout=TIMEOUT) for image in images
    ]
    got = [outputs_of(future.result())["fake_probability"][0] for future in futures]
    np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("method", "request_type", "message"),
    [
        (
            "Classify",
            classification_pb2.ClassificationRequest,
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict",
        ),
        (
            "Regress",
            regression_pb2.RegressionRequest,
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict",
        ),
    ],
)
def test_methods_for_other_kinds_of_signature_are_refused(prediction_service, target, method, request_type, message):
    ask = getattr(prediction_service, method)
    known = request_type(model_spec={"name": target.model})
    assert failure(ask, known) == ("INVALID_ARGUMENT", message)
    assert failure(ask, request_type(model_spec={"name": "no_such_model"}))[0] == "NOT_FOUND"
    known.model_spec.signature_name = "nope"
    assert failure(ask, known) == ("INVALID_ARGUMENT", "No signature was found with the name: nope")
    task = inference_pb2.InferenceTask(model_spec={"name": target.model}, method_name="tensorflow/serving/classify")
    request = inference_pb2.MultiInferenceRequest(tasks=[task])
    assert failure(prediction_service.MultiInference, request)[0] == "INVALID_ARGUMENT"


def test_an_unknown_method_is_unimplemented(channel):
    unknown = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Guess",
        request_serializer=predict_pb2.PredictRequest.SerializeToString,
        response_deserializer=predict_pb2.PredictResponse.FromString,
    )
    with pytest.raises(grpc.RpcError) as caught:
        unknown(predict_pb2.PredictRequest(), timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
