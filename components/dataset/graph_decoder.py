"""The served graph's own image decoders, called through TensorFlow's C interface.

Whatever is stored as it came must decode in the graph. Pillow forgives other things than TensorFlow does, so TensorFlow
is asked. Importing it into Python would cost every worker process about 5 CPU seconds; its shared library alone, which
holds the very kernels that the graph runs, loads in about half a second.

Source: tensorflow/c/c_api.h, tensorflow/c/eager/c_api.h and tensorflow/c/tf_tstring.h, which are stable interfaces.
"""

import contextlib
import ctypes
import importlib.util
import os
import re
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np

_LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")  # the second needs the first
_STRING = 7  # TF_STRING
_STRING_BYTES = 24  # sizeof(TF_TString)
_OK = 0  # TF_OK
# ConfigProto {device_count {key: "GPU" value: 0} intra_op_parallelism_threads: 1 inter_op_parallelism_threads: 1}
_ONE_CPU = b"\x0a\x07\x0a\x03GPU\x10\x00\x10\x01\x28\x01"
_POINTER = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {  # name -> result, arguments
    "TF_NewStatus": (_POINTER, ()),
    "TF_DeleteStatus": (None, (_POINTER,)),
    "TF_GetCode": (ctypes.c_int, (_POINTER,)),
    "TF_Message": (ctypes.c_char_p, (_POINTER,)),
    "TF_AllocateTensor": (_POINTER, (ctypes.c_int, _POINTER, ctypes.c_int, ctypes.c_size_t)),
    "TF_TensorData": (_POINTER, (_POINTER,)),
    "TF_TensorByteSize": (ctypes.c_size_t, (_POINTER,)),
    "TF_NumDims": (ctypes.c_int, (_POINTER,)),
    "TF_Dim": (ctypes.c_int64, (_POINTER, ctypes.c_int)),
    "TF_DeleteTensor": (None, (_POINTER,)),
    "TF_StringInit": (None, (_POINTER,)),
    "TF_StringAssignView": (None, (_POINTER, ctypes.c_char_p, ctypes.c_size_t)),
    "TFE_NewContextOptions": (_POINTER, ()),
    "TFE_ContextOptionsSetConfig": (None, (_POINTER, ctypes.c_char_p, ctypes.c_size_t, _POINTER)),
    "TFE_NewContext": (_POINTER, (_POINTER, _POINTER)),
    "TFE_NewTensorHandle": (_POINTER, (_POINTER, _POINTER)),
    "TFE_DeleteTensorHandle": (None, (_POINTER,)),
    "TFE_TensorHandleResolve": (_POINTER, (_POINTER, _POINTER)),
    "TFE_NewOp": (_POINTER, (_POINTER, ctypes.c_char_p, _POINTER)),
    "TFE_DeleteOp": (None, (_POINTER,)),
    "TFE_OpAddInput": (None, (_POINTER, _POINTER, _POINTER)),
    "TFE_OpSetAttrInt": (None, (_POINTER, ctypes.c_char_p, ctypes.c_int64)),
    "TFE_OpSetAttrBool": (None, (_POINTER, ctypes.c_char_p, ctypes.c_ubyte)),
    "TFE_OpSetAttrString": (None, (_POINTER, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)),
    "TFE_Execute": (None, (_POINTER, _POINTER, _POINTER, _POINTER)),
}
_NODE = re.compile(r"^\{\{[^}]*\}\}\s*")  # what some messages begin with: the operation's name in the library
_ONE_AT_A_TIME = threading.Lock()  # C's stderr is the process's

Attributes = Mapping[bytes, int | bool | bytes]


class GraphRefusedError(Exception):
    """The graph's decoder refuses an image; the message is TensorFlow's reason."""


def decode_as_graph(image: bytes, is_jpeg: bool) -> np.ndarray:
    """Decode a JPEG or a PNG with the operations and attributes of components/features/image.py.

    Args:
        image: The encoded image.
        is_jpeg: Whether it is a JPEG.

    Returns:
        uint8 (height, width, 3), RGB, as stored: not turned.

    Raises:
        GraphRefusedError: If it cannot be decoded.
        RuntimeError: If TensorFlow's library cannot be loaded.
    """
    with _ONE_AT_A_TIME:
        decoder = _decoder()
        if is_jpeg:
            return decoder.run(b"DecodeJpeg", image, {b"channels": 3, b"dct_method": b"INTEGER_ACCURATE"})
        return decoder.run(b"DecodeImage", image, {b"channels": 3, b"expand_animations": False})


