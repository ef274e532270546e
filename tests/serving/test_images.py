import struct

import pytest

from serving import contract
from serving.images import format_of, refusal, size_of


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "WEBP"])
def test_format_and_size_are_read_from_the_header(make_image, image_format):
    image = make_image((1, 2, 3), (37, 21), image_format)
    assert (format_of(image), size_of(image), refusal(image)) == (image_format, (37, 21), None)


def test_a_gif_is_refused_as_what_it_is(make_image):
    assert refusal(make_image((1, 2, 3), (37, 21), "GIF")).startswith("is a GIF")


def test_a_header_that_claims_too_many_pixels_is_refused(make_image):
    bomb = bytearray(make_image((0, 0, 0)))
    bomb[16:24] = struct.pack(">II", 65_536, 65_536)
    assert "65,536 x 65,536 pixels" in refusal(bytes(bomb))
    jpeg = make_image((0, 0, 0), (16, 16), "JPEG")
    start = jpeg.index(b"\xff\xc0")
    assert "65,535 x 65,535" in refusal(jpeg[: start + 5] + b"\xff\xff\xff\xff" + jpeg[start + 9 :])


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89", "is no JPEG"),
        (b"\x89PNG\r\n\x1a\n", "is truncated"),
        (b"<svg/>", "is no JPEG"),
        (b"\xff\xd8\xff" + bytes(contract.MAX_IMAGE_BYTES), "above the limit"),
    ],
)
def test_what_cannot_be_an_image_is_refused_with_the_reason(image, reason):
    assert reason in refusal(image)


@pytest.mark.parametrize("length", range(12, 80))
def test_damaged_headers_never_raise(make_image, length):
    for image_format in ("PNG", "JPEG", "GIF", "BMP"):
        size_of(make_image((1, 2, 3), (37, 21), image_format)[:length])
    size_of(b"\xff\xd8\xff\xe0" + bytes(length))  # a segment of length zero must not be walked for ever
