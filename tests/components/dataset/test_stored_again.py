"""What is stored as it came decodes in the served graph; what the graph refuses is stored again, or rejected."""

import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from components.dataset import graph_decoder
from components.dataset.graph_decoder import GraphRefusedError, decode_as_graph
from components.dataset.images import ImageRejectedError, check_image, decode_image
from components.dataset.integrity import essential_jpeg, essential_png
from components.dataset.manifest import Manifest
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.dataset.tree import Candidate, Source
from components.examples import names
from components.examples.records import RecordWriter
from tests.support.images import encode, noise
from tests.support.lossless_jpeg import lossless_jpeg

SIDE = 32
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    pixels: np.ndarray, *, before: bytes = b"", missing: int = 0, cut: int | None = None, interlaced: bool = False
) -> bytes:
    height, width = pixels.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = [b"\0" + row.tobytes() for top, left, down, across in passes for row in pixels[top::down, left::across]]
    raw = b"".join(rows[: len(rows) - missing])
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(raw)[:cut]) + chunk(b"IEND", b"")


def with_text(kind: str, length: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    text = '{"class": "Sampler"}, ' * (length // 22)
    if kind == "iTXt":
        info.add_itxt("workflow", text, zip=True)
    else:
        info.add_text("workflow", text, zip=kind == "zTXt")
    stream = io.BytesIO()
    Image.fromarray(noise(9)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
REFUSED_BY_THE_GRAPH = {
    "lossless.jpg": (lossless_jpeg(noise(1)), noise(1)),
    "lossless_grey.jpg": (lossless_jpeg(noise(2)[..., :1]), noise(2)[..., [0, 0, 0]]),
    "no_checksum_of_the_stream.png": (png(noise(3), cut=-4), noise(3)),
    "unknown_critical_chunk.png": (png(noise(4), before=chunk(b"ABCD", b"data")), noise(4)),
    "two_headers.png": (png(noise(5), before=HEADER), noise(5)),
}


@pytest.fixture
def read_images():
    """Reads the encoded images of a span, by path."""
    import tensorflow as tf

    def read(span: Path) -> dict[str, bytes]:
        spec = {name: tf.io.FixedLenFeature([], tf.string) for name in (names.PATH, names.IMAGE_BYTES)}
        records = tf.data.TFRecordDataset([str(file) for file in span.rglob("*.gz")], compression_type="GZIP")
        parsed = [tf.io.parse_single_example(record, spec) for record in records]
        return {row[names.PATH].numpy().decode(): row[names.IMAGE_BYTES].numpy() for row in parsed}

    return read


def test_what_the_graph_refuses_is_stored_again_without_loss_and_counted(small_tree, tmp_path, read_images):
    import tensorflow as tf

    for name, (data, _) in REFUSED_BY_THE_GRAPH.items():
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.io.decode_image(data, channels=3)
        (small_tree / "fake" / "gan_a" / name).write_bytes(data)
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))

    stored = read_images(tmp_path / "out" / "span-1")
    assert len(stored) == 30 + len(REFUSED_BY_THE_GRAPH)
    for name, (data, pixels) in REFUSED_BY_THE_GRAPH.items():
        again = stored[f"fake/gan_a/{name}"]
        assert again != data
        np.testing.assert_array_equal(tf.io.decode_image(again, channels=3), pixels)
    assert manifest.totals["stored_again"] == manifest.sources["gan_a"]["stored_again"] == len(REFUSED_BY_THE_GRAPH)
    listed = {
        Path(image["path"]).name: image["stored_again"]
        for images in manifest.images.values()
        for image in images
        if "stored_again" in image
    }
    assert set(listed) == set(REFUSED_BY_THE_GRAPH)
    assert ["Invalid" in reason for reason in listed.values()] == [True] * len(listed)
    assert Manifest.load(tmp_path / "out" / "span-1") == manifest


def test_cropped_and_recompressed_images_are_encoded_again_in_any_case(small_tree, tmp_path, monkeypatch):
    def unexpected(*_):
        raise AssertionError("the graph's decoder was asked")

    monkeypatch.setattr("components.dataset.images.decode_as_graph", unexpected)
    (small_tree / "fake" / "gan_a" / "lossless.jpg").write_bytes(REFUSED_BY_THE_GRAPH["lossless.jpg"][0])
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE, recompress=90))
    assert manifest.totals["stored_again"] == 0
    assert prepare(small_tree, tmp_path / "half", PreparationParameters(size=SIDE // 2)).totals["accepted"] == 31


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("missing", [1, 2, SIDE - 1])
def test_a_png_whose_last_rows_are_missing_is_rejected_with_the_reason(missing, interlaced):
    np.testing.assert_array_equal(decode_image(png(noise(3), interlaced=interlaced), 10**6).pixels, noise(3))
    with pytest.raises(ImageRejectedError, match=r"rows are missing: [\d,]+ of [\d,]+ bytes"):
        decode_image(png(noise(3), missing=missing, interlaced=interlaced), 10**6)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA"])
def test_a_png_with_a_black_end_is_whole(mode):
    black = Image.fromarray(np.vstack([noise(3)[:-2], np.zeros((2, SIDE, 3), np.uint8)])).convert(mode)
    stream = io.BytesIO()
    black.save(stream, "PNG")
    np.testing.assert_array_equal(decode_image(stream.getvalue(), 10**6).pixels, np.asarray(black.convert("RGB")))


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
@pytest.mark.parametrize("length", [1_000, 1_200_000, 70_000_000])
def test_pixels_decide_however_much_text_a_png_holds(kind, length):
    image = decode_image(with_text(kind, length if kind != "tEXt" else min(length, 30_000_000)), 10**6)
    assert image.plain
    np.testing.assert_array_equal(image.pixels, noise(9))


DAMAGED = {
    "short gamma": chunk(b"gAMA", b"\0"),
    "short pHYs": chunk(b"pHYs", b"\0\0"),
    "short sRGB": chunk(b"sRGB", b""),
    "profile of an unknown method": chunk(b"iCCP", b"name\0\7abc"),
    "profile of 100 MB": chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(10**8), 9)),
    "text of an unknown method": chunk(b"zTXt", b"Comment\0\7abc"),
    "wrong checksum of a text": chunk(b"tEXt", b"Comment\0words")[:-1] + b"\0",
    "orientation behind 100 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(10**8), 9)),
    "broken orientation": chunk(b"zTXt", b"Raw profile type exif\0\0abc"),
    "wrong checksum of an orientation": chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0")[:-1] + b"\0",
    "70 texts of 1 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(10**6), 9)) * 70,
}


