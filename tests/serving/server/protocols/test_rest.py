import base64
import gzip
import http.client
import json
from urllib.parse import urlsplit

import numpy as np
import pytest

from serving import contract
from serving.errors import InvalidArgumentError
from serving.servable.signatures import TensorSpec
from serving.server.protocols.json_tensors import Layout, read_inputs, write_outputs

MODEL = f"/v1/models/{contract.DEFAULT_MODEL_NAME}"
PREDICT = f"{MODEL}:predict"


def b64(image):
    return {"b64": base64.b64encode(image).decode()}


@pytest.fixture
def call(server):
    def call(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(urlsplit(server.rest).netloc, timeout=30)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("application/json")
        document = json.loads(response.read())
        connection.close()
        return response.status, document

    return call


def error_of(answer, status=400):
    assert answer[0] == status, answer
    assert set(answer[1]) == {"error"}
    return answer[1]["error"]


def test_row_format_with_named_rows_answers_one_object_a_row(call, images, verdicts):
    status, document = call("POST", PREDICT, {"instances": [{"image_bytes": b64(image)} for image in images]})
    assert status == 200
    assert [row["verdict"] for row in document["predictions"]] == verdicts
    assert set(document["predictions"][0]) == set(contract.PREDICTION_OUTPUTS)
    assert document["predictions"][1]["source_probabilities"] == [1.0, 0.0]
    assert document["predictions"][1]["source_names"] == ["progan_red", "stylegan_green"]


def test_row_format_takes_bare_values_for_the_only_input(call, images):
    named = call("POST", PREDICT, {"instances": [{"image_bytes": b64(image)} for image in images]})
    assert call("POST", PREDICT, {"instances": [b64(image) for image in images]}) == named


def test_column_format_answers_one_list_an_output(call, images, verdicts):
    status, document = call("POST", PREDICT, {"inputs": {"image_bytes": [b64(image) for image in images]}})
    assert status == 200
    assert document["outputs"]["verdict"] == verdicts
    assert call("POST", PREDICT, {"inputs": [b64(image) for image in images]}) == (200, document)


def test_values_are_written_as_tf_serving_writes_them():
    outputs = {
        "probability": np.array([0.2, np.nan], np.float32),  # not 0.20000000298023224, as a double would be
        "count": np.array([1, 2**40]),
        "name": np.array(["Zo\u00eb".encode(), b"b"], object),
        "thumbnail_bytes": np.array([b"\x00\xff", b""], object),
    }
    row = b'{"probability": 0.2, "count": 1, "name": "Zo\\u00eb", "thumbnail_bytes": {"b64": "AP8="}}'
    other = b'{"probability": NaN, "count": 1099511627776, "name": "b", "thumbnail_bytes": {"b64": ""}}'
    assert write_outputs(Layout.ROW, outputs) == b'{"predictions": [' + row + b", " + other + b"]}"
    with pytest.raises(InvalidArgumentError, match="no common number of rows"):
        write_outputs(Layout.ROW, {"a": np.zeros(2), "b": np.zeros(3)})


def test_a_single_output_is_answered_without_its_name(call, images):
    import tensorflow as tf

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[images[1]]))
    example = tf.train.Example(features=tf.train.Features(feature={"image_bytes": feature})).SerializeToString()
    request = {"signature_name": "transform_features", "instances": [b64(example)]}
    assert call("POST", PREDICT, request) == (200, {"predictions": [[1.0, 0.0, 0.0]]})
    request = {"signature_name": "transform_features", "inputs": [b64(example)]}
    assert call("POST", PREDICT, request) == (200, {"outputs": [[1.0, 0.0, 0.0]]})


