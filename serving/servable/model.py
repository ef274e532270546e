"""One version of a servable in memory: its signatures, and running them on arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from serving import contract
from serving.errors import InvalidArgumentError, ServableError, SignatureNotFoundError
from serving.servable.signatures import Signature, TensorSpec
from serving.servable.versions import SAVED_MODEL_FILE, Version

_SERVE_TAG = "serve"

# Arrays by output name; the batch is the first axis of each. Strings are object arrays of bytes.
Prediction = dict[str, np.ndarray]


class Servable:
    """A loaded SavedModel that keeps the contract.

    Args:
        version: where it lies on disk.

    Attributes:
        version: the same.
        signatures: what it can be asked, by name.
        signature_defs: the same as TF Serving's metadata shows it, TensorFlow's own protobufs.

    Raises:
        ServableError: if it cannot be loaded, or a signature or an output of the contract is missing.
    """

    def __init__(self, version: Version) -> None:
        _require_literal(version)
        self.version = version
        self.signature_defs = _read_signature_defs(version)
        self.signatures = {
            name: _signature(name, definition)
            for name, definition in self.signature_defs.items()
            if not name.startswith("__")  # __saved_model_init_op is TensorFlow's own
        }
        _check_contract(self.signatures, version)
        try:
            self._model = tf.saved_model.load(str(version.path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ServableError(f"{version.path}: cannot be loaded: {error}") from error
        self._functions = dict(self._model.signatures)

    def signature(self, name: str) -> Signature:
        """Returns a signature; the empty name means `serving_default`.

        Raises:
            SignatureNotFoundError: if the servable has none of that name.
        """
        name = name or contract.SIGNATURE_DEFAULT
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise SignatureNotFoundError(f'Serving signature key "{name}" not found. Signatures here: {known}.')
        return self.signatures[name]

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Prediction:
        """Runs one signature on one batch.

        Args:
            signature: its name.
            inputs: an array for each input; strings as object arrays of bytes.

        Returns:
            an array for each output, the batch first.

        Raises:
            SignatureNotFoundError: if the servable has no such signature.
            InvalidArgumentError: if names, types or shapes are not those that the signature declares.
            tf.errors.OpError: if the graph refuses, e.g. because an image cannot be decoded.
        """
        declared = self.signature(signature)
        check_inputs(declared, inputs)
        tensors = {name: tf.constant(array, declared.inputs[name].dtype) for name, array in inputs.items()}
        try:
            outputs = self._functions[declared.name](**tensors)
        except UnicodeDecodeError as error:
            # TensorFlow quotes what it was given in its message, and then cannot read its own message: the message,
            # and that it is about the input, is all that is left of the error.
            message = bytes(error.object).decode("utf-8", errors="replace")
            raise tf.errors.InvalidArgumentError(None, None, message) from error
        return {name: outputs[name].numpy() for name in sorted(outputs)}

    def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> Prediction:
        """Runs a signature that takes encoded images.

        Args:
            images: encoded images, JPEG, PNG, ...
            signature: `serving_default` or `explain`.

        Returns:
            arrays by output name, as the contract names and shapes them.

        Raises:
            as `run`.
        """
        return self.run(signature, {contract.INPUT_IMAGE_BYTES: string_array(images)})


def _require_literal(version: Version) -> None:
    """Refuse paths in which TensorFlow would look for variables by a pattern."""
    character = next((character for character in str(version.path) if character in "[\\"), None)
    if character is not None:
        raise ServableError(
            f"{version.path}: must not lie below a directory whose name holds '{character}', which acts as a pattern "
            "where TensorFlow looks for variables. Rename the directory, or reach it by a link without it."
        )


def string_array(values: Sequence[bytes]) -> np.ndarray:
    """Returns an object array of shape (batch,). NumPy's own bytes type would drop trailing zero bytes."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def check_inputs(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
    """Checks names, types and shapes of a request against a signature.

    Raises:
        InvalidArgumentError: naming the input, what it must be, and what it is.
    """
    if inputs.keys() != signature.inputs.keys():
        raise InvalidArgumentError(
            f"inputs of signature '{signature.name}' must be {{{', '.join(sorted(signature.inputs))}}}, "
            f"got {{{', '.join(sorted(inputs))}}}."
        )
    for name, spec in signature.inputs.items():
        array = inputs[name]
        dtype = "string" if array.dtype == object else array.dtype.name
        if dtype != spec.dtype:
            raise InvalidArgumentError(f"{name}: must be of type {spec.dtype}, got {dtype}.")
        if not spec.admits(array.shape):
            raise InvalidArgumentError(f"{name}: must have shape {spec.written()}, got {list(array.shape)}.")
    rows = {name: array.shape[0] for name, array in inputs.items() if array.ndim}
    if len(set(rows.values())) > 1:
        raise InvalidArgumentError(f"inputs must all have the same number of rows, got {rows}.")


def _read_signature_defs(version: Version) -> dict[str, meta_graph_pb2.SignatureDef]:
    path = version.path / SAVED_MODEL_FILE
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError is not the same class in all of its implementations
        raise ServableError(f"{path}: is no SavedModel, or is damaged: {error}") from error
    for graph in saved_model.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ServableError(f"{path}: holds no graph with the tag '{_SERVE_TAG}'. Export it with tf.saved_model.save.")


def _signature(name: str, definition: meta_graph_pb2.SignatureDef) -> Signature:
    return Signature(
        name,
        {key: _tensor_spec(info) for key, info in definition.inputs.items()},
        {key: _tensor_spec(info) for key, info in definition.outputs.items()},
    )


def _tensor_spec(info: meta_graph_pb2.TensorInfo) -> TensorSpec:
    shape = tf.TensorShape(info.tensor_shape)
    return TensorSpec(tf.dtypes.as_dtype(info.dtype).name, None if shape.rank is None else tuple(shape.as_list()))


def _check_contract(signatures: Mapping[str, Signature], version: Version) -> None:
    faults = []
    for name, (input_name, output_names) in contract.SIGNATURES.items():
        if name not in signatures:
            faults.append(f"signature '{name}' is missing")
            continue
        inputs = signatures[name].inputs
        if inputs.keys() != {input_name} or inputs[input_name] != TensorSpec("string", (None,)):
            faults.append(f"signature '{name}' must take one string [batch] named '{input_name}'")
        missing = [output for output in output_names if output not in signatures[name].outputs]
        if missing:
            faults.append(f"signature '{name}' lacks the outputs {', '.join(missing)}")
    if faults:
        raise ServableError(
            f"{version.path}: does not keep the serving contract: {'; '.join(faults)}. "
            "Export the servable again with this release, e.g. by `genattr run CONFIG`."
        )