@pytest.mark.parametrize("metadata", DAMAGED.values(), ids=DAMAGED)
def test_damaged_or_endless_metadata_never_cost_an_image(metadata):
    image = decode_image(png(noise(8), before=metadata), 10**6)
    np.testing.assert_array_equal(image.pixels, noise(8))


DAMAGED_SEGMENTS = {
    "short JFIF": (0xE0, b"JFIF\0\1"),
    "short Adobe": (0xEE, b"Adobe"),
    "short profile": (0xE2, b"ICC_PROFILE\0\1"),
    "list of pictures without any": (0xE2, b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\1\0\0\0\0"),
    "Photoshop": (0xED, b"Photoshop 3.0\x008BIM\3\xed\0\0\xff"),
}


@pytest.mark.parametrize(("marker", "content"), DAMAGED_SEGMENTS.values(), ids=DAMAGED_SEGMENTS)
def test_damaged_metadata_of_a_jpeg_never_cost_it(marker, content):
    jpeg = encode(noise(8), "JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    image = decode_image(jpeg[:2] + segment + jpeg[2:], 10**6)
    assert image.plain
    assert image.compression == decode_image(jpeg, 10**6).compression
    np.testing.assert_array_equal(image.pixels, decode_image(jpeg, 10**6).pixels)


def test_what_a_jpeg_is_read_by_is_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    options = {"exif": exif, "icc_profile": bytes(300), "comment": b"words", "subsampling": 1}
    Image.fromarray(noise(2, SIDE, SIDE + 8)).save(stream, "JPEG", **options)
    data = stream.getvalue()
    assert len(essential_jpeg(data)) == len(data) - 318 - 9
    image = decode_image(data, 10**6)
    assert image.pixels.shape == (SIDE + 8, SIDE, 3)
    assert "4:2:2" in image.compression
    for odd in (b"\xff\xd8\xff", data[:30], data[:2] + b"no segment", data[:2] + b"\xff\xfe\0\1" + data[2:]):
        assert essential_jpeg(odd) is odd
    inks = Image.frombytes("CMYK", (SIDE, SIDE), noise(3).tobytes() + noise(4)[..., 0].tobytes())
    stream = io.BytesIO()
    inks.save(stream, "JPEG")
    assert b"Adobe" in essential_jpeg(stream.getvalue())


def test_an_ordinary_png_is_not_copied_and_its_orientation_is_kept():
    data = encode(noise(1))
    assert essential_png(data) is data
    xmp = b'<x><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x>'
    for text in (b"\0\0\0\0" + xmp, b"\1\0\0\0" + zlib.compress(xmp)):
        turned = png(noise(2, SIDE, SIDE + 8), before=chunk(b"iTXt", b"XML:com.adobe.xmp\0" + text))
        assert decode_image(turned, 10**6).pixels.shape == (SIDE + 8, SIDE, 3)


def test_the_graphs_decoder_answers_without_python_tensorflow_and_without_a_word(capfd):
    assert decode_as_graph(encode(noise(1)), is_jpeg=False).shape == (SIDE, SIDE, 3)
    assert decode_as_graph(encode(noise(1), "JPEG"), is_jpeg=True).shape == (SIDE, SIDE, 3)
    with pytest.raises(GraphRefusedError, match="Invalid JPEG"):
        decode_as_graph(REFUSED_BY_THE_GRAPH["lossless.jpg"][0], is_jpeg=True)
    jpeg = encode(noise(1), "JPEG")
    decode_as_graph(jpeg[:-60] + bytes(20) + jpeg[-40:], is_jpeg=True)  # libjpeg warns
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("interlaced", [False, True])
def test_of_a_bare_png_the_graphs_pixels_are_pillows(grey, interlaced, tmp_path, monkeypatch):
    data = encode(noise(6)[..., 0]) if grey else png(noise(6), interlaced=interlaced)
    (tmp_path / "a.png").write_bytes(data)
    candidate = Candidate("a.png", Source("gan_a", "fake/gan_a", 1, False))
    bare = check_image(tmp_path, PreparationParameters(size=SIDE), candidate)
    monkeypatch.setattr("components.dataset.images._decode_bare_png", lambda *_: None)
    by_pillow = check_image(tmp_path, PreparationParameters(size=SIDE), candidate)
    assert bare == by_pillow
    assert bare.verbatim
    assert bare.colour_mode == ("L" if grey else "RGB")


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(graph_decoder, "_LIBRARIES", ("libnothing.so", "libnothing.so"))
    graph_decoder._decoder.cache_clear()
    try:
        with pytest.raises(RuntimeError, match=r"tensorflow: TensorFlow's C interface cannot be loaded .*libnothing"):
            decode_as_graph(encode(noise(1)), is_jpeg=False)
    finally:
        graph_decoder._decoder.cache_clear()


def test_a_full_disk_is_named_and_leaves_nothing(small_tree, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(OSError, match=r"new/out/span-1: cannot be written: No space left on device\."):
        prepare(small_tree, tmp_path / "new" / "out", PreparationParameters(size=SIDE))
    assert not (tmp_path / "new").exists()
    (tmp_path / "out" / "span-7").mkdir(parents=True)
    with pytest.raises(OSError, match="span-1: cannot be written"):
        prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["span-7"]
