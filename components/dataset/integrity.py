"""Whether an image file is whole, beyond what decoding it shows.

Decoders differ in what they forgive: Pillow accepts a PNG without its last bytes and a JPEG without its end, TensorFlow
does not, and a single such image would end a training run. So files are stored only if nothing needs to be forgiven.
"""

import re
import struct
import zlib

_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_OVERHEAD = 12  # length, type, checksum
# A marker is 0xFF and a byte that is neither 0x00 (a scan's data: 0xFF escaped), 0xFF (filling), 0x01 nor 0xD0..0xD7
# (temporary and restart markers, which have no segment).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_JPEG_END = 0xD9


def check_png(data: bytes) -> None:
    """Follows a PNG's chunks to the end.

    Args:
        data: the file, from its signature on; anything may stand behind the last chunk.

    Raises:
        ValueError: if a chunk is cut off or its checksum is wrong, or the last one (IEND) is missing.

    Source: PNG specification, third edition, section 5.3.
    """
    position = _PNG_SIGNATURE_BYTES
    while True:
        if position + _PNG_CHUNK_OVERHEAD > len(data):
            raise ValueError(f"truncated PNG (ends at byte {len(data):,} without an IEND chunk)")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + _PNG_CHUNK_OVERHEAD + length
        if end > len(data):
            raise ValueError(f"truncated PNG (expected at least {end:,} bytes, found {len(data):,})")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise ValueError(f"corrupt PNG (wrong checksum of chunk {kind.decode('latin-1')!r} at byte {position:,})")
        if kind == b"IEND":
            return
        position = end


def check_jpeg(data: bytes) -> None:
    """Follows a JPEG's segments and scans to the end marker.

    Args:
        data: the file, from its start marker on; anything may stand behind the end marker (phones append previews and
            films).

    Raises:
        ValueError: if there is no end marker.

    Source: ITU-T T.81, annex B.
    """
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        position = marker.end()
        if data[position - 1] == _JPEG_END:
            return
        # Every other marker has a segment with its length. Behind a scan's segment comes its data: the search skips it.
        position += int.from_bytes(data[position : position + 2], "big")
    raise ValueError(f"truncated JPEG (ends at byte {len(data):,} without an end marker)")
