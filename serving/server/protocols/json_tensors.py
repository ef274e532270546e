"""TF Serving's JSON for tensors: row and column format, both ways.

    row     {"signature_name": s, "instances": [{"image_bytes": {"b64": ...}}, ...]}  ->  {"predictions": [...]}
    column  {"signature_name": s, "inputs": {"image_bytes": [{"b64": ...}, ...]}}     ->  {"outputs": {...}}

Where a signature has one input, its name may be left out ({"instances": [{"b64": ...}, ...]}); where it has one output,
the answer leaves its name out. Strings are UTF-8, or bytes as {"b64": base64}; outputs whose name ends in `_bytes` are
written as the latter.

Source: TF Serving's REST API documentation, sections "Request format" and "Encoding binary values".
"""

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from serving.errors import InvalidArgumentError
from serving.servable.signatures import TensorSpec

_ROW_INPUTS = "instances"
_ROW_OUTPUTS = "predictions"
_COLUMN_INPUTS = "inputs"
_COLUMN_OUTPUTS = "outputs"
_SIGNATURE_NAME = "signature_name"
_BASE64 = "b64"
_BYTES_SUFFIX = "_bytes"

_QUOTED_CHARACTERS = 200

_FLOATS = ("float16", "float32", "float64")


class Layout(Enum):
    """How a request writes its tensors; the answer is written the same way."""

    ROW = "row"
    COLUMN = "column"


