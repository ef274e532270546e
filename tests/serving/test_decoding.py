"""Decoding with Pillow, as the served graph decodes. That both give the same pixels of every kind of file is held by
tests/components/features/test_same_pixels.py."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from serving import contract
from serving.decoding import decode, open_image
from serving.images import orientation_of
from tests.support.images import noise


def file_of(pixels, image_format, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


def tagged(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright(orientation):
    file = file_of(noise(1, 23, 30), "JPEG", exif=tagged(orientation))
    stored = np.asarray(Image.open(io.BytesIO(file)))
    expected = {  # by the EXIF standard
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.transpose(1, 0, 2), 6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    assert orientation_of(file) == orientation
    np.testing.assert_array_equal(np.asarray(decode(file)), expected)


@pytest.mark.parametrize(("image_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_other_formats_stay_as_stored(image_format, options):
    stored = noise(2, 23, 30)
    file = file_of(stored, image_format, exif=tagged(6), **options)
    assert orientation_of(file) == 1
    np.testing.assert_array_equal(np.asarray(decode(file)), stored)


def bomb(side):
    """A PNG whose header alone is large."""
    file = bytearray(file_of(noise(3, 8, 8), "PNG"))
    file[16:24] = struct.pack(">II", side, side)
    return bytes(file)


@pytest.mark.parametrize("side", [10_241, 12_000, 65_536])
def test_more_pixels_than_a_servable_takes_are_refused_without_a_warning(side):
    assert side**2 > contract.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(), pytest.raises(ValueError, match="above the limit of 104,857,600 pixels"):
        warnings.simplefilter("error")
        decode(bomb(side))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "is empty"),
        (b"no image at all", "is no JPEG"),
        (file_of(noise(4, 64, 64), "PNG")[:300], "truncated"),
        (file_of(noise(5, 8, 8), "GIF"), "is a GIF"),
        (file_of(noise(6, 8, 8), "TIFF"), "is no JPEG"),
        (b"\xff\xd8\xff" + bytes(40), "cannot be decoded"),
    ],
)
def test_what_a_servable_refuses_is_refused_with_the_reason(file, reason):
    with pytest.raises(ValueError, match=f"cannot be decoded.*{reason}|{reason}"):
        decode(file)


def test_the_tables_of_the_file_stay_with_an_opened_image():
    image = open_image(file_of(noise(7, 16, 16), "JPEG", quality=75))
    assert image.quantization[0][0] == 8  # half of 16, the standard's first step
