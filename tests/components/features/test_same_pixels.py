"""Preparation and the served graph, each on the same files: what docs/images.md says of every kind.

Preparation runs whole, on a tree of files, and its records are decoded as in training; serving gets the files as they
are. Pixels that both agree on are also held against how the file was made, where its coding loses nothing.
"""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.examples import names
from components.features.image import decode_whole, decode_windows
from serving.decoding import decode
from tests.support.images import central_window, noise

SIZE, HEIGHT, WIDTH = 16, 23, 30
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
GREY_PNG, RGB_PNG = 0, 2  # colour types


def picture(seed: int) -> Image.Image:
    """Grain on a gradient: no file equals another one's pixels, which preparation would leave out."""
    smooth = Image.fromarray(noise(seed, 4, 5)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return Image.fromarray(np.asarray(smooth) // 2 + noise(seed + 1000, HEIGHT, WIDTH) // 3)


def with_alpha(seed: int, opaque: bool) -> Image.Image:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8) if opaque else noise(seed + 2000, HEIGHT, WIDTH)[..., 0]
    return Image.fromarray(np.dstack([np.asarray(picture(seed)), alpha]))


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def tags(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0110] = "Model of a camera"
    exif[0x0112] = orientation
    return exif


def png(width: int, height: int, depth: int, colour: int, interlaced: bool, rows: bytes) -> bytes:
    """A PNG written by hand: what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def interlaced_png(pixels: np.ndarray, colour: int) -> bytes:
    """Seven passes, each with its own rows. Source: PNG specification, third edition, section 8.2."""
    passes = [pixels[top::down, left::across] for top, left, down, across in ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    return png(WIDTH, HEIGHT, 8, colour, True, rows)


def deep_png(values: np.ndarray, colour: int) -> bytes:
    """16 bits a channel, high byte first."""
    return png(WIDTH, HEIGHT, 16, colour, False, b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))


def animated(image_format: str) -> bytes:
    return encoded(picture(90), image_format, save_all=True, append_images=[picture(91), picture(92)], duration=100)


def cmyk(seed: int) -> Image.Image:
    inks = np.dstack([noise(seed, HEIGHT, WIDTH), noise(seed + 1, HEIGHT, WIDTH)[..., 0]])
    return Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes())


def with_a_comment_first(jpeg: bytes) -> bytes:
    """Between the JFIF segment, which ends at byte 20, and the EXIF segment."""
    return jpeg[:20] + b"\xff\xfe\0\4ab" + jpeg[20:]


DEEP = np.random.default_rng(7).integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
TURNED_BY_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)

# Of the lossless ones, the picture that the file was made of.
LOSSLESS = {
    "rgb.png": (encoded(picture(1), "PNG"), picture(1)),
    "grey.png": (encoded(picture(2).convert("L"), "PNG"), picture(2).convert("L")),
    "black-and-white.png": (encoded(picture(3).convert("1"), "PNG"), picture(3).convert("1")),
    "palette.png": (encoded(picture(4).quantize(200), "PNG"), picture(4).quantize(200)),
    "palette-of-4-bits.png": (encoded(picture(5).quantize(16), "PNG", bits=4), picture(5).quantize(16)),
    "palette-of-2-bits.png": (encoded(picture(6).quantize(4), "PNG", bits=2), picture(6).quantize(4)),
    "interlaced.png": (interlaced_png(np.asarray(picture(7)), RGB_PNG), picture(7)),
    "interlaced-grey.png": (
        interlaced_png(np.asarray(picture(8).convert("L"))[..., np.newaxis], GREY_PNG), picture(8).convert("L")
    ),
    "opaque.png": (encoded(with_alpha(9, True), "PNG"), picture(9)),
    "grey-opaque.png": (encoded(with_alpha(10, True).convert("LA"), "PNG"), picture(10).convert("L")),
    "lossless.webp": (encoded(picture(11), "WEBP", lossless=True), picture(11)),
    "opaque.webp": (encoded(with_alpha(12, True), "WEBP", lossless=True, exact=True), picture(12)),
}  # fmt: skip
LOSSY = {
    "rgb.jpg": encoded(picture(20), "JPEG"),
    "quality-30.jpg": encoded(picture(21), "JPEG", quality=30),
    "no-subsampling.jpg": encoded(picture(22), "JPEG", subsampling=0),
    "subsampling-422.jpg": encoded(picture(23), "JPEG", subsampling=1),
    "progressive.jpg": encoded(picture(24), "JPEG", progressive=True),
    "grey.jpg": encoded(picture(25).convert("L"), "JPEG"),
    "grey-progressive.jpg": encoded(picture(26).convert("L"), "JPEG", progressive=True),
    "restarting.jpg": encoded(picture(27), "JPEG", restart_marker_blocks=1),
    "lossy.webp": encoded(picture(28), "WEBP"),
    "lossy-opaque.webp": encoded(with_alpha(29, True), "WEBP"),
    **{f"orientation-{n}.jpg": encoded(picture(30 + n), "JPEG", exif=tags(n)) for n in range(1, 9)},
    **{f"grey-{n}.jpg": encoded(picture(40 + n).convert("L"), "JPEG", exif=tags(n)) for n in (3, 6)},
    **{f"progressive-{n}.jpg": encoded(picture(50 + n), "JPEG", exif=tags(n), progressive=True) for n in (5, 8)},
}
SAME = {name: file for name, (file, _) in LOSSLESS.items()} | LOSSY
# Preparation turns these upright, the served graph does not.
TURNED_BY_PREPARATION_ALONE = {
    "orientation-6.png": encoded(picture(60), "PNG", exif=tags(6)),
    "orientation-6.webp": encoded(picture(61), "WEBP", exif=tags(6)),
    "orientation-in-xmp.jpg": encoded(picture(62), "JPEG", xmp=TURNED_BY_XMP),
    "orientation-behind-a-comment.jpg": with_a_comment_first(encoded(picture(63), "JPEG", exif=tags(6))),
}
# Preparation leaves these out; the pixels that the served graph sees.
SERVED_ALONE = {
    "deep.png": (deep_png(DEEP, RGB_PNG), (DEEP >> 8).astype(np.uint8)),
    "deep-grey.png": (deep_png(DEEP[..., 0], GREY_PNG), (DEEP[..., [0, 0, 0]] >> 8).astype(np.uint8)),
    "transparent.png": (encoded(with_alpha(70, False), "PNG"), np.asarray(picture(70))),
    "transparent.webp": (
        encoded(with_alpha(71, False), "WEBP", lossless=True, exact=True), np.asarray(picture(71))
    ),
    "apng.png": (animated("PNG"), np.asarray(picture(90))),
    "rgb.bmp": (encoded(picture(72), "BMP"), np.asarray(picture(72))),
    "transparent.bmp": (encoded(with_alpha(73, False), "BMP"), np.asarray(picture(73))),
}  # fmt: skip
REASONS = {
    "deep.png": "sixteen_bit",
    "deep-grey.png": "sixteen_bit",
    "transparent.png": "transparent",
    "transparent.webp": "transparent",
    "apng.png": "animated",
    "animated.webp": "animated",
    "gif-named.png": "wrong_type",
    "bmp-named.png": "wrong_type",
}
NEITHER = {"animated.webp": animated("WEBP"), "gif.gif": animated("GIF")}
INKS = {f"cmyk-{seed}.jpg": encoded(cmyk(seed), "JPEG", quality=90) for seed in (80, 85)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Runs preparation over all files: what it stored by file, and why it left the others out."""
    root = tmp_path_factory.mktemp("kinds")
    folder = root / "images" / "real" / "real_kinds"
    folder.mkdir(parents=True)
    files = SAME | TURNED_BY_PREPARATION_ALONE | NEITHER | INKS
    files |= {name: file for name, (file, _) in SERVED_ALONE.items()}
    files |= {"gif-named.png": animated("GIF"), "bmp-named.png": encoded(picture(74), "BMP")}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (root / "images" / "fake" / "gan_other").mkdir(parents=True)
    (root / "images" / "fake" / "gan_other" / "other.png").write_bytes(encoded(picture(99), "PNG"))
    parameters = PreparationParameters(size=SIZE, train=1.0, eval=0.0, test=0.0, workers=1)
    manifest = prepare(root / "images", root / "dataset", parameters)
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in (names.PATH, names.IMAGE_BYTES)}
    shards = [str(file) for file in (root / "dataset").rglob("*.tfrecord.gz")]
    stored = {}
    for record in tf.data.TFRecordDataset(shards, compression_type="GZIP"):
        values = tf.io.parse_single_example(record, spec)
        stored[values[names.PATH].numpy().decode().split("/")[-1]] = values[names.IMAGE_BYTES].numpy()
    reasons = {file.path.split("/")[-1]: str(file.reason) for file in manifest.rejected}
    return SimpleNamespace(stored=stored, reasons=reasons, manifest=manifest)


