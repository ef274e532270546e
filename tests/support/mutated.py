"""Image files that encoders and damage can make: valid ones of every kind, and mutations of them.

Everything is drawn from the `random.Random` that is handed in: the same seed makes the same files. Every file has
pixels of its own, so that none is left out as another's duplicate.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, PngImagePlugin

from tests.support import rare_jpegs
from tests.support.lossless_jpeg import lossless_jpeg

SIDE = 24
FORMATS = ("png", "jpg", "webp")

_PNG_START = b"\x89PNG\r\n\x1a\n"
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

Chunks = list[tuple[bytes, bytes]]  # type and content


def mutated_file(draw: random.Random, image_format: str) -> tuple[str, bytes]:
    """Make one file.

    Args:
        draw: Source of chance.
        image_format: "png", "jpg" or "webp".

    Returns:
        The kind of its mutation, and its bytes.
    """
    make = {"png": _png, "jpg": _jpeg, "webp": _webp}[image_format]
    return make(draw)


def _pixels(draw: random.Random, channels: int = 3) -> np.ndarray:
    random_bits = np.random.default_rng(draw.getrandbits(63))
    coarse = random_bits.integers(0, 256, (6, 6, channels), np.uint8).repeat(4, 0).repeat(4, 1) // 2
    return coarse + random_bits.integers(0, 100, (SIDE, SIDE, channels), np.uint8)


def _saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


# PNG


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    """Write one chunk of a PNG, with the right checksum or another one."""
    right = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", right if checksum is None else checksum)


def _raw_rows(draw: random.Random, depth: int, channels: int, interlaced: bool) -> list[bytes]:
    """Rows of noise behind filters of all kinds, which always decode to something."""
    rows = []
    for top, left, down, across in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        count, columns = -(-(SIDE - top) // down), -(-(SIDE - left) // across)
        length = (columns * depth * channels + 7) // 8
        for _ in range(count):
            row = bytearray(draw.randbytes(length))
            kind = draw.randrange(5)
            if channels in (2, 4) and draw.random() < 0.9:  # opaque
                kind, step = 0, depth // 8
                for start in range(0, length, channels * step):
                    row[start + (channels - 1) * step : start + channels * step] = b"\xff" * step
            rows.append(bytes([kind]) + bytes(row))
    return rows


def _ancillary(draw: random.Random, colour: int) -> Chunks:
    pool: list[tuple[bytes, Callable[[], bytes]]] = [
        (b"gAMA", lambda: struct.pack(">I", draw.choice((45_455, 0, 2**32 - 1)))),
        (b"cHRM", lambda: draw.randbytes(32)),
        (b"sRGB", lambda: bytes([draw.randrange(6)])),
        (b"iCCP", lambda: b"name\0\0" + zlib.compress(draw.randbytes(draw.choice((0, 20, 132, 900))))),
        (b"pHYs", lambda: draw.randbytes(9)),
        (b"tIME", lambda: draw.randbytes(7)),
        (b"bKGD", lambda: draw.randbytes({0: 2, 2: 6, 3: 1, 4: 2, 6: 6}[colour])),
        (b"sBIT", lambda: draw.randbytes({0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[colour])),
        (b"hIST", lambda: draw.randbytes(draw.choice((2, 32, 512)))),
        (b"sPLT", lambda: b"palette\0\x08" + draw.randbytes(6 * draw.randrange(9))),
        (b"tEXt", lambda: b"Comment\0" + draw.randbytes(draw.randrange(300))),
        (b"zTXt", lambda: b"Comment\0\0" + zlib.compress(bytes(draw.choice((0, 10, 2_000_000))))),
        (b"iTXt", lambda: b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>" * draw.choice((1, 400_000)))),
        (b"eXIf", lambda: draw.choice((b"MM\0*\0\0\0\x08\0\0", draw.randbytes(30)))),
        (b"tRNS", lambda: draw.choice((b"\xff" * 16, draw.randbytes(draw.choice((2, 6, 16)))))),
        (b"acTL", lambda: struct.pack(">II", draw.randrange(3), 0)),
        (b"fcTL", lambda: struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 10, 0, 0)),
        (b"fdAT", lambda: draw.randbytes(40)),
        (b"vpAg", lambda: draw.randbytes(9)),
        (b"orNT", lambda: bytes([draw.randrange(9)])),
    ]
    return [(kind, make()) for kind, make in draw.sample(pool, draw.choice((0, 0, 0, 1, 1, 2, 4)))]


def _png_parts(draw: random.Random) -> tuple[Chunks, bytes, bytes]:
    """Return the chunks of a valid PNG (its ancillary ones may be nonsense), its header and its raw rows."""
    colour = draw.choice((0, 2, 2, 2, 3, 4, 6))
    depth = 8 if draw.random() < 0.7 else draw.choice(_DEPTHS[colour])
    interlaced = draw.random() < 0.2
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, interlaced)
    raw = b"".join(_raw_rows(draw, depth, _CHANNELS[colour], interlaced))
    chunks: Chunks = [(b"IHDR", header)]
    palette = [(b"PLTE", draw.randbytes(3 * 2**depth))] if colour == 3 else []
    if colour in (2, 6) and draw.random() < 0.05:
        palette = [(b"PLTE", draw.randbytes(3 * draw.randrange(1, 257)))]
    extra = _ancillary(draw, colour)
    cut = draw.randrange(len(extra) + 1)
    chunks += [*extra[:cut], *palette, *extra[cut:]]
    compressor = zlib.compressobj(draw.choice((0, 1, 6, 9)), zlib.DEFLATED, draw.choice((9, 12, 15)))
    stream = compressor.compress(raw) + compressor.flush()
    chunks += _split_stream(draw, stream)
    chunks += _ancillary(draw, colour) if draw.random() < 0.2 else []
    return [*chunks, (b"IEND", b"")], header, raw


def _split_stream(draw: random.Random, stream: bytes) -> Chunks:
    cuts = sorted(draw.randrange(len(stream) + 1) for _ in range(draw.choice((0, 0, 0, 1, 3, 30))))
    return [(b"IDAT", stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def _with_stream(draw: random.Random, chunks: Chunks, stream: bytes) -> Chunks:
    first = next(number for number, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    others = [item for item in chunks if item[0] != b"IDAT"]
    return [*others[:first], *_split_stream(draw, stream), *others[first:]]


def _assembled(chunks: Chunks) -> bytes:
    return _PNG_START + b"".join(chunk(kind, content) for kind, content in chunks)


def _png(draw: random.Random) -> tuple[str, bytes]:
    if draw.random() < 0.05:
        info = PngImagePlugin.PngInfo()
        info.add_text("workflow", "word " * draw.choice((1, 300_000)), zip=True)
        return "by Pillow", _saved(Image.fromarray(_pixels(draw)), "PNG", pnginfo=info)
    chunks, header, raw = _png_parts(draw)
    kind = draw.choice(
        ("valid", "valid", "bytes", "bytes", "chunks", "chunks", "chunks", "header", "stream", "stream", "stream")
    )
    if kind == "valid":
        return kind, _assembled(chunks)
    if kind == "bytes":
        return _damaged_bytes(draw, _assembled(chunks))
    if kind == "header":
        lying = bytearray(header)
        lying[draw.choice((3, 7, 8, 9, 10, 11, 12))] = draw.choice((0, 1, 2, 3, 4, 6, 8, 16, SIDE - 1, SIDE + 1, 255))
        return "header lies", _assembled([(b"IHDR", bytes(lying)), *chunks[1:]])
    if kind == "stream":
        name, stream = _damaged_stream(draw, raw)
        return f"stream {name}", _assembled(_with_stream(draw, chunks, stream))
    return _damaged_chunks(draw, chunks)


def _damaged_stream(draw: random.Random, raw: bytes) -> tuple[str, bytes]:
    good = zlib.compress(raw)
    row = len(raw) // SIDE
    level_bits = draw.randrange(256)
    kinds: dict[str, Callable[[], bytes]] = {
        "without checksum": lambda: good[:-4],
        "with half a checksum": lambda: good[: -draw.randrange(1, 4)],
        "with a wrong checksum": lambda: good[:-4] + draw.randbytes(4),
        "without the last row": lambda: zlib.compress(raw[: -draw.randrange(1, row + 1)]),
        "with half the rows": lambda: zlib.compress(raw[: draw.randrange(len(raw))]),
        "with rows too many": lambda: zlib.compress(raw + draw.randbytes(draw.choice((1, row, 9 * row)))),
        "with garbage behind": lambda: good + draw.randbytes(draw.randrange(1, 40)),
        "with an unknown filter": lambda: zlib.compress(bytes([draw.choice((5, 9, 255))]) + raw[1:]),
        "with a bit flipped": lambda: _flipped(draw, good),
        "without an end": lambda: good[: draw.randrange(2, len(good))],
        "with another header": lambda: bytes([level_bits, (31 - level_bits * 256 % 31) % 31]) + good[2:],
        "twice": lambda: good + good,
        "flushed": lambda: _flushed(raw),
        "with a dictionary": lambda: _with_dictionary(raw),
        "empty": lambda: b"",
    }
    name = draw.choice(sorted(kinds))
    return name, kinds[name]()


def _flushed(raw: bytes) -> bytes:
    compressor = zlib.compressobj()
    half = len(raw) // 2
    start = compressor.compress(raw[:half]) + compressor.flush(zlib.Z_FULL_FLUSH)
    return start + compressor.compress(raw[half:]) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _with_dictionary(raw: bytes) -> bytes:
    compressor = zlib.compressobj(zdict=raw[:100])
    return compressor.compress(raw) + compressor.flush()


def _damaged_chunks(draw: random.Random, chunks: Chunks) -> tuple[str, bytes]:
    place = draw.randrange(len(chunks))
    kind, content = chunks[place]
    other = draw.randrange(len(chunks))
    replaced: dict[str, Callable[[], Chunks]] = {
        "chunk removed": lambda: chunks[:place] + chunks[place + 1 :],
        "chunk twice": lambda: chunks[:place] + [chunks[place]] * 2 + chunks[place + 1 :],
        "chunk moved": lambda: _moved(chunks, place, other),
        "chunk copied": lambda: [*chunks[:other], chunks[place], *chunks[other:]],
        "unknown chunk": lambda: [*chunks[: place + 1], (draw.choice((b"ABCD", b"abCD", b"aBcd", b"abcd", b"IDOT")),
                                                        draw.randbytes(8)), *chunks[place + 1 :]],
        "type changed": lambda: [*chunks[:place], (_recased(draw, kind), content), *chunks[place + 1 :]],
        "content cut": lambda: [*chunks[:place], (kind, content[: draw.randrange(len(content) + 1)]),
                                *chunks[place + 1 :]],
        "content longer": lambda: [*chunks[:place], (kind, content + draw.randbytes(3)), *chunks[place + 1 :]],
        "content flipped": lambda: [*chunks[:place], (kind, _flipped(draw, content)), *chunks[place + 1 :]],
        "words behind": lambda: [*chunks, (b"tEXt", b"late\0words")],
    }  # fmt: skip
    name = draw.choice([*sorted(replaced), "wrong length", "wrong checksum"])
    if name in replaced:
        return name, _assembled(replaced[name]())
    whole = [chunk(*item) for item in chunks]
    if name == "wrong checksum":
        whole[place] = chunk(kind, content, draw.getrandbits(32))
    else:
        length = max(0, len(content) + draw.choice((-1, 1, 4, 12, 1000, 2**31 - 1, 2**31)))
        whole[place] = struct.pack(">I", length) + whole[place][4:]
    return name, _PNG_START + b"".join(whole)


def _moved(items: list, place: int, other: int) -> list:
    rest = items[:place] + items[place + 1 :]
    return [*rest[:other], items[place], *rest[other:]]


def _recased(draw: random.Random, kind: bytes) -> bytes:
    changed = bytearray(kind)
    changed[draw.randrange(4)] ^= 0x20
    return bytes(changed)


# JPEG

_OTHER_MARKERS = (0xDC, 0xDD, 0xDE, 0xDF, 0xF0, 0xC4, 0xDB, 0xCC, 0xC8)
_APPLICATIONS = (b"", b"JFIF\0", b"Adobe", b"MPF\0" + bytes(9), b"Exif\0\0")
_LENGTHS = (b"\0\0", b"\0\1", b"\0\2", b"\0\3", b"\1\0", b"\xff\xff")

Segments = list[bytes]  # SOI, then each segment with the data of the scan behind it, then EOI


def _jpeg_base(draw: random.Random) -> tuple[str, bytes]:
    kind = draw.choice(("RGB", "RGB", "RGB", "RGB", "L", "L", "CMYK", "YCCK", "lossless", "optimised", "rare"))
    if kind == "lossless":
        return kind, lossless_jpeg(_pixels(draw, draw.choice((1, 3))))
    if kind == "rare":
        return _rare_jpeg(draw)
    options: dict[str, object] = {"quality": draw.choice((1, 30, 75, 95, 100)), "progressive": draw.random() < 0.3}
    if draw.random() < 0.3:
        options["restart_marker_blocks"] = draw.choice((1, 2, 5))
    if draw.random() < 0.2:
        options["exif"] = draw.choice((b"Exif\0\0II*\0\xff\xff\xff\xff", _orientation(draw), b"Exif\0\0" + bytes(9)))
    if draw.random() < 0.1:
        options["icc_profile"] = draw.randbytes(draw.choice((1, 200, 3_000)))
    if draw.random() < 0.1:
        options["comment"] = draw.randbytes(20)
    if kind in ("CMYK", "YCCK"):
        image = Image.frombytes("CMYK", (SIDE, SIDE), _pixels(draw, 4).tobytes())
    else:
        options["subsampling"] = draw.choice((0, 1, 2))
        options["optimize"] = kind == "optimised"
        image = Image.fromarray(_pixels(draw)).convert("L" if kind == "L" else "RGB")
    data = _saved(image, "JPEG", **options)
    if kind == "YCCK":  # another transformation of its colours
        data = data.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\x02", 1)
    return kind, data


def _rare_jpeg(draw: random.Random) -> tuple[str, bytes]:
    """Return a file of a rare process, with pixels of its own by bits flipped in its last scan."""
    name = draw.choice(("ARITHMETIC", "ARITHMETIC_PROGRESSIVE", "ARITHMETIC_GREY", "TWELVE_BITS"))
    data: bytes = getattr(rare_jpegs, name)
    start = data.rindex(b"\xff\xda") + 16
    scan = _flipped(draw, data[start:-2]).replace(b"\xff", b"\xfe")
    return name.lower().replace("_", " "), data[:start] + scan + data[-2:]


def _orientation(draw: random.Random) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = draw.choice((0, 1, 1, 3, 6, 8, 9))
    return exif.tobytes()


def _segments(data: bytes) -> Segments:
    parts, position = [data[:2]], 2
    while position + 4 <= len(data) and data[position + 1] != 0xD9:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] == 0xDA:
            while not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
                end += 1
        parts.append(data[position:end])
        position = end
    return [*parts, data[position:]]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _jpeg(draw: random.Random) -> tuple[str, bytes]:
    base, data = _jpeg_base(draw)
    kind = draw.choice(("valid", "bytes", "bytes", "segments", "segments", "segments", "frame", "scan", "scan"))
    if kind == "valid":
        return f"valid {base}", data
    if kind == "bytes":
        return _damaged_bytes(draw, data)
    parts = _segments(data)
    if kind == "frame":
        return "frame lies", b"".join(_lying_frame(draw, part) for part in parts)
    if kind == "scan":
        scans = [number for number, part in enumerate(parts) if part[1:2] == b"\xda"]
        name, parts = _damaged_scan(draw, parts, draw.choice(scans))
        return f"scan {name}", b"".join(parts)
    return _damaged_segments(draw, parts)


def _lying_frame(draw: random.Random, part: bytes) -> bytes:
    if part[1:2] not in (b"\xc0", b"\xc2", b"\xc3"):
        return part
    frame = bytearray(part)
    what = draw.choice(("process", "process", "precision", "size", "count", "component", "component"))
    if what == "process":
        frame[1] = draw.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xC8))
    elif what == "precision":
        frame[4] = draw.choice((0, 1, 2, 12, 16, 255))
    elif what == "size":
        frame[draw.choice((5, 6, 7, 8))] = draw.choice((0, 1, SIDE - 1, SIDE + 1, 255))
    elif what == "count":
        frame[9] = draw.choice((0, 1, 2, 3, 4, 5, 255))
    else:
        frame[draw.randrange(10, len(frame))] = draw.choice((0, 1, 2, 3, 0x11, 0x12, 0x21, 0x22, 0x41, 0x33, 0xFF))
    return bytes(frame)


def _damaged_scan(draw: random.Random, parts: Segments, place: int) -> tuple[str, Segments]:
    scan = parts[place]
    body = 2 + int.from_bytes(scan[2:4], "big")
    cut = draw.randrange(body, len(scan) + 1)
    kinds: dict[str, Callable[[], bytes]] = {
        "cut": lambda: scan[:cut],
        "flipped": lambda: scan[:body] + _flipped(draw, scan[body:]),
        "marker inside": lambda: scan[:cut] + bytes([0xFF, draw.randrange(1, 255)]) + scan[cut:],
        "segment inside": lambda: (
            scan[:cut] + _segment(draw.choice((0xC4, 0xDB, 0xDD, 0xE1, 0xFE)), bytes(4)) + scan[cut:]
        ),
        "zeros inside": lambda: scan[:cut] + bytes(draw.randrange(60)) + scan[cut:],
        "filled": lambda: scan[:cut] + b"\xff" * draw.randrange(1, 9) + scan[cut:],
        "header changed": lambda: _flipped(draw, scan[4:body]).join((scan[:4], scan[body:])),
        "longer": lambda: scan + draw.randbytes(draw.randrange(1, 60)).replace(b"\xff", b"\0"),
        "restarts lost": lambda: b"".join(scan.split(b"\xff" + bytes([0xD0 + draw.randrange(8)]))),
        "twice": lambda: scan + scan,
        "empty": lambda: scan[:body],
    }  # fmt: skip
    name = draw.choice(sorted(kinds))
    return name, [*parts[:place], kinds[name](), *parts[place + 1 :]]


def _damaged_segments(draw: random.Random, parts: Segments) -> tuple[str, bytes]:
    place = draw.randrange(len(parts))
    other = draw.randrange(len(parts))
    part = parts[place]
    new = draw.choice(
        (
            _segment(draw.choice(_OTHER_MARKERS), draw.randbytes(draw.randrange(9))),
            _segment(0xE0 + draw.randrange(16), draw.choice(_APPLICATIONS)),
            _segment(0xE2, b"ICC_PROFILE\0" + draw.randbytes(draw.randrange(5))),
            _segment(0xED, b"Photoshop 3.0\0" + draw.randbytes(draw.randrange(30))),
            _segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([draw.randrange(4)])),
            _segment(0xC0, struct.pack(">BHHB", 8, SIDE, SIDE, 3) + b"\1\x11\0\2\x11\1\3\x11\1"),
            b"\xff\xd8",
            b"\xff\xd9",
            b"\xff\xff\xff",
            b"\xff\x01",
            bytes([0xFF, 0xD0 + draw.randrange(8)]),
            draw.randbytes(draw.randrange(1, 9)),
            bytes(4),
        )
    )  # fmt: skip
    kinds: dict[str, Callable[[], Segments]] = {
        "segment removed": lambda: parts[:place] + parts[place + 1 :],
        "segment twice": lambda: [*parts[:place], part, part, *parts[place + 1 :]],
        "segment moved": lambda: _moved(parts, place, other),
        "segment copied": lambda: [*parts[:other], part, *parts[other:]],
        "segment added": lambda: [*parts[: place + 1], new, *parts[place + 1 :]],
        "segment flipped": lambda: [*parts[:place], _flipped(draw, part), *parts[place + 1 :]],
        "wrong length": lambda: [
            *parts[:place], part[:2] + draw.choice(_LENGTHS) + part[4:], *parts[place + 1 :],
        ],
        "words behind": lambda: [*parts, draw.choice((b"words", bytes(100), b"\xff\xd8\xff", b"".join(parts)))],
    }  # fmt: skip
    name = draw.choice(sorted(kinds))
    return name, b"".join(kinds[name]())


# WebP


def _webp(draw: random.Random) -> tuple[str, bytes]:
    options: dict[str, object] = {"lossless": draw.random() < 0.5, "quality": draw.choice((1, 50, 100)), "exact": True}
    if draw.random() < 0.2:
        options["exif"] = draw.choice((_orientation(draw), draw.randbytes(20)))
    if draw.random() < 0.1:
        options["icc_profile"] = draw.randbytes(50)
    image = Image.fromarray(_pixels(draw))
    if draw.random() < 0.2:
        image.putalpha(255 if draw.random() < 0.7 else 254)
    if draw.random() < 0.1:
        options |= {"save_all": True, "append_images": [Image.fromarray(_pixels(draw))]}
    data = _saved(image, "WEBP", **options)
    kind = draw.choice(("valid", "bytes", "bytes", "chunks", "chunks"))
    if kind == "valid":
        return kind, data
    if kind == "bytes":
        return _damaged_bytes(draw, data)
    parts, position = [], 12
    while position + 8 <= len(data):
        end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "little") // 2 * 2
        end += 2 * (int.from_bytes(data[position + 4 : position + 8], "little") % 2)
        parts.append(data[position:end])
        position = end
    place, other = draw.randrange(len(parts)), draw.randrange(len(parts))
    part = parts[place]
    kinds: dict[str, Callable[[], list[bytes]]] = {
        "chunk removed": lambda: parts[:place] + parts[place + 1 :],
        "chunk twice": lambda: [*parts[:place], part, part, *parts[place + 1 :]],
        "chunk moved": lambda: _moved(parts, place, other),
        "unknown chunk": lambda: [*parts[:place], b"ABCD\4\0\0\0data", *parts[place:]],
        "wrong length": lambda: [*parts[:place], part[:4] + struct.pack("<I", draw.choice((0, 1, 9, 2**31, 2**32 - 1)))
                                 + part[8:], *parts[place + 1 :]],
        "flipped": lambda: [*parts[:place], _flipped(draw, part), *parts[place + 1 :]],
    }  # fmt: skip
    name = draw.choice(sorted(kinds))
    body = b"WEBP" + b"".join(kinds[name]())
    length = len(body) + (draw.choice((-9, 1, 2, 1000)) if draw.random() < 0.1 else 0)
    return name, b"RIFF" + struct.pack("<I", max(0, length)) + body


# Every format


def _flipped(draw: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8)) if damaged else 0):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def _damaged_bytes(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    place = draw.randrange(len(data))
    length = draw.randrange(1, 60)
    kinds: dict[str, Callable[[], bytes]] = {
        "bits flipped": lambda: _flipped(draw, data),
        "truncated": lambda: data[:place],
        "end cut": lambda: data[: -draw.randrange(1, 16)],
        "bytes lost": lambda: data[:place] + data[place + length :],
        "bytes inserted": lambda: data[:place] + draw.randbytes(length) + data[place:],
        "zeroed run": lambda: data[:place] + bytes(length) + data[place + length :],
        "garbage behind": lambda: data + draw.randbytes(length),
    }
    name = draw.choice(sorted(kinds))
    return name, kinds[name]()
