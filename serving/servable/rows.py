"""Running a batch so that a failure names the row that caused it.

A graph that decodes a batch fails as a whole. Headers are therefore checked row by row first. What our servables'
graphs refuse by a header names its row, `image_bytes[3]: ...`; for anything else, such as corrupt data behind a good
header, `serving.bad_rows` finds the first row at fault.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from serving import contract, images
from serving.bad_rows import RefusedRow, batch_error, isolate_bad_rows
from serving.errors import BadRowError, InternalError, InvalidArgumentError, ResourceExhaustedError
from serving.servable.model import Prediction, Servable, check_inputs

_ASSERTION = re.compile(r"assertion failed: \[(.*)\]")
_NEXT_VALUE = "] ["  # between the values that one assertion shows; the first is its message
_ESCAPED = re.compile(r"\\(['\"\\?])")
_NODE = re.compile(r"\s*\[\[\{\{node .*", re.DOTALL)
_PREAMBLE = re.compile(r"^\s*(\(\d+\)\s*)?(INVALID_ARGUMENT:)?\s*(\{\{function_node [^}]*\}\}\s*)*")
_NO_EXAMPLE = "Could not parse example input"


def run_batch(servable: Servable, signature: str, inputs: Mapping[str, np.ndarray]) -> Prediction:
    """Runs one batch.

    Args:
        servable: what to run.
        signature: name of the signature; empty means `serving_default`.
        inputs: an array for each input; strings as object arrays of bytes.

    Returns:
        arrays by output name.

    Raises:
        BadRowError: if one row is at fault.
        SignatureNotFoundError, InvalidArgumentError: if the request as a whole is.
        ResourceExhaustedError: if memory ran out.
        InternalError: if the graph failed for any other reason.
    """
    declared = servable.signature(signature)
    check_inputs(declared, inputs)
    if contract.INPUT_IMAGE_BYTES in inputs:
        for row, image in enumerate(inputs[contract.INPUT_IMAGE_BYTES]):
            if (reason := images.refusal(image)) is not None:
                raise BadRowError(contract.INPUT_IMAGE_BYTES, row, reason)
    try:
        return servable.run(declared.name, inputs)
    except tf.errors.InvalidArgumentError as error:
        raise _blame(servable, declared.name, inputs, error) from error
    except tf.errors.ResourceExhaustedError as error:
        raise ResourceExhaustedError(f"out of memory; send fewer rows: {graph_reason(error)}") from error
    except tf.errors.OpError as error:
        raise InternalError(f"the servable failed: {graph_reason(error)}") from error


def graph_reason(error: tf.errors.OpError) -> str:
    """Returns what an operation complained of, without the graph's node names around it.

    Example:
        "Graph execution error: ... Unknown image file format. ...\\n\\t [[{{node DecodeImage}}]]" becomes
        "Unknown image file format. ...". Of a failed assertion it is the message.
    """
    message = str(error.message)
    if _NO_EXAMPLE in message:
        return "is no serialized tf.Example"  # TensorFlow would repeat all of it
    if assertion := _ASSERTION.search(message):
        # TensorFlow shows strings with their quotes and backslashes escaped.
        return _ESCAPED.sub(r"\1", assertion.group(1).split(_NEXT_VALUE)[0])
    lines = [line for line in _NODE.sub("", message).splitlines() if line.strip()]
    return _PREAMBLE.sub("", lines[-1]).strip() if lines else type(error).__name__


def _blame(
    servable: Servable, signature: str, inputs: Mapping[str, np.ndarray], error: tf.errors.OpError
) -> InvalidArgumentError:
    """Return the error that names the row at fault, or that of the batch if every row passes alone."""
    name = next(iter(inputs))
    refused = batch_error(graph_reason(error))
    if isinstance(refused, BadRowError):
        # The graph sees images, wherever they came from; the caller sees the input that they came in.
        return BadRowError(name, refused.row, refused.reason)

    def run(rows: Sequence[int]) -> Sequence[int]:
        try:
            servable.run(signature, {key: array[rows] for key, array in inputs.items()})
        except tf.errors.InvalidArgumentError as failure:
            raise batch_error(graph_reason(failure)) from failure
        return rows

    for row, outcome in isolate_bad_rows(run, range(len(inputs[name])), known_to_fail=True):
        if isinstance(outcome, RefusedRow):
            return BadRowError(name, row, outcome.reason)
    return refused
