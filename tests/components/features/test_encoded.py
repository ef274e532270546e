"""What the graph sees of each kind of image, against Pillow, and what it refuses by the header."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from components.features.image import decode_windows
from serving import contract, images
from serving.decoding import decode
from tests.support.images import central_window, noise

SIZE = 16
RGB = Image.fromarray(noise(1, 21, 30)).resize((29, 22), Image.Resampling.BICUBIC)
ALPHA = Image.fromarray(np.dstack([np.asarray(RGB), noise(2, 22, 29)[..., 0]]))


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010F] = "a maker"
    tags[0x0112] = orientation
    return tags


def big_endian(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def windows_of(*batch: bytes) -> np.ndarray:
    return decode_windows(tf.constant(batch), SIZE).numpy()


def by_pillow(image: bytes) -> np.ndarray:
    return central_window(np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGB")), SIZE)


EXACT = {
    "JPEG": encoded(RGB, "JPEG"),
    "JPEG without subsampling": encoded(RGB, "JPEG", subsampling=0),
    "progressive JPEG": encoded(RGB, "JPEG", progressive=True),
    "grey JPEG": encoded(RGB.convert("L"), "JPEG"),
    "grey PNG": encoded(RGB.convert("L"), "PNG"),
    "palette PNG": encoded(RGB.quantize(50), "PNG"),
    "palette PNG with a transparent colour": encoded(RGB.quantize(50), "PNG", transparency=3),
    "black and white PNG": encoded(RGB.convert("1"), "PNG"),
    "PNG with alpha": encoded(ALPHA, "PNG"),
    "grey PNG with alpha": encoded(ALPHA.convert("LA"), "PNG"),
    "BMP": encoded(RGB, "BMP"),
    "BMP with alpha": encoded(ALPHA, "BMP"),
    "lossy WebP": encoded(RGB, "WEBP"),
    "lossless WebP": encoded(RGB, "WEBP", lossless=True),
    "lossy WebP with alpha": encoded(ALPHA, "WEBP"),
    "lossless WebP with alpha": encoded(ALPHA, "WEBP", lossless=True),
    **{f"JPEG of orientation {number}": encoded(RGB, "JPEG", exif=exif(number)) for number in range(1, 9)},
    "big-endian orientation": big_endian(encoded(RGB, "JPEG"), 8),
    "an orientation that makes no sense": big_endian(encoded(RGB, "JPEG"), 99),
}


@pytest.mark.parametrize("image", EXACT.values(), ids=EXACT.keys())
def test_the_window_is_exactly_pillows(image):
    assert images.refusal(image) is None
    np.testing.assert_array_equal(windows_of(image)[0], by_pillow(image))


def test_all_kinds_share_a_batch():
    np.testing.assert_array_equal(windows_of(*EXACT.values()), [by_pillow(image) for image in EXACT.values()])


def test_cmyk_jpegs_are_within_one_level_of_pillow():
    inks = Image.frombytes("CMYK", (29, 22), noise(3, 22, 29).tobytes() + noise(4, 22, 29)[..., 0].tobytes())
    image = encoded(inks, "JPEG", quality=95)
    assert np.abs(windows_of(image)[0].astype(int) - by_pillow(image)).max() <= 1


def test_of_16_bits_the_high_ones_count():
    deep = np.random.default_rng(5).integers(0, 65536, (SIZE, SIZE), np.uint16)
    np.testing.assert_array_equal(windows_of(encoded(Image.fromarray(deep), "PNG"))[0, ..., 0], deep >> 8)


@pytest.mark.parametrize("cut", range(20, 70, 3))
def test_damaged_metadata_never_break_an_image(cut):
    image = EXACT["JPEG of orientation 6"]
    start = image.index(b"Exif")
    damaged = bytearray(image)
    damaged[start + cut - 14 : start + cut - 10] = b"\xff\xff\xff\xff"
    if damaged[start : start + 30] != image[start : start + 30] and start + cut - 10 < image.index(b"\xff\xdb"):
        assert windows_of(bytes(damaged)).shape == (1, SIZE, SIZE, 3)


def png_of(width: int, height: int) -> bytes:
    image = encoded(RGB, "PNG")
    return image[:16] + struct.pack(">II", width, height) + image[24:]


def jpeg_of(width: int, height: int) -> bytes:
    image = encoded(RGB, "JPEG")
    frame = image.index(b"\xff\xc0")
    return image[: frame + 5] + struct.pack(">HH", height, width) + image[frame + 9 :]


def bmp_of(width: int, height: int) -> bytes:
    image = encoded(RGB, "BMP")
    return image[:18] + struct.pack("<ii", width, height) + image[26:]


def extended_webp_of(width: int, height: int) -> bytes:
    image = encoded(ALPHA, "WEBP")
    return image[:24] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + image[30:]


REFUSED = {
    "empty": b"",
    "PNG bomb": png_of(12_000, 9_000),
    "PNG bomb whose area overflows": png_of(2**32 - 1, 2**32 - 1),
    "JPEG bomb": jpeg_of(12_000, 9_000),
    "BMP bomb": bmp_of(12_000, 9_000),
    "BMP bomb from top to bottom": bmp_of(12_000, -9_000),
    "WebP bomb": extended_webp_of(12_000, 9_000),
    "GIF": encoded(RGB.quantize(9), "GIF"),
    "palette BMP": encoded(RGB.quantize(9), "BMP"),
    "animated WebP": encoded(RGB, "WEBP", save_all=True, append_images=[ImageOps.invert(RGB)]),
    "too many bytes": encoded(RGB, "PNG") + bytes(contract.MAX_IMAGE_BYTES),
}


@pytest.mark.parametrize("image", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("others", ["PNG", "JPEG"])
def test_the_graph_names_row_and_reason_in_the_words_of_the_server(image, others):
    good = encoded(RGB, others)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        windows_of(good, good, image, good, image)
    assert f"image_bytes[2]: {images.refusal(image)}" in caught.value.message


def test_an_unknown_format_is_refused_by_its_row():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: is no JPEG, PNG, WebP or BMP image"):
        windows_of(encoded(RGB, "PNG"), b"no image, only words")


def test_a_turned_image_that_is_too_small_is_told_its_upright_size():
    image = encoded(RGB.crop((0, 0, 29, 9)), "JPEG", exif=exif(6))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"is 9 x 29 pixels, smaller than the window of 16 x 16"):
        windows_of(image)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_the_check_survives_transform(transform_graph, image_format):
    from components.features.transform import ExportedTransform

    run = tf.function(ExportedTransform(transform_graph).__call__)
    good, small = (encoded(RGB.resize(size), image_format) for size in ((40, 40), (40, 31)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: is 40 x 31 pixels, smaller"):
        run(tf.constant([good, small]))


def deep_png(peak: int, colour: str) -> bytes:
    """A PNG of 16 bits a channel with values up to `peak`; Pillow writes none in colour."""
    channels = {"grey": 1, "RGB": 3, "RGBA": 4}[colour]
    values = np.random.default_rng(5).integers(0, peak + 1, (SIZE, SIZE, channels), np.uint16)
    values[0, 0, 0] = peak
    if colour == "RGBA":
        values[..., 3] = 65_535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


@pytest.mark.parametrize("colour", ["grey", "RGB", "RGBA"])
@pytest.mark.parametrize("peak", [0, 255, 4_095, 16_383])
def test_16_bits_that_hold_fewer_are_refused_and_not_taken_for_black(peak, colour):
    for refused in (
        lambda: windows_of(encoded(RGB, "PNG"), deep_png(peak, colour)),
        lambda: decode(deep_png(peak, colour)),
    ):
        with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=r"no value above 16,383.*scale them"):
            refused()


@pytest.mark.parametrize("colour", ["grey", "RGB", "RGBA"])
def test_16_bits_are_judged_as_their_8_bit_version(colour):
    deep = deep_png(16_384, colour)
    np.testing.assert_array_equal(windows_of(deep)[0], np.asarray(decode(deep)))
    assert windows_of(deep).max() == 64
    eight = noise(6, SIZE, SIZE)[..., 0]
    scaled = encoded(Image.fromarray(eight.astype(np.uint16) * 257), "PNG")
    np.testing.assert_array_equal(windows_of(scaled), windows_of(encoded(Image.fromarray(eight), "PNG")))
