"""The orientation in EXIF segments written by hand, to the byte, and by Pillow's reading of the same files."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.features import orientation
from serving.images import orientation_of
from tests.support.images import encode, noise

JPEG = encode(noise(1, 22, 29), "JPEG")  # Pillow writes a JFIF segment first
JFIF_END = 2 + 2 + 16
ORDERS = {"little endian": "<", "big endian": ">"}
ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5


def entry(order: str, tag: int, kind: int, count: int, value: int) -> bytes:
    packed = struct.pack(f"{order}HH", value, 0) if kind == SHORT else struct.pack(f"{order}I", value)
    return struct.pack(f"{order}HHI", tag, kind, count) + packed


def upright_or(order: str, value: int) -> bytes:
    return entry(order, 0x0112, SHORT, 1, value)


def directory(order: str, entries: list[bytes], following: int = 0) -> bytes:
    return struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following)


def tiff(order: str, first: bytes, offset: int = 8, rest: bytes = b"") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HI", 42, offset) + bytes(offset - 8) + first + rest


def exif(content: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + content)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def after_jfif(*segments: bytes) -> bytes:
    return JPEG[:JFIF_END] + b"".join(segments) + JPEG[JFIF_END:]


def after_start(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[JFIF_END:]


def read(*images: bytes) -> list[int]:
    """As the graph reads it, and as `serving.images` does outside of it."""
    orientations = orientation.of_jpegs(tf.constant(images)).numpy().tolist()
    assert [orientation_of(image) for image in images] == orientations
    return orientations


def by_pillow(image: bytes) -> int:
    return Image.open(io.BytesIO(image)).getexif().get(0x0112, 1)


@pytest.mark.parametrize("place", [after_jfif, after_start], ids=["after JFIF", "directly after the start"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_each_orientation_is_read_in_either_order_of_bytes(order, place):
    images = [place(exif(tiff(order, directory(order, [upright_or(order, value)])))) for value in range(1, 9)]
    assert [by_pillow(image) for image in images] == list(range(1, 9))
    assert read(*images) == list(range(1, 9))


@pytest.mark.parametrize("before", [0, 1, 2, 5, 32])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_other_entries_may_stand_before_it(order, before):
    others = [entry(order, 0x0100 + number // 2, ASCII, 40, 700 + number) for number in range(before)]
    content = tiff(order, directory(order, [*others, upright_or(order, 6), entry(order, 0x011A, RATIONAL, 1, 900)]))
    image = after_start(exif(content + bytes(1200)))
    assert by_pillow(image) == 6
    assert read(image) == [6]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_maker_and_model_as_cameras_write_them(order):
    end = 8 + 2 + 3 * 12 + 4
    entries = [entry(order, 0x010F, ASCII, 7, end), entry(order, 0x0110, ASCII, 9, end + 7), upright_or(order, 8)]
    image = after_jfif(exif(tiff(order, directory(order, entries), rest=b"Maker1\0A camera\0")))
    assert Image.open(io.BytesIO(image)).getexif()[0x0110] == "A camera"
    assert read(image) == [by_pillow(image)] == [8]


@pytest.mark.parametrize("between", range(13))
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_orientation_of_the_thumbnail_is_not_the_images(order, between):
    """The thumbnail has a directory of its own, IFD1, behind the image's; texts may lie between the two."""
    first = [entry(order, 0x010F, ASCII, 4, 0x41424300)]
    second = 8 + 2 + 12 * len(first) + 4 + between
    thumbnail = directory(order, [upright_or(order, 6)])
    image = after_start(exif(tiff(order, directory(order, first, second), rest=b"t" * between + thumbnail)))
    assert by_pillow(image) == 1
    assert read(image) == [1]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_images_orientation_wins_over_the_thumbnails(order):
    first = directory(order, [upright_or(order, 3)], 8 + 2 + 12 + 4)
    image = after_start(exif(tiff(order, first, rest=directory(order, [upright_or(order, 6)]))))
    assert read(image) == [by_pillow(image)] == [3]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_value_that_looks_like_the_entry_is_not_taken_for_it(order):
    """The twelve bytes of an orientation, but not where an entry begins."""
    disguised = entry(order, 0x010F, LONG, 1, 0)[:6] + upright_or(order, 6) + bytes(6)
    image = after_start(exif(tiff(order, directory(order, [disguised[:12], disguised[12:]]))))
    assert by_pillow(image) == 1
    assert read(image) == [1]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_directory_elsewhere_than_the_standard_puts_it_reads_as_upright(order):
    """Documented: preparation reads it, the graph does not."""
    image = after_start(exif(tiff(order, directory(order, [upright_or(order, 6)]), offset=20)))
    assert by_pillow(image) == 6
    assert read(image) == [1]


@pytest.mark.parametrize("value", [0, 9, 255, 0x0106, 0x0600])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_an_orientation_that_makes_no_sense_reads_as_upright(order, value):
    assert read(after_start(exif(tiff(order, directory(order, [upright_or(order, value)]))))) == [1]


TURNED = exif(tiff("<", directory("<", [upright_or("<", 6)])))


@pytest.mark.parametrize("marker", [0xFE, 0xE2, 0xED], ids=["comment", "APP2", "APP13"])
def test_exif_in_another_segment_is_only_text(marker):
    image = after_jfif(segment(marker, TURNED[4:]))
    assert by_pillow(image) == 1
    assert read(image) == [1]


def test_exif_behind_a_comment_is_not_read():
    """Documented: preparation finds it anywhere."""
    image = after_jfif(segment(0xFE, b"a comment"), TURNED)
    assert by_pillow(image) == 6
    assert read(image) == [1]


def test_exif_cut_off_reads_as_upright():
    """At every length that leaves the orientation's value out."""
    whole = after_start(TURNED)
    value = whole.index(upright_or("<", 6)) + 8
    assert read(whole) == [6]
    assert read(*(whole[:length] for length in range(value + 1))) == [1] * (value + 1)


def test_the_pixels_of_an_image_never_read_as_an_orientation():
    rng = np.random.default_rng(0)
    assert read(*(after_jfif()[:JFIF_END] + rng.bytes(900) for _ in range(500))) == [1] * 500


def test_rows_keep_their_own_orientation_and_other_formats_have_none():
    batch = [after_start(TURNED), b"", JPEG, b"\x89PNG\r\n\x1a\n" + TURNED, after_jfif(TURNED)]
    assert read(*batch) == [6, 1, 1, 1, 6]


def test_an_empty_batch_has_no_orientations():
    assert orientation.of_jpegs(tf.constant([], tf.string)).shape == (0,)
