"""TF Serving's contract and ours by REST, in checks that hold for TF Serving itself; and both protocols agree."""

import gzip
import json

import numpy as np
import pytest

from serving import contract
from tests.support.serving_messages import TIMEOUT, b64, examples, outputs_of, predict_request, rows_for

NO_VERSION = 2**40


@pytest.fixture(scope="module")
def model_path(target):
    return f"/v1/models/{target.model}"


@pytest.fixture(scope="module")
def predict(call, model_path):
    """Asks and returns the JSON document of an answer."""

    def predict(body, where=""):
        status, document = call("POST", f"{model_path}{where}:predict", body)
        assert status == 200, document
        return document

    return predict


@pytest.fixture(scope="module")
def refused(call, model_path):
    """Asks and returns the status and the message of a refusal."""

    def refused(body, path=f"{model_path}:predict", method="POST"):
        status, document = call(method, path, body)
        assert set(document) == {"error"}
        return status, document["error"]

    return refused


@pytest.fixture(scope="module")
def version(call, model_path):
    document = call("GET", f"{model_path}/metadata")[1]
    return int(document["model_spec"]["version"])


def test_the_version_that_answers_is_available(call, model_path, version):
    line = {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    status, document = call("GET", model_path)
    assert status == 200
    assert line in document["model_version_status"]
    assert call("GET", f"{model_path}/versions/{version}") == (200, {"model_version_status": [line]})


def test_status_of_what_is_not_there_is_404(refused, model_path):
    status, message = refused(None, "/v1/models/no_such_model", "GET")
    assert (status, message.startswith("Could not find any versions of model no_such_model")) == (404, True)
    status, message = refused(None, f"{model_path}/versions/{NO_VERSION}", "GET")
    assert (status, message.startswith(f"Could not find version {NO_VERSION} of model")) == (404, True)


def test_metadata_lists_the_signatures_of_the_contract(call, target, model_path, version):
    for path in (model_path, f"{model_path}/versions/{version}"):
        status, document = call("GET", f"{path}/metadata")
        assert status == 200
        assert document["model_spec"] == {"name": target.model, "signature_name": "", "version": str(version)}
        definitions = document["metadata"]["signature_def"]["signature_def"]
        for name, (input_name, output_names) in contract.SIGNATURES.items():
            given = definitions[name]["inputs"]
            assert set(given) == {input_name}
            assert given[input_name]["dtype"] == "DT_STRING"
            assert [dimension["size"] for dimension in given[input_name]["tensor_shape"]["dim"]] == ["-1"]
            assert set(output_names) <= set(definitions[name]["outputs"])
            assert definitions[name]["method_name"] == "tensorflow/serving/predict"


def assert_same(values, expected):
    """Both hold the same values; float32 exactly, whatever digits they were written with."""
    if expected.dtype == object:
        assert np.array(values, object).tolist() == np.vectorize(bytes.decode, otypes=[object])(expected).tolist()
    else:
        np.testing.assert_array_equal(np.array(values, expected.dtype).reshape(expected.shape), expected)


@pytest.mark.parametrize("signature", list(contract.SIGNATURES))
def test_rows_columns_and_grpc_give_the_same_answer(prediction_service, target, predict, images, signature):
    name, values = rows_for(signature, images[:5])
    cells = [b64(value) for value in values]
    asked = {"signature_name": signature}
    expected = outputs_of(
        prediction_service.Predict(predict_request(target.model, images[:5], signature), timeout=TIMEOUT)
    )
    rows = predict(asked | {"instances": [{name: cell} for cell in cells]})["predictions"]
    columns = predict(asked | {"inputs": {name: cells}})["outputs"]
    # With one input its name may be left out; with one output it is.
    assert predict(asked | {"instances": cells})["predictions"] == rows
    assert predict(asked | {"inputs": cells})["outputs"] == columns
    if len(expected) == 1:
        (only,) = expected
        rows, columns = [{only: row} for row in rows], {only: columns}
    assert len(rows) == len(cells)
    assert set(columns) == set(expected)
    for output, array in expected.items():
        assert_same(columns[output], array)
        assert_same([row[output] for row in rows], array)


@pytest.mark.parametrize("size", [1, 8])
def test_scores_do_not_depend_on_the_size_of_the_batch(predict, images, size):
    def scores(part):
        outputs = predict({"inputs": [b64(image) for image in part]})["outputs"]
        return np.column_stack([outputs["fake_probability"], outputs["source_probabilities"]])

    apart = np.concatenate([scores(images[start : start + size]) for start in range(0, len(images), size)])
    np.testing.assert_allclose(apart, scores(images), atol=1e-6, rtol=0)


def test_a_version_may_be_pinned(predict, images, version):
    body = {"instances": [b64(images[0])]}
    assert predict(body, f"/versions/{version}") == predict(body)


def test_a_compressed_body_is_inflated(call, model_path, predict, images):
    body = {"instances": [b64(images[0])]}
    packed = gzip.compress(json.dumps(body).encode())
    answered = call("POST", f"{model_path}:predict", packed, {"Content-Encoding": "gzip"})
    assert answered == (200, predict(body))


def test_base64_may_lack_its_padding(predict, images):
    image = next(image for image in images if len(image) % 3)
    unpadded = {"b64": b64(image)["b64"].rstrip("=")}
    assert predict({"instances": [unpadded]}) == predict({"instances": [b64(image)]})


@pytest.mark.parametrize(
    ("where", "status", "message"),
    [
        ("/v1/models/no_such_model:predict", 404, "Servable not found for request: Latest(no_such_model)"),
        ("/v1/models/MODEL/versions/1099511627776:predict", 404, "Servable not found for request: Specific(MODEL, "),
        ("/v1/models/MODEL/labels/nope:predict", 400, "Unrecognized servable version label: nope"),
        ("/v1/models/MODEL/versions/99999999999999999999:predict", 400, "Failed to convert version"),
    ],
)
def test_a_request_for_what_is_not_there_is_refused(refused, target, images, where, status, message):
    answered = refused({"instances": [b64(images[0])]}, where.replace("MODEL", target.model))
    assert answered[0] == status
    assert answered[1].startswith(message.replace("MODEL", target.model))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error"),
        (b"instances = [1]", "JSON Parse error"),
        (b"[1]", "Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [{"b64": ""}], "inputs": [{"b64": ""}]}, "expecting only one of 'inputs' or 'instances' keys"),
        ({"instances": {}}, "'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [{"picture": {"b64": ""}}]}, "picture"),
        ({"instances": [{"image_bytes": {"b64": ""}}, {"b64": ""}]}, "at item 1 of input list"),
        ({"instances": [{"b64": ""}, {"image_bytes": {"b64": ""}}]}, "at item 1 of input list"),
        ({"inputs": {}}, "Missing named input: image_bytes in 'inputs' object."),
        ({"instances": [{"b64": ""}], "signature_name": 1}, "'signature_name' key must be a string value."),
        ({"instances": [{"b64": ""}], "signature_name": "nope"}, 'Serving signature name: "nope" not found'),
    ],
)
def test_a_malformed_document_is_400_in_tf_servings_words(refused, body, message):
    answered = refused(body)
    assert answered[0] == 400
    assert message in answered[1]


@pytest.mark.parametrize(
    "row",
    [
        3,
        1.5,
        None,
        True,
        "no image",
        {"b64": "!!!!"},
        {"b64": "AAAAA"},
        {"b64": 1},
        {"b64": ""},
        {"b64": "AAAA", "more": 1},
        [{"b64": "AAAA"}],
        [],
    ],
    ids=repr,
)
def test_a_row_that_is_no_image_fails_its_request_and_no_other(refused, predict, images, row):
    good = {"image_bytes": b64(images[0])}
    expected = predict({"instances": [good]})
    assert refused({"instances": [good, {"image_bytes": row}]})[0] == 400
    assert refused({"instances": [row]})[0] == 400
    assert refused({"inputs": {"image_bytes": [b64(images[0]), row]}})[0] == 400
    assert predict({"instances": [good]}) == expected


def test_an_example_without_an_image_is_400(refused, images):
    (good,) = examples(images[:1])
    request = {"signature_name": contract.SIGNATURE_EXAMPLES, "instances": [b64(good), b64(b"no example")]}
    assert refused(request)[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ":predict"),
        ("POST", ""),
        ("POST", "/metadata"),
        ("PUT", ":predict"),
        ("DELETE", ""),
        ("PATCH", ""),
        ("GET", "/versions/first"),
        ("POST", "/versions/first:predict"),
        ("POST", ":guess"),
        ("GET", "/weights"),
    ],
)
def test_a_path_or_a_method_that_the_api_does_not_have_is_malformed(refused, model_path, method, path):
    status, message = refused(b"{}", f"{model_path}{path}", method)
    assert (status, message) == (400, f"Malformed request: {method} {model_path}{path}")


def test_the_list_of_models_is_not_offered(refused):
    assert refused(None, "/v1/models", "GET") == (400, "Missing model name in request.")


def test_a_path_outside_the_api_is_not_found(call):
    assert call("GET", "/v2/models")[0] == 404


@pytest.mark.parametrize(
    ("method", "noun", "kind"), [("classify", "classification", "classify"), ("regress", "regression", "regress")]
)
def test_methods_for_other_kinds_of_signature_are_refused(refused, model_path, method, noun, kind):
    good = {"examples": [{"image_bytes": {"b64": ""}}]}
    expected = f"signature method_name to be tensorflow/serving/{kind}. Was: tensorflow/serving/predict"
    assert refused(good, f"{model_path}:{method}") == (400, f"Expected {noun} {expected}")
    assert refused(good, f"/v1/models/no_such_model:{method}")[0] == 404
    for bad in (b"", {}, {"examples": []}, {"examples": {}}, {"examples": [1]}):
        assert refused(bad, f"{model_path}:{method}")[0] == 400
