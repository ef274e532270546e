"""Whether an image file is whole, beyond what decoding it shows, and the part of it that its pixels depend on.

Decoders differ in what they forgive: Pillow accepts a PNG without its last bytes or rows and a JPEG without its end. So
files are used only if nothing of their pixels needs to be forgiven. Metadata are another matter: a text that is too
long, or a damaged colour profile, says nothing about the pixels and never costs an image.
"""

import re
import struct
import zlib
from collections.abc import Iterator

_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_OVERHEAD = 12  # length, type, checksum
_ANCILLARY = 0x20  # bit of the first letter of a chunk's type: a decoder may skip the chunk
# Ancillary chunks that are read nevertheless: transparency, the number of pictures, the orientation.
_PNG_READ = (b"tRNS", b"acTL", b"eXIf")
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_METADATA = (b"eXIf", *_PNG_TEXTS)
_PNG_ORIENTATION_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # keywords of texts that may hold one
_TEXT_LIMIT = 1 << 20  # bytes of such a text, unpacked; Pillow refuses the file above it
_INFLATED_AT_A_TIME = 1 << 20
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
# A marker is 0xFF and a byte that is neither 0x00 (a scan's data: 0xFF escaped), 0xFF (filling), 0x01 nor 0xD0..0xD7
# (temporary and restart markers, which have no segment).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_JPEG_END = 0xD9
_JPEG_SCAN = 0xDA
_JPEG_COMMENT = 0xFE
_JPEG_APPLICATIONS = range(0xE0, 0xF0)
# Application segments that are read: marker -> start of the content, and the bytes from which it is complete. JFIF and
# Adobe tell the colour space, Exif and XMP the orientation.
_JPEG_READ = {
    0xE0: ((b"JFIF\0", 14),),
    0xE1: ((b"Exif\0\0", 6), (b"http://ns.adobe.com/xap/1.0/\0", 29)),
    0xEE: ((b"Adobe", 12),),
}


def essential_png(data: bytes) -> bytes:
    """Return a PNG without the chunks that neither its pixels nor its orientation depend on.

    Args:
        data: The file, from its signature on; anything may stand behind the last chunk.

    Returns:
        The file as it came if it holds nothing else.

    Raises:
        ValueError: If a chunk is cut off, the checksum of one that counts is wrong, or the last one (IEND) is missing.

    Source: PNG specification, third edition, sections 5.3 and 5.4.
    """
    whole = memoryview(data)
    kept = [whole[:_PNG_SIGNATURE_BYTES]]
    texts: set[bytes] = set()
    is_all = True
    for position, kind, content in _png_chunks(data):
        end = position + _PNG_CHUNK_OVERHEAD + len(content)
        is_read = _is_read(kind, content, texts)
        if is_read and zlib.crc32(whole[position + 4 : end - 4]) != int.from_bytes(whole[end - 4 : end], "big"):
            if kind not in _PNG_METADATA:
                name = kind.decode("latin-1")
                raise ValueError(f"corrupt PNG (wrong checksum of chunk {name!r} at byte {position:,})")
            is_read = False
        if is_read:
            kept.append(whole[position:end])
        is_all = is_all and is_read
    return data if is_all else b"".join(kept)


def essential_kinds(data: bytes) -> set[bytes]:
    """Return the types of the chunks that `essential_png` keeps; it raises as that does."""
    return {kind for _, kind, _ in _png_chunks(essential_png(data))}


def check_png_rows(data: bytes) -> None:
    """Inflate a PNG's pixel stream, a part at a time, and count its bytes.

    Args:
        data: The file, its chunks whole and its header known to be valid.

    Raises:
        ValueError: If rows are missing.

    Source: PNG specification, third edition, sections 7.2 and 8.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for top, left, down, across in passes:
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        if rows > 0 and columns > 0:
            expected += rows * (1 + (columns * depth * _PNG_CHANNELS[colour] + 7) // 8)
    inflated = 0
    stream = zlib.decompressobj()
    for _, kind, content in _png_chunks(data):
        waiting = bytes(content) if kind == b"IDAT" else b""
        while waiting and inflated < expected:
            inflated += len(stream.decompress(waiting, _INFLATED_AT_A_TIME))
            waiting = stream.unconsumed_tail
    if inflated < expected:
        raise ValueError(f"truncated PNG (rows are missing: {inflated:,} of {expected:,} bytes of pixels)")


def essential_jpeg(data: bytes) -> bytes:
    """Return a JPEG without the comments and application segments that neither pixels nor orientation depend on.

    Args:
        data: The file, from its start marker on.

    Returns:
        The file as it came if its header holds nothing else. What stands behind the header, or behind anything in it
        that is no segment, stays.

    Source: ITU-T T.81, annex B.2.4.6; JFIF 1.02, page 5; Adobe technical note 5116, section 18.
    """
    kept, copied, position = [], 0, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= _JPEG_SCAN or length < 2 or end > len(data):
            break
        content = data[position + 4 : position + 4 + 32]
        is_read = any(content.startswith(start) and length - 2 >= least for start, least in _JPEG_READ.get(marker, ()))
        if marker == _JPEG_COMMENT or (marker in _JPEG_APPLICATIONS and not is_read):
            kept.append(data[copied:position])
            copied = end
        position = end
    return b"".join([*kept, data[copied:]]) if kept else data


def _png_chunks(data: bytes) -> Iterator[tuple[int, bytes, memoryview]]:
    """Yield position, type and content of each chunk up to IEND.

    Raises:
        ValueError: If one is cut off, or IEND is missing.
    """
    position = _PNG_SIGNATURE_BYTES
    kind = b""
    while kind != b"IEND":
        if position + _PNG_CHUNK_OVERHEAD > len(data):
            raise ValueError(f"truncated PNG (ends at byte {len(data):,} without an IEND chunk)")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + _PNG_CHUNK_OVERHEAD + length
        if end > len(data):
            raise ValueError(f"truncated PNG (expected at least {end:,} bytes, found {len(data):,})")
        yield position, kind, memoryview(data)[position + 8 : end - 4]
        position = end


def _is_read(kind: bytes, content: memoryview, texts: set[bytes]) -> bool:
    """Return whether a chunk is read; of texts the first of each keyword in `texts` alone, if it is not too long."""
    if not kind[0] & _ANCILLARY or kind in _PNG_READ:
        return True
    if kind not in _PNG_TEXTS:
        return False
    keyword = bytes(content[:80]).partition(b"\0")[0]
    if keyword not in _PNG_ORIENTATION_TEXTS or keyword in texts or not _is_short(kind, bytes(content), keyword):
        return False
    texts.add(keyword)
    return True


def _is_short(kind: bytes, content: bytes, keyword: bytes) -> bool:
    """Return whether a text unpacks to at most the limit; what cannot be unpacked does not."""
    start = len(keyword) + 1
    if kind == b"iTXt":
        packed, rest = content[start : start + 1] == b"\x01", content[start + 2 :]
        text = rest.split(b"\0", 2)[-1]  # behind language and translated keyword
    else:
        packed, text = kind == b"zTXt", content[start + 1 :]
    if not packed:
        return len(text) <= _TEXT_LIMIT
    stream = zlib.decompressobj()
    try:
        stream.decompress(text, _TEXT_LIMIT)
    except zlib.error:
        return False
    return not stream.unconsumed_tail


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