def window_of(image: bytes) -> np.ndarray:
    return decode_windows(tf.constant([image]), SIZE).numpy()[0]


@pytest.mark.parametrize("name", SAME)
def test_training_and_serving_see_the_same_pixels(prepared, name):
    np.testing.assert_array_equal(window_of(SAME[name]), window_of(prepared.stored[name]))


@pytest.mark.parametrize("name", LOSSLESS)
def test_they_are_the_pixels_that_the_file_was_made_of(name):
    file, made_of = LOSSLESS[name]
    np.testing.assert_array_equal(window_of(file), central_window(np.asarray(made_of.convert("RGB")), SIZE))


@pytest.mark.parametrize("name", INKS)
def test_inks_differ_by_one_level_at_most(prepared, name):
    difference = window_of(INKS[name]).astype(int) - window_of(prepared.stored[name])
    assert np.abs(difference).max() == 1
    assert set(np.unique(difference)) <= {-1, 0}  # serving cuts, preparation rounds


@pytest.mark.parametrize("name", TURNED_BY_PREPARATION_ALONE)
def test_what_only_preparation_turns_is_served_as_stored(prepared, name):
    file = TURNED_BY_PREPARATION_ALONE[name]
    opened = Image.open(io.BytesIO(file))
    as_stored, upright = np.asarray(opened.convert("RGB")), np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert as_stored.shape != upright.shape
    np.testing.assert_array_equal(window_of(file), central_window(as_stored, SIZE))
    np.testing.assert_array_equal(window_of(prepared.stored[name]), central_window(upright, SIZE))