class _Decoder:
    """An eager context on the CPU."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        with self._status() as status:
            options = library.TFE_NewContextOptions()
            library.TFE_ContextOptionsSetConfig(options, _ONE_CPU, len(_ONE_CPU), status)
            self._context = library.TFE_NewContext(options, status)
            self._check(status)

    def run(self, operation: bytes, image: bytes, attributes: Attributes) -> np.ndarray:
        """Run an operation that makes a uint8 tensor of one string."""
        library = self._library
        with self._status() as status, contextlib.ExitStack() as owned:
            op = library.TFE_NewOp(self._context, operation, status)
            self._check(status)
            owned.callback(library.TFE_DeleteOp, op)
            for name, value in attributes.items():
                self._set(op, name, value)
            tensor = library.TF_AllocateTensor(_STRING, None, 0, _STRING_BYTES)
            owned.callback(library.TF_DeleteTensor, tensor)
            text = library.TF_TensorData(tensor)
            library.TF_StringInit(text)
            library.TF_StringAssignView(text, image, len(image))  # no copy: `image` outlives the call
            handle = library.TFE_NewTensorHandle(tensor, status)
            self._check(status)
            owned.callback(library.TFE_DeleteTensorHandle, handle)
            library.TFE_OpAddInput(op, handle, status)
            self._check(status)
            results, count = (_POINTER * 1)(), ctypes.c_int(1)
            with _c_messages_dropped():
                library.TFE_Execute(op, results, ctypes.byref(count), status)
            self._check(status)
            owned.callback(library.TFE_DeleteTensorHandle, results[0])
            decoded = library.TFE_TensorHandleResolve(results[0], status)
            self._check(status)
            owned.callback(library.TF_DeleteTensor, decoded)
            shape = [library.TF_Dim(decoded, number) for number in range(library.TF_NumDims(decoded))]
            pixels = ctypes.string_at(library.TF_TensorData(decoded), library.TF_TensorByteSize(decoded))
            return np.frombuffer(pixels, np.uint8).reshape(shape)

    def _set(self, op: int, name: bytes, value: int | bool | bytes) -> None:
        if isinstance(value, bytes):
            self._library.TFE_OpSetAttrString(op, name, value, len(value))
        elif isinstance(value, bool):
            self._library.TFE_OpSetAttrBool(op, name, value)
        else:
            self._library.TFE_OpSetAttrInt(op, name, value)

    @contextlib.contextmanager
    def _status(self) -> Iterator[int]:
        status = self._library.TF_NewStatus()
        try:
            yield status
        finally:
            self._library.TF_DeleteStatus(status)

    def _check(self, status: int) -> None:
        if self._library.TF_GetCode(status) != _OK:
            message = self._library.TF_Message(status).decode("utf-8", "replace")
            raise GraphRefusedError(_NODE.sub("", message).split("\n")[0])


@cache
def _decoder() -> _Decoder:
    """Load TensorFlow's library and make a context, once a process."""
    package = importlib.util.find_spec("tensorflow")  # found, not imported
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("tensorflow: is not installed; images cannot be checked with the served graph's decoder.")
    directory = Path(package.submodule_search_locations[0])
    try:
        with _c_messages_dropped():
            ctypes.CDLL(str(directory / _LIBRARIES[0]), ctypes.RTLD_GLOBAL)
            library = ctypes.CDLL(str(directory / _LIBRARIES[1]))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
            return _Decoder(library)
    except (OSError, AttributeError) as error:
        raise RuntimeError(
            f"{directory}: TensorFlow's C interface cannot be loaded ({error}). Install the version"
            " of requirements.lock."
        ) from error


@contextlib.contextmanager
def _c_messages_dropped() -> Iterator[None]:
    """Point C's stderr to nowhere: the library writes on loading, and libjpeg on damaged images, and no setting helps.

    File descriptor 2 stays, on which Python's own stderr and its progress bars write.
    """
    stderr, nowhere = _c_streams()
    kept, stderr.value = stderr.value, nowhere
    try:
        yield
    finally:
        stderr.value = kept


@cache
def _c_streams() -> tuple[ctypes.c_void_p, int]:
    """Return C's variable `stderr`, and a stream to the null device, which stays open with the process."""
    library = ctypes.CDLL(None)
    library.fopen.restype = _POINTER
    return _POINTER.in_dll(library, "stderr"), library.fopen(os.devnull.encode(), b"w")
