"""TensorFlow's tensors on the wire to arrays, and arrays to tensors.

Both ways are written out by hand. Reading believes nothing that a message says about itself: type, shape and number of
values are checked before memory is taken. Writing fills the typed fields (float_val, string_val, ...), as TF Serving
does: clients in other languages read those, and tf.make_tensor_proto would use tensor_content instead and take several
times as long for the few values of a prediction.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.errors import InvalidArgumentError
from serving.servable.model import string_array
from serving.servable.signatures import TensorSpec

# A tensor may repeat its last value to fill its shape; beyond this many elements we want to see them sent.
_MOST_REPEATED = 1024 * 1024


def _bits(array: np.ndarray) -> list[int]:
    return array.view(np.uint16).tolist()


def _parts(array: np.ndarray) -> list[float]:
    """Real and imaginary part of each value, in turn."""
    return array.view(array.real.dtype).tolist()


# NumPy type -> (type on the wire, field that holds the values, how a flat array becomes that field's values).
_FIELDS: dict[np.dtype, tuple[int, str, Callable[[np.ndarray], list]]] = {
    np.dtype(object): (types_pb2.DT_STRING, "string_val", np.ndarray.tolist),
    np.dtype(np.float32): (types_pb2.DT_FLOAT, "float_val", np.ndarray.tolist),
    np.dtype(np.float64): (types_pb2.DT_DOUBLE, "double_val", np.ndarray.tolist),
    np.dtype(np.float16): (types_pb2.DT_HALF, "half_val", _bits),
    np.dtype(tf.bfloat16.as_numpy_dtype): (types_pb2.DT_BFLOAT16, "half_val", _bits),
    np.dtype(np.int8): (types_pb2.DT_INT8, "int_val", np.ndarray.tolist),
    np.dtype(np.int16): (types_pb2.DT_INT16, "int_val", np.ndarray.tolist),
    np.dtype(np.int32): (types_pb2.DT_INT32, "int_val", np.ndarray.tolist),
    np.dtype(np.int64): (types_pb2.DT_INT64, "int64_val", np.ndarray.tolist),
    np.dtype(np.uint8): (types_pb2.DT_UINT8, "int_val", np.ndarray.tolist),
    np.dtype(np.uint16): (types_pb2.DT_UINT16, "int_val", np.ndarray.tolist),
    np.dtype(np.uint32): (types_pb2.DT_UINT32, "uint32_val", np.ndarray.tolist),
    np.dtype(np.uint64): (types_pb2.DT_UINT64, "uint64_val", np.ndarray.tolist),
    np.dtype(np.bool_): (types_pb2.DT_BOOL, "bool_val", np.ndarray.tolist),
    np.dtype(np.complex64): (types_pb2.DT_COMPLEX64, "scomplex_val", _parts),
    np.dtype(np.complex128): (types_pb2.DT_COMPLEX128, "dcomplex_val", _parts),
}

_TYPE_NAMES = {
    number: tf.dtypes.as_dtype(number).name for number in types_pb2.DataType.values() if number != types_pb2.DT_INVALID
}

# The field of each type that may be shorter than the shape says; complex numbers take two values each.
_VALUES_FIELDS = {wire: field for wire, field, _ in _FIELDS.values()}
_VALUES_EACH = {types_pb2.DT_COMPLEX64: 2, types_pb2.DT_COMPLEX128: 2}


def write_tensor(array: np.ndarray, proto: tensor_pb2.TensorProto) -> None:
    """Writes an array into an empty tensor of the wire.

    Args:
        array: of any type that TensorFlow has, and any shape; strings as an object array of bytes.
        proto: where to; e.g. an entry of a response's map, so that nothing is copied.
    """
    known = _FIELDS.get(array.dtype)
    if known is None:  # eight bits and fewer: TensorFlow knows how to write them, and nobody is in a hurry
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype, field, values = known
    dimensions = proto.tensor_shape.dim
    for size in array.shape:
        dimensions.add(size=size)
    getattr(proto, field).extend(values(array.ravel()))


def array_from_proto(
    name: str, proto: tensor_pb2.TensorProto, spec: TensorSpec, check_rows: Callable[[int], None]
) -> np.ndarray:
    """Turns a tensor of the wire into an array, and believes nothing that it says about itself.

    Type, shape and number of values are checked before memory is taken: a message of a few bytes may claim a billion
    rows. One thing is narrower than in TF Serving: strings are never repeated to fill a shape, because a message with
    one large image could claim hundreds of them.

    Args:
        name: the input's name, for messages.
        proto: the tensor.
        spec: what the signature declares.
        check_rows: raises if a number of rows is above the limit.

    Returns:
        an array; strings as an object array of bytes.

    Raises:
        InvalidArgumentError: if it is not what the signature declares, or contradicts itself.
    """
    dtype = _TYPE_NAMES.get(proto.dtype)
    if dtype is None:
        raise InvalidArgumentError(f"{name}: must say its dtype, got {proto.dtype}.")
    if dtype != spec.dtype:
        raise InvalidArgumentError(f"{name}: must be of type {spec.dtype}, got {dtype}.")
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0 or not spec.admits(shape):
        raise InvalidArgumentError(f"{name}: must have shape {spec.written()}, got {shape}.")
    check_rows(shape[0] if shape else 0)
    count = math.prod(shape)
    if proto.dtype == types_pb2.DT_STRING:
        if len(proto.string_val) != count or proto.tensor_content:
            raise _contradiction(
                name, f"string_val must hold {count} values, as shape {shape} says, got {len(proto.string_val)}."
            )
        strings = string_array(proto.string_val)
        return strings if len(shape) == 1 else strings.reshape(shape)
    _check_repetition(name, proto, shape, count)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError) as error:
        raise _contradiction(name, f"{error}") from error


def _check_repetition(name: str, proto: tensor_pb2.TensorProto, shape: list[int], count: int) -> None:
    field = _VALUES_FIELDS.get(proto.dtype)
    if proto.tensor_content or field is None:
        return  # the number of bytes must then be right, or it cannot be reshaped
    sent = len(getattr(proto, field)) // _VALUES_EACH.get(proto.dtype, 1)
    if sent > count or (sent == 0 and count > 0):
        raise _contradiction(name, f"{field} must hold {count} values, as shape {shape} says, got {sent}.")
    if sent < count and count > _MOST_REPEATED:
        raise _contradiction(
            name, f"{field} may be filled up to {_MOST_REPEATED:,} values at most, shape {shape} has {count}."
        )


def _contradiction(name: str, reason: str) -> InvalidArgumentError:
    # The first words are TF Serving's, which clients know.
    return InvalidArgumentError(f"tensor parsing error: {name}: {reason}")
