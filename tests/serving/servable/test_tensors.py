import contextlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.errors import BatchTooLargeError, InvalidArgumentError
from serving.servable.signatures import TensorSpec
from serving.servable.tensors import array_from_proto, write_tensor

NUMBERS = [
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "complex64", "complex128"),
]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


def written(array):
    proto = tensor_pb2.TensorProto()
    write_tensor(array, proto)
    return proto


def read(proto, spec, most_rows=100):
    def check_rows(rows):
        if rows > most_rows:
            raise BatchTooLargeError(f"{rows} rows")

    return array_from_proto("x", proto, spec, check_rows)


@st.composite
def tensors(draw):
    shape = draw(SHAPES)
    if draw(st.integers(0, 5)) == 0:
        return draw(arrays.arrays(object, shape, elements=st.binary(max_size=5)))
    return draw(arrays.arrays(np.dtype(draw(st.sampled_from(NUMBERS))), shape))


@given(tensors())
@settings(max_examples=400, deadline=None)
def test_tensorflow_reads_back_what_is_written(array):
    proto = written(array)
    again = tf.make_ndarray(proto)
    assert proto.dtype == tf.as_dtype(tf.string if array.dtype == object else array.dtype).as_datatype_enum
    assert again.shape == array.shape
    # Bit by bit: a NaN keeps its place, and zero its sign.
    assert again.tolist() == array.tolist() if array.dtype == object else again.tobytes() == array.tobytes()
    assert not proto.tensor_content  # clients in other languages read the typed fields


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.dtypes.experimental.float8_e5m2, tf.dtypes.experimental.int4])
@pytest.mark.parametrize("shape", [(0, 2), (3,), ()])
def test_types_that_numpy_does_not_have_are_written_too(dtype, shape):
    array = np.full(shape, 2, dtype.as_numpy_dtype)
    proto = written(array)
    assert proto.dtype == dtype.as_datatype_enum
    assert tf.make_ndarray(proto).astype(np.float32).tolist() == array.astype(np.float32).tolist()


def test_slices_and_transposed_arrays_are_written_in_their_own_order():
    array = np.arange(24, dtype=np.complex64).reshape(2, 3, 4)[:, ::2].T
    np.testing.assert_array_equal(tf.make_ndarray(written(array)), array)


@given(tensors())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_as_the_same(array):
    name = "string" if array.dtype == object else array.dtype.name
    again = read(written(array), TensorSpec(name, None))
    assert (again.shape, again.dtype) == (array.shape, array.dtype)
    assert again.tolist() == array.tolist() if array.dtype == object else again.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "proto",
    [
        tf.make_tensor_proto([[1.5, 2.5], [3.5, -4.5]]),  # tensor_content
        tf.make_tensor_proto(2.5, shape=[2, 2]),  # one value for all
    ],
)
def test_both_short_forms_of_numbers_are_read(proto):
    np.testing.assert_array_equal(read(proto, TensorSpec("float32", (None, 2))), tf.make_ndarray(proto))


def claim(dtype, *sizes, **fields):
    shape = {"dim": [{"size": size} for size in sizes]}
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **fields)


@pytest.mark.parametrize(
    ("proto", "spec", "part"),
    [
        (claim(types_pb2.DT_INVALID, 1), TensorSpec("string", (None,)), "must say its dtype"),
        (claim(9999, 1), TensorSpec("string", (None,)), "must say its dtype"),
        (claim(types_pb2.DT_FLOAT_REF, 1), TensorSpec("float32", (None,)), "must be of type float32"),
        (claim(types_pb2.DT_STRING, -1), TensorSpec("string", (None,)), "must have shape"),
        (claim(types_pb2.DT_STRING, 2, string_val=[b"a"]), TensorSpec("string", (None,)), "must hold 2 values"),
        (claim(types_pb2.DT_STRING, 1, tensor_content=b"\1a"), TensorSpec("string", (None,)), "must hold 1 values"),
        (claim(types_pb2.DT_FLOAT, 2), TensorSpec("float32", (None,)), "must hold 2 values"),
        (claim(types_pb2.DT_FLOAT, 1, float_val=[1, 2]), TensorSpec("float32", (None,)), "must hold 1 values"),
        (claim(types_pb2.DT_FLOAT, 1, tensor_content=b"abc"), TensorSpec("float32", (None,)), "parsing error: x"),
        (claim(types_pb2.DT_UINT8, 1, int_val=[300]), TensorSpec("uint8", (None,)), "parsing error: x"),
        (claim(types_pb2.DT_HALF, 1, half_val=[-1]), TensorSpec("float16", (None,)), "parsing error: x"),
        (claim(types_pb2.DT_COMPLEX64, 1, scomplex_val=[1]), TensorSpec("complex64", (None,)), "must hold 1 values"),
        (claim(types_pb2.DT_FLOAT, 1, 2**40, float_val=[1]), TensorSpec("float32", (None, None)), "filled up to"),
        (claim(types_pb2.DT_DOUBLE, 1, 2**62, 2**62, double_val=[1]), TensorSpec("float64", None), "filled up to"),
    ],
)
def test_a_tensor_that_contradicts_itself_or_the_signature_is_refused(proto, spec, part):
    with pytest.raises(InvalidArgumentError) as caught:
        read(proto, spec)
    assert part in str(caught.value)
    assert "x" in str(caught.value)


def test_the_number_of_rows_is_checked_before_values_are():
    with pytest.raises(BatchTooLargeError):
        read(claim(types_pb2.DT_STRING, 101), TensorSpec("string", (None,)))


@given(st.binary(max_size=60), st.sampled_from(["string", "float32", "uint8", "bool", "complex64", "bfloat16"]))
@settings(max_examples=500, deadline=None)
def test_any_message_is_read_or_refused(message, dtype):
    proto = tensor_pb2.TensorProto()
    try:
        proto.ParseFromString(message)
    except Exception:
        return  # gRPC refuses it before we see it
    proto.dtype = tf.as_dtype(dtype).as_datatype_enum
    with contextlib.suppress(InvalidArgumentError):
        read(proto, TensorSpec(dtype, None))
