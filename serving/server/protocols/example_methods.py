"""Classify, Regress and MultiInference, as TF Serving answers them for signatures of the predict kind: by refusing.

These methods take tf.Examples and need signatures that were exported for them. Ours are all of the predict kind, whose
outputs have more than one shape; TF Serving itself refuses such requests, in words that clients can rely on.

Source: TF Serving, servables/tensorflow/{classifier,regressor,multi_inference}.cc and util/json_tensor.cc.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import inference_pb2

from serving import contract
from serving.errors import InvalidArgumentError, UnimplementedError
from serving.server.protocols.json_tensors import kind_name, quoted

_CONTEXT = "context"
_EXAMPLES = "examples"


@dataclass(frozen=True)
class Method:
    """A kind of request that needs a signature of its own kind.

    Attributes:
        noun: what TF Serving calls it in messages.
        signature_kind: the `method_name` that the signature must have.
    """

    noun: str
    signature_kind: str


CLASSIFY = Method("classification", "tensorflow/serving/classify")
REGRESS = Method("regression", "tensorflow/serving/regress")

SignatureDefs = Mapping[str, meta_graph_pb2.SignatureDef]


def refuse_signature(method: Method, signature: str, definitions: SignatureDefs) -> NoReturn:
    """Refuses a Classify or a Regress.

    Args:
        method: which of the two.
        signature: name of the signature that is asked for; empty means `serving_default`.
        definitions: the servable's signatures.

    Raises:
        InvalidArgumentError: if there is no such signature, or it is of another kind.
        UnimplementedError: if the signature is of the right kind after all.
    """
    signature = signature or contract.SIGNATURE_DEFAULT
    if signature not in definitions:
        raise InvalidArgumentError(f"No signature was found with the name: {signature}")
    _check_kind(method, definitions[signature])
    raise UnimplementedError(f"signature '{signature}': this server computes Predict only; ask the same by Predict.")


def refuse_multi_inference(request: inference_pb2.MultiInferenceRequest, definitions: SignatureDefs) -> NoReturn:
    """Refuses a MultiInference because of the first of its tasks that cannot be done.

    Args:
        request: with at least one task, whose first names the model.
        definitions: the signatures of that model.

    Raises:
        InvalidArgumentError: if tasks contradict each other, or ask for a signature that is none of their kind.
        UnimplementedError: if a task is of an unknown kind, or if all of them are right.
    """
    methods = {method.signature_kind: method for method in (CLASSIFY, REGRESS)}
    asked: set[str] = set()
    for task in request.tasks:
        name = task.model_spec.signature_name or contract.SIGNATURE_DEFAULT
        if not task.model_spec.name:
            raise InvalidArgumentError("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise InvalidArgumentError("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if name in asked:
            raise InvalidArgumentError(f"Duplicate evaluation of signature: {name}")
        asked.add(name)
        if name not in definitions:
            raise InvalidArgumentError(f"Requested signature not found in model graph: {name}")
        if task.method_name not in methods:
            raise UnimplementedError(f"Unsupported signature method_name: {task.method_name}")
        _check_kind(methods[task.method_name], definitions[name])
    raise UnimplementedError("this server computes Predict only; ask for each signature by Predict.")


def check_examples(document: Mapping[str, Any]) -> None:
    """Checks the body of a REST :classify or :regress, which comes before its model is looked up.

    Args:
        document: the JSON object.

    Raises:
        InvalidArgumentError: if it holds no examples, or they are not objects of values and lists of values.
    """
    if _CONTEXT in document:
        _check_example(document[_CONTEXT])
    if _EXAMPLES not in document:
        raise InvalidArgumentError(
            f"JSON Value: {quoted(document)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = document[_EXAMPLES]
    if not isinstance(examples, list):
        raise InvalidArgumentError(f"JSON Value: {quoted(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise InvalidArgumentError(f"JSON Value: {quoted(document)} 'examples' value is an empty array")
    for example in examples:
        _check_example(example)


def _check_kind(method: Method, definition: meta_graph_pb2.SignatureDef) -> None:
    if definition.method_name != method.signature_kind:
        raise InvalidArgumentError(
            f"Expected {method.noun} signature method_name to be {method.signature_kind}. Was: {definition.method_name}"
        )


def _check_example(example: Any) -> None:
    if not isinstance(example, dict):
        raise InvalidArgumentError(f"Example must be JSON object but got JSON {kind_name(example)}")
    for name, values in example.items():
        kinds = {_feature_kind(name, value) for value in (values if isinstance(values, list) else [values])}
        if len(kinds) > 1:
            raise InvalidArgumentError(
                f"Unexpected element type in feature: {name} expecting type: {', '.join(sorted(kinds))}"
            )


def _feature_kind(name: str, value: Any) -> str:
    """Returns which list of a tf.train.Feature a value goes into."""
    if isinstance(value, str) or (isinstance(value, dict) and value.keys() == {"b64"}):
        return "bytes"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):  # booleans too
        return "int64"
    raise InvalidArgumentError(f"Feature: {name} has element with unexpected JSON type: {kind_name(value)}")