def test_explain_adds_heatmaps(call, images):
    _, document = call("POST", PREDICT, {"signature_name": "explain", "instances": [b64(images[1])]})
    assert document["predictions"][0]["source_heatmaps"] == [[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]


def test_the_served_version_may_be_named_and_another_is_not_found(call, images):
    body = {"instances": [b64(images[0])]}
    assert call("POST", f"{MODEL}/versions/3:predict", body)[0] == 200
    assert "Specific(generator_attribution, 4)" in error_of(call("POST", f"{MODEL}/versions/4:predict", body), 404)
    huge = f"{MODEL}/versions/{'9' * 30}:predict"
    assert "to numeric" in error_of(call("POST", huge, body))
    assert "label: stable" in error_of(call("POST", f"{MODEL}/labels/stable:predict", body))


def test_unknown_model_is_404_for_prediction_and_status(call, images):
    assert "Latest(other)" in error_of(call("POST", "/v1/models/other:predict", {"instances": [b64(images[0])]}), 404)
    error_of(call("GET", "/v1/models/other"), 404)


def test_status_reports_the_version_as_available(call):
    expected = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert call("GET", MODEL) == (200, {"model_version_status": [expected]})
    assert call("GET", f"{MODEL}/versions/3") == (200, {"model_version_status": [expected]})


def test_metadata_describes_the_signatures(call):
    status, document = call("GET", f"{MODEL}/metadata")
    assert status == 200
    assert document["model_spec"] == {"name": contract.DEFAULT_MODEL_NAME, "signature_name": "", "version": "3"}
    default = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert default["inputs"]["image_bytes"]["tensor_shape"]["dim"][0]["size"] == "-1"
    assert default["method_name"] == "tensorflow/serving/predict"


def test_an_image_that_does_not_decode_is_named_by_its_row(call, images, undecodable):
    rows = [b64(image) for image in [*images[:3], undecodable, images[4]]]
    message = error_of(call("POST", PREDICT, {"instances": rows}))
    assert message.startswith("image_bytes[3]: ")
    assert "node" not in message


def test_the_graphs_own_reason_is_given(call, images, make_image):
    message = error_of(call("POST", PREDICT, {"instances": [b64(images[0]), b64(make_image((9, 9, 9), (3, 8)))]}))
    assert message == "image_bytes[1]: image is too small"


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"%PDF-1.7 no image at all", "is no JPEG")])
def test_rows_without_an_image_are_refused_by_name(call, images, content, reason):
    message = error_of(call("POST", PREDICT, {"instances": [b64(images[0]), b64(content)]}))
    assert message.startswith(f"image_bytes[1]: {reason}")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe{}", "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error"),
        (b"[1]", "JSON Value: [1] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [], "inputs": []}, "expecting only one of 'inputs' or 'instances' keys to exist"),
        ({"instances": {}}, "Excepting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [3]}, "image_bytes[0]"),
        ({"instances": [{"b64": "!!!"}]}, "image_bytes[0]: is no valid base64"),
        ({"instances": [{"b64": "aaaaa"}]}, "image_bytes[0]: is no valid base64"),
        ({"instances": [{"picture": {"b64": ""}}]}, "element: 0 of 'instances' list. JSON object: {"),
        ({"instances": [{"image_bytes": {"b64": ""}}, {"b64": ""}]}, "at item 1 of input list"),
        ({"instances": [[{"b64": ""}]]}, "must have shape [batch]"),
        ({"instances": [{"b64": ""}, [{"b64": ""}]]}, "image_bytes[1]"),
        ({"instances": ["\ud800"]}, "no valid Unicode"),
        ({"inputs": {"b64": ""}}, "must have shape [batch]"),
        ({"inputs": {}}, "Missing named input: image_bytes"),
        ({"instances": [{"b64": ""}], "signature_name": 1}, "'signature_name' key must be a string value."),
        ({"instances": [{"b64": ""}], "signature_name": "nope"}, '"nope" not found'),
        ({"instances": [{"b64": ""}] * 9}, "at most 8 rows, got 9"),
        ({"inputs": [{"b64": ""}] * 9}, "at most 8 rows, got 9"),
    ],
)
def test_malformed_requests_are_400_with_the_reason(call, body, part):
    assert part in error_of(call("POST", PREDICT, body))


def test_an_empty_column_is_an_empty_batch_as_in_tf_serving(call):
    status, document = call("POST", PREDICT, {"inputs": []})
    assert (status, document["outputs"]["verdict"]) == (200, [])


def test_a_body_above_the_limit_is_413_and_the_next_request_is_served(call, images):
    assert "200,000 bytes" in error_of(call("POST", PREDICT, b" " * 200_001), 413)
    assert call("POST", PREDICT, {"instances": [b64(images[0])]})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", PREDICT, 400),
        ("DELETE", MODEL, 400),
        ("OPTIONS", PREDICT, 400),
        ("PUT", PREDICT, 400),
        ("POST", MODEL, 400),
        ("POST", f"{MODEL}/metadata", 400),
        ("POST", f"{MODEL}:PREDICT", 400),  # the method, and nothing else, must be in lower case
        ("POST", f"{PREDICT}?verbose=1", 400),
        ("POST", f"{MODEL}/versions/3/labels/stable:predict", 400),
        ("GET", f"{MODEL}?verbose=1", 404),  # a model of that name
        ("GET", "/v1/models", 400),
        ("GET", "/v1/models/", 400),
        ("GET", f"{MODEL}/versions/%D9%A3", 400),
        ("GET", "/v2/models", 404),
    ],
)
def test_other_paths_and_methods_are_refused(call, method, path, status):
    error_of(call(method, path), status)


def test_head_is_refused_without_a_body(server):
    connection = http.client.HTTPConnection(urlsplit(server.rest).netloc, timeout=30)
    connection.request("HEAD", MODEL)
    assert connection.getresponse().status == 400
    connection.close()


def test_the_path_is_taken_in_any_case_and_percent_encoded(call):
    name = "".join(f"%{ord(letter):02x}" for letter in contract.DEFAULT_MODEL_NAME)
    assert call("GET", f"/V1/Models/{name}/Versions/003")[0] == 200
    assert "Latest(a/b:c)" in error_of(call("POST", "/v1/models/a%2Fb%3ac:predict", {"instances": [1]}), 404)


