"""tf.Example messages and TFRecord files, written without TensorFlow.

Importing TensorFlow costs seconds in every worker process, for two formats that are a few lines each. Both are fixed;
TensorFlow reads the result (a test does). Equal examples give equal bytes.

Source: tensorflow/core/example/{example,feature}.proto; tensorflow/core/lib/io/record_writer.h; protobuf's wire format.
"""

import gzip
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c

_LENGTH_DELIMITED = 2  # protobuf wire type
_BYTES = tuple(bytes([value]) for value in range(0x80))
# Stored: what is inside is compressed already. To compress it again takes 17 times as long as to write it (128 px PNG)
# and saves less than a hundredth.
_COMPRESSION_LEVEL = 0


def encode_example(features: Mapping[str, bytes | int]) -> bytes:
    """Serializes a tf.Example with one value a feature.

    Args:
        features: name to value; bytes become a bytes_list, integers (0 or positive) an int64_list.

    Returns:
        The serialized message, features in order of their names.
    """
    entries = []
    for name in sorted(features):
        value = features[name]
        # Feature.bytes_list (1) or .int64_list (3); in either the values are field 1, integers packed.
        kind, payload = (1, value) if isinstance(value, bytes) else (3, _varint(value))
        feature = _field(kind, _field(1, payload))
        entries.append(_field(1, _key(name) + _field(2, feature)))  # Features.feature: key, value
    return _field(1, b"".join(entries))  # Example.features


class RecordWriter:
    """Writes one TFRecord file in the gzip format; a context manager.

    Args:
        path: the file to write.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        # Neither name nor time in the header: equal records give equal files.
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION_LEVEL, fileobj=self._raw, mtime=0)

    def write(self, record: bytes) -> None:
        """Appends one record."""
        length = len(record).to_bytes(8, "little")
        self._file.write(length + _masked_crc(length) + record + _masked_crc(record))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._raw.close()


def _masked_crc(data: bytes) -> bytes:
    """CRC-32C, rotated and offset as TFRecord wants it (so that a CRC of data with CRCs inside stays sound)."""
    crc = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


@lru_cache
def _key(name: str) -> bytes:
    return _field(1, name.encode())


def _field(number: int, payload: bytes) -> bytes:
    """One length-delimited protobuf field."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Protobuf's variable-length integer, for values that are not negative."""
    if 0 <= value <= 0x7F:  # nearly all of them
        return _BYTES[value]
    if value < 0:
        raise ValueError(f"value: must not be negative, got {value}.")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