def parse_document(body: bytes) -> dict[str, Any]:
    """Parses a request's body.

    Args:
        body: JSON in UTF-8.

    Returns:
        the JSON object.

    Raises:
        InvalidArgumentError: if it is not JSON, or not an object.
    """
    if not body.strip():
        raise InvalidArgumentError("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_first_of_each)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgumentError(f"JSON Value: {quoted(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature that a request asks for, or "" for the default one.

    Raises:
        InvalidArgumentError: if it is not a string.
    """
    name = document.get(_SIGNATURE_NAME, "")
    if not isinstance(name, str):
        raise InvalidArgumentError(
            f"JSON Value: {quoted(document)} not formatted correctly. '{_SIGNATURE_NAME}' key must be a string value."
        )
    return name


def read_inputs(
    document: Mapping[str, Any], specs: Mapping[str, TensorSpec], check_rows: Callable[[int], None]
) -> tuple[Layout, dict[str, np.ndarray]]:
    """Builds the input arrays of a predict request.

    Args:
        document: the request, as from `parse_document`.
        specs: the signature's inputs.
        check_rows: raises if a number of rows is above the limit; called before the rows are read.

    Returns:
        the layout, and an array for each input; strings as object arrays of bytes.

    Raises:
        InvalidArgumentError: naming the place in the request, the rule and what stands there.
    """
    if _ROW_INPUTS in document and _COLUMN_INPUTS in document:
        raise InvalidArgumentError(
            f"JSON Value: {quoted(document)} Not formatted correctly expecting only one of "
            f"'{_COLUMN_INPUTS}' or '{_ROW_INPUTS}' keys to exist"
        )
    if _ROW_INPUTS in document:
        if not isinstance(document[_ROW_INPUTS], list):
            raise InvalidArgumentError(f"JSON Value: {quoted(document)} Excepting '{_ROW_INPUTS}' to be an list/array")
        if not document[_ROW_INPUTS]:
            raise InvalidArgumentError(f"JSON Value: {quoted(document)} No values in '{_ROW_INPUTS}' array")
        return Layout.ROW, _read_rows(document[_ROW_INPUTS], specs, check_rows)
    if _COLUMN_INPUTS in document:
        return Layout.COLUMN, _read_columns(document[_COLUMN_INPUTS], specs, check_rows)
    raise InvalidArgumentError(f"Missing '{_COLUMN_INPUTS}' or '{_ROW_INPUTS}' key")


def write_outputs(layout: Layout, outputs: Mapping[str, np.ndarray]) -> bytes:
    """Writes output arrays as a response's body.

    Args:
        layout: the request's layout.
        outputs: an array for each output, at least one.

    Returns:
        JSON in UTF-8. float32 values have the fewest digits that read back as the same float32.

    Raises:
        InvalidArgumentError: if the row format is asked and the outputs do not all have the same number of rows.
    """
    values = {name: _to_json(name, array) for name, array in outputs.items()}
    single = next(iter(values.values())) if len(values) == 1 else None
    if layout is Layout.COLUMN:
        document: dict[str, Any] = {_COLUMN_OUTPUTS: values if single is None else single}
    else:
        rows = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
        if None in rows.values() or len(set(rows.values())) != 1:
            raise InvalidArgumentError(f"outputs have no common number of rows: {rows}. Ask in the column format.")
        if single is None:
            predictions = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        else:
            predictions = single
        document = {_ROW_OUTPUTS: predictions}
    return json.dumps(document).encode("utf-8")


def _read_rows(
    rows: list[Any], specs: Mapping[str, TensorSpec], check_rows: Callable[[int], None]
) -> dict[str, np.ndarray]:
    check_rows(len(rows))
    named = _is_named(rows[0])
    if not named and len(specs) > 1:
        raise InvalidArgumentError(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            f"tensorinfo_map: {','.join(sorted(specs))}"
        )
    for position, row in enumerate(rows):
        if _is_named(row) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise InvalidArgumentError(f"Expecting {expected} but got {got} at item {position} of input list")
        if named and row.keys() != specs.keys():
            raise InvalidArgumentError(
                f"Failed to process element: {position} of '{_ROW_INPUTS}' list. "
                f"JSON object: {quoted(row)} keys must be equal to: {','.join(sorted(specs))}"
            )
    if not named:
        (name,) = specs
        return {name: _array(rows, specs[name], name)}
    return {name: _array([row[name] for row in rows], spec, name) for name, spec in specs.items()}


def _read_columns(
    columns: Any, specs: Mapping[str, TensorSpec], check_rows: Callable[[int], None]
) -> dict[str, np.ndarray]:
    for column in columns.values() if _is_named(columns) else [columns]:
        check_rows(len(column) if isinstance(column, list) else 0)
    if not _is_named(columns):
        if len(specs) > 1:
            raise InvalidArgumentError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                f"tensorinfo_map: {','.join(sorted(specs))}"
            )
        (name,) = specs
        return {name: _array(columns, specs[name], name)}
    for name in specs:
        if name not in columns:
            raise InvalidArgumentError(f"Missing named input: {name} in '{_COLUMN_INPUTS}' object.")
    return {name: _array(columns[name], spec, name) for name, spec in specs.items()}


def quoted(value: Any) -> str:
    """Returns a JSON value for a message, cut where it is long."""
    text = ""
    for part in json.JSONEncoder().iterencode(value):  # piece by piece, because the value may be a whole request
        text += part
        if len(text) > _QUOTED_CHARACTERS:
            return f"{text[:_QUOTED_CHARACTERS]}..."
    return text


def kind_name(value: Any) -> str:
    """Returns what TF Serving calls the kind of a JSON value."""
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")


def _first_of_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object; where a key is repeated the first one counts, as in TF Serving."""
    found = dict(members)
    return found if len(found) == len(members) else dict(reversed(members))


def _is_named(value: Any) -> bool:
    """Says whether a value is an object that is not {"b64": "..."}, which stands for bytes."""
    return isinstance(value, dict) and not (value.keys() == {_BASE64} and isinstance(value[_BASE64], str))


def _array(value: Any, spec: TensorSpec, name: str) -> np.ndarray:
    """Builds one array; the first element at each depth fixes the shape that all others must have."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    # The rank is checked before the elements are: it bounds how deep the recursion below goes.
    if not spec.admits(shape):
        raise InvalidArgumentError(f"{name}: must have shape {spec.written()}, got {shape}.")
    leaves: list[Any] = []
    _collect(value, shape, spec.dtype, name, leaves)
    flat = np.empty(len(leaves), dtype=object if spec.dtype == "string" else spec.dtype)
    try:
        flat[:] = leaves
    except (OverflowError, ValueError) as error:
        raise InvalidArgumentError(f"{name}: holds a value that {spec.dtype} cannot: {error}.") from error
    return flat.reshape(shape)


def _collect(value: Any, shape: list[int], dtype: str, where: str, leaves: list[Any]) -> None:
    if not shape:
        if isinstance(value, list):
            raise InvalidArgumentError(f"{where}: must be a single value, got a list.")
        leaves.append(_leaf(value, dtype, where))
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        got = f"{len(value)}" if isinstance(value, list) else _kind(value)
        raise InvalidArgumentError(f"{where}: must be a list of {shape[0]}, as the first of its kind is, got {got}.")
    for position, element in enumerate(value):
        _collect(element, shape[1:], dtype, f"{where}[{position}]", leaves)


def _leaf(value: Any, dtype: str, where: str) -> Any:
    if dtype == "string":
        if isinstance(value, str):
            return _utf8(value, where)
        if isinstance(value, dict) and not _is_named(value):
            return _decode_base64(value[_BASE64], where)
        raise InvalidArgumentError(f'{where}: must be {{"b64": "<base64>"}} or a string, got {_kind(value)}.')
    if dtype == "bool":
        accepted = isinstance(value, bool)
    elif dtype.startswith(("int", "uint")):
        accepted = isinstance(value, int) and not isinstance(value, bool)
    else:
        accepted = isinstance(value, int | float) and not isinstance(value, bool)
    if not accepted:
        raise InvalidArgumentError(f"{where}: must be of type {dtype}, got {_kind(value)}.")
    if dtype in _FLOATS and _largest(dtype, value) < abs(value) < math.inf:
        raise InvalidArgumentError(f"{where}: Cannot convert JSON value: {value} to {dtype} without loss of precision.")
    return value


def _largest(dtype: str, value: float) -> float:
    """Returns the largest number of the type; for an integer, the largest up to which the type has every integer."""
    limits = np.finfo(dtype)
    return 2 ** (limits.nmant + 1) - 1 if isinstance(value, int) else float(limits.max)


def _utf8(value: str, where: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{where}: is no valid Unicode: {error}.") from error


def _decode_base64(text: str, where: str) -> bytes:
    compact = "".join(text.split())
    # TF Serving takes base64 with or without its padding.
    padded = compact.rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError(f"{where}: is no valid base64: {error}.") from error


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        flat = np.empty(array.size, dtype=object)
        for position, value in enumerate(array.ravel()):
            if name.endswith(_BYTES_SUFFIX):
                flat[position] = {_BASE64: base64.b64encode(value).decode("ascii")}
            else:
                flat[position] = value.decode("utf-8", errors="replace")
        return flat.reshape(array.shape).tolist()
    if array.dtype in (np.float16, np.float32):
        # By way of the decimal text: a plain cast to double would write 0.2 as 0.20000000298023224.
        return array.astype("U32").astype(np.float64).tolist()
    return array.tolist()


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"the number {value}")