@pytest.mark.parametrize(
    ("method", "noun", "kind"), [("classify", "classification", "classify"), ("regress", "regression", "regress")]
)
def test_classify_and_regress_are_refused_as_tf_serving_refuses_them(call, method, noun, kind):
    def refused(body, model=MODEL, status=400):
        return error_of(call("POST", f"{model}:{method}", body), status)

    good = {"examples": [{"image_bytes": {"b64": ""}, "size": [1, 2], "weight": 0.5}]}
    expected = f"signature method_name to be tensorflow/serving/{kind}. Was: tensorflow/serving/predict"
    assert refused(good) == f"Expected {noun} {expected}"
    assert refused(good | {"signature_name": "nope"}) == "No signature was found with the name: nope"
    assert "Latest(other)" in refused(good, "/v1/models/other", 404)
    # What is wrong with the body comes first, even for a model that is not there.
    for body, part in [
        (b"", "document is empty"),
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": True}, "Example must be JSON object but got JSON True"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": [1, "x"]}]}, "Unexpected element type in feature: a"),
    ]:
        assert part in refused(body, "/v1/models/other")


def test_a_compressed_body_is_inflated_whatever_its_content_type(call, images):
    body = json.dumps({"instances": [b64(images[0])]}).encode()
    plain = call("POST", PREDICT, body)
    assert plain[0] == 200
    assert call("POST", PREDICT, gzip.compress(body), Content_Encoding="gzip", Content_Type="text/plain") == plain
    assert "JSON Parse error" in error_of(call("POST", PREDICT, b"no gzip", Content_Encoding="gzip"))
    assert "JSON Parse error" in error_of(call("POST", PREDICT, gzip.compress(body)[:-20], Content_Encoding="gzip"))


def test_a_compressed_body_is_limited_after_inflating(call, images):
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 200_000
    assert "200,000 bytes" in error_of(call("POST", PREDICT, bomb, Content_Encoding="gzip"), 413)
    assert call("POST", PREDICT, {"instances": [b64(images[0])]})[0] == 200


def test_the_first_of_repeated_keys_counts(call, images):
    row = json.dumps(b64(images[0]))
    first = f'{{"signature_name": "serving_default", "instances": [{row}], "instances": 1, "signature_name": "nope"}}'
    assert call("POST", PREDICT, first.encode())[0] == 200


def test_numbers_that_json_does_not_have_and_that_no_machine_holds_are_refused_as_values(call):
    for number in (b"NaN", b"-Infinity", b"1e999", b"9" * 4000):
        assert "image_bytes[0]: must be" in error_of(call("POST", PREDICT, b'{"instances": [' + number + b"]}"))
    assert "JSON Parse error" in error_of(call("POST", PREDICT, b'{"instances": [' + b"9" * 5000 + b"]}"))


@pytest.mark.parametrize(
    ("dtype", "value", "accepted"),
    [
        ("float32", 1e38, True),
        ("float32", 1e39, False),
        ("float32", float("inf"), True),
        ("float32", 2**24 - 1, True),
        ("float32", 2**24, False),  # TF Serving draws the line one below what is exact
        ("float64", 2**53, False),
        ("float64", 10**400, False),
        ("int32", 2**31, False),
        ("int64", 2**63 - 1, True),
        ("uint8", -1, False),
        ("uint8", 1.0, False),
        ("bool", 1, False),
    ],
)
def test_a_number_is_taken_only_where_its_type_holds_it(dtype, value, accepted):
    def read():
        return read_inputs({"instances": [value]}, {"x": TensorSpec(dtype, (None,))}, lambda rows: None)[1]["x"]

    if accepted:
        assert read().tolist() == [np.dtype(dtype).type(value)]
    else:
        with pytest.raises(InvalidArgumentError, match=r"^x"):
            read()


def test_a_refused_document_is_quoted_in_part(call):
    message = error_of(call("POST", PREDICT, {"instances": [], "inputs": ["x" * 100_000]}))
    assert len(message) < 500


def test_base64_may_lack_its_padding(call, make_image):
    image = next(i for i in (make_image((255, 0, 0), (w, 8)) for w in range(8, 40)) if len(i) % 3 == 1)
    unpadded = {"b64": base64.b64encode(image).decode().rstrip("=")}
    assert call("POST", PREDICT, {"instances": [unpadded]})[1]["predictions"][0]["verdict"] == "contradiction"


def test_metrics_are_text_on_their_own_path_and_count_both_methods(call, server, images):
    def counted(code):
        connection = http.client.HTTPConnection(urlsplit(server.rest).netloc, timeout=30)
        connection.request("GET", "/monitoring/prometheus/metrics")
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        name = f'request_count{{model_name="{contract.DEFAULT_MODEL_NAME}",status="{code}"}} '
        lines = [line for line in response.read().decode().splitlines() if name in line]
        connection.close()
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    before = counted("OK"), counted("INVALID_ARGUMENT")
    assert call("POST", PREDICT, {"instances": [b64(images[0])]})[0] == 200
    assert call("POST", f"{MODEL}:classify", {"examples": [{}]})[0] == 400
    assert call("GET", MODEL)[0] == 200  # not counted, as in TF Serving
    assert (counted("OK"), counted("INVALID_ARGUMENT")) == (before[0] + 1, before[1] + 1)