@pytest.mark.parametrize("name", SERVED_ALONE)
def test_what_only_serving_takes_is_seen_as_stored(prepared, name):
    file, pixels = SERVED_ALONE[name]
    assert name not in prepared.stored
    np.testing.assert_array_equal(window_of(file), central_window(pixels, SIZE))


@pytest.mark.parametrize("name", SAME | TURNED_BY_PREPARATION_ALONE | SERVED_ALONE)
def test_pillow_outside_the_graph_sees_all_that_the_graph_sees(name):
    file = (SAME | TURNED_BY_PREPARATION_ALONE).get(name) or SERVED_ALONE[name][0]
    np.testing.assert_array_equal(np.asarray(decode(file)), decode_whole(tf.constant(file), SIZE))


@pytest.mark.parametrize("name", NEITHER)
def test_pictures_that_move_are_taken_by_neither(prepared, name):
    assert name not in prepared.stored
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[0\]: is an? (animated WebP|GIF)"):
        window_of(NEITHER[name])


def test_preparation_says_why_it_leaves_files_out(prepared):
    by_content = {name: "wrong_type" for name in (*SERVED_ALONE, *NEITHER) if name.endswith((".gif", ".bmp"))}
    assert len(by_content) == 3
    assert prepared.reasons == REASONS | by_content
