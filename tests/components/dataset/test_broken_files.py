"""Files that cannot be used, one kind at a time and all at once, and files that look odd but can."""

import io
import os
import socket
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.dataset.images import ImageRejectedError, decode_image
from components.dataset.manifest import Manifest
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from tests.support.images import encode, noise

SIDE = 32
LIMITS = {"size": SIDE, "max_image_bytes": 100_000, "max_image_pixels": 10_000}


def save(image: Image.Image, image_format: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def rgb(side: int = SIDE, seed: int = 99) -> Image.Image:
    return Image.fromarray(noise(seed, side, side))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def transparent() -> bytes:
    pixels = np.dstack([noise(5), np.full((SIDE, SIDE), 255, np.uint8)])
    pixels[3, 4, 3] = 254
    return encode(pixels)


def write(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def unix_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have some 100 bytes only
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def without_permission(path: Path) -> None:
    path.write_bytes(encode(noise(8)))
    path.chmod(0)


PNG, JPEG, WEBP = encode(noise(1)), save(rgb(seed=2), "JPEG"), save(rgb(seed=3), "WEBP")

BROKEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "empty.png": ("empty", write(b"")),
    "one_byte.jpg": ("wrong_type", write(b"\xff")),
    "signature_only.png": ("undecodable", write(PNG[:8])),
    "truncated.png": ("undecodable", write(PNG[: len(PNG) // 2])),
    "without_end.png": ("undecodable", write(PNG[:-12])),
    "truncated.jpg": ("undecodable", write(JPEG[: len(JPEG) // 2])),
    "header_only.jpg": ("undecodable", write(JPEG[:20])),
    "without_end.jpg": ("undecodable", write(JPEG[:-2])),
    "last_byte_missing.png": ("undecodable", write(PNG[:-1])),
    "last_byte_missing.jpg": ("undecodable", write(JPEG[:-1])),
    "truncated.webp": ("undecodable", write(WEBP[: len(WEBP) // 2])),
    "wrong_checksum.png": ("undecodable", write(flipped(PNG, len(PNG) - 20))),
    "bad_header.png": ("undecodable", write(flipped(PNG, 25))),
    "negative_chunk.png": ("undecodable", write(PNG[:33] + b"\xff\xff\xff\xff" + PNG[37:])),
    "text_called.png": ("wrong_type", write(b"these are not pixels, whatever the name says\n" * 9)),
    "zeros.jpeg": ("wrong_type", write(bytes(4096))),
    "gif_called.png": ("wrong_type", write(save(rgb(), "GIF"))),
    "bmp_called.jpg": ("wrong_type", write(save(rgb(), "BMP"))),
    "tiff_called.jpg": ("wrong_type", write(save(rgb(), "TIFF"))),
    "page_called.webp": ("wrong_type", write(b"<!DOCTYPE html><title>404 Not Found</title>")),
    "notes.txt": ("extension", write(b"camera settings")),
    "no_extension": ("extension", write(PNG)),
    "too_many_bytes.png": ("too_many_bytes", write(PNG + bytes(100_000))),
    "too_many_pixels.png": ("too_many_pixels", write(encode(np.zeros((101, 100, 3), np.uint8)))),
    "bomb.png": ("too_many_pixels", write(png_of(60_000, 60_000, 8, 2, b""))),
    "too_small.png": ("too_small", write(encode(noise(4, SIDE, SIDE - 1)))),
    "sixteen_bit_grey.png": ("sixteen_bit", write(png_of(SIDE, SIDE, 16, 0, bytes(SIDE * (1 + 2 * SIDE))))),
    "sixteen_bit_rgb.png": ("sixteen_bit", write(png_of(SIDE, SIDE, 16, 2, bytes(SIDE * (1 + 6 * SIDE))))),
    "transparent.png": ("transparent", write(transparent())),
    "transparent_colour.png": (
        "transparent",
        write(save(Image.new("RGB", (SIDE, SIDE)), "PNG", transparency=(0, 0, 0))),
    ),
    "animated.png": ("animated", write(save(rgb(), "PNG", save_all=True, append_images=[rgb(seed=6)]))),
    "animated.webp": ("animated", write(save(rgb(), "WEBP", save_all=True, append_images=[rgb(seed=6)]))),
    "broken_link.png": ("unreadable", lambda path: path.symlink_to("nowhere.png")),
    "loop.png": ("unreadable", lambda path: path.symlink_to(path.name)),
    "linked_loop": ("symlink", lambda path: path.symlink_to(path.parent)),
    "photograph.heic": ("extension", write(b"ftypheic")),
    "pipe.png": ("not_a_file", os.mkfifo),
    "socket.png": ("not_a_file", unix_socket),
}
if os.geteuid() != 0:  # root may read everything
    BROKEN["no_permission.png"] = ("unreadable", without_permission)


def assert_sums(manifest: Manifest) -> None:
    for counts in (manifest.totals, *manifest.sources.values()):
        assert counts["found"] == sum(counts[k] for k in ("accepted", "rejected", "duplicates", "ignored"))
        assert counts["accepted"] == sum(counts[k] for k in ("train", "eval", "test", "testonly", "unused"))
    assert manifest.totals["rejected"] == len(manifest.rejected)
    assert manifest.totals["duplicates"] == len(manifest.duplicates)
    assert manifest.totals["ignored"] == len(manifest.ignored)
    for split, images in manifest.images.items():
        assert manifest.totals[split] == len(images) == manifest.splits[split]["images"]
        assert manifest.splits[split]["images"] == sum(manifest.counts[split].values())


def test_every_kind_of_broken_file_is_rejected_by_name_and_the_rest_is_written(small_tree, tmp_path):
    directory = small_tree / "fake" / "gan_a"
    for name, (_, make) in BROKEN.items():
        make(directory / name)

    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(**LIMITS))

    assert {Path(item.path).name: item.reason for item in manifest.rejected} == {
        name: reason for name, (reason, _) in BROKEN.items()
    }
    assert len(BROKEN) >= 20
    assert all(item.detail and item.path.startswith("fake/gan_a/") for item in manifest.rejected)
    assert manifest.totals["found"] == 30 + len(BROKEN)
    assert manifest.totals["accepted"] == 30
    assert manifest.sources["gan_a"]["rejected"] == len(BROKEN)
    assert_sums(manifest)


def test_a_large_tree_with_one_file_in_a_hundred_broken_for_each_reason_is_finished(make_tree, tmp_path):
    kinds = {reason: (name, make) for name, (reason, make) in reversed(BROKEN.items())}
    good = 33 * len(kinds)
    root = make_tree(dict.fromkeys(("real/real_a", "fake/gan_a", "fake/gan_b"), good))
    expected = {}
    for number, (reason, (name, make)) in enumerate(kinds.items()):
        source = ("real/real_a", "fake/gan_a", "fake/gan_b")[number % 3]
        make(root / source / name)
        expected[f"{source}/{name}"] = reason

    manifest = prepare(root, tmp_path / "out", PreparationParameters(**LIMITS))

    assert {item.path: item.reason for item in manifest.rejected} == expected
    assert len(expected) >= 13
    assert manifest.totals["accepted"] == 99 * len(kinds)
    assert manifest.totals["found"] == 100 * len(kinds)
    assert_sums(manifest)


def test_counts_add_up_with_rejections_duplicates_and_clutter_at_once(small_tree, tmp_path):
    good = small_tree / "fake" / "gan_a" / "000.png"
    (good.parent / "copy.png").write_bytes(good.read_bytes())
    (good.parent / "broken.png").write_bytes(PNG[:60])
    (good.parent / ".DS_Store").write_bytes(b"\0")
    (good.parent / "Thumbs.db").write_bytes(b"\0")
    (good.parent / "deeper").mkdir()
    (good.parent / "deeper" / "nested.png").write_bytes(encode(noise(77)))
    (small_tree / "fake" / "stray.png").write_bytes(PNG)
    (small_tree / "README.txt").write_text("about these images")

    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE, train=3, eval=2, test=1))

    assert manifest.totals == {
        "found": 37, "accepted": 31, "rejected": 2, "duplicates": 1, "ignored": 3,
        "train": 9, "eval": 6, "test": 3, "testonly": 0, "unused": 13, "mislabelled": 0, "stored_again": 0,
    }  # fmt: skip
    assert manifest.sources["gan_a"]["found"] == 15
    assert manifest.duplicates == [{"path": "fake/gan_a/copy.png", "duplicate_of": "fake/gan_a/000.png"}]
    assert [(item.path, item.reason) for item in manifest.rejected] == [
        ("fake/gan_a/broken.png", "undecodable"),
        ("fake/stray.png", "no_source"),
    ]
    assert manifest.ignored == ["README.txt", "fake/gan_a/.DS_Store", "fake/gan_a/Thumbs.db"]
    assert_sums(manifest)


@pytest.mark.parametrize("target", [".", "..", "gan_a", "../real/real_a"])
def test_a_source_that_is_a_link_takes_no_images_of_other_sources(small_tree, tmp_path, target):
    (small_tree / "fake" / "all").symlink_to(target)
    (small_tree.parent / "elsewhere").mkdir()
    (small_tree.parent / "elsewhere" / "a.png").write_bytes(encode(noise(77)))
    (small_tree / "fake" / "linked").symlink_to(small_tree.parent / "elsewhere")
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert [(item.path, item.reason) for item in manifest.rejected] == [("fake/all", "symlink")]
    assert manifest.sources["gan_a"]["accepted"] > 1
    assert manifest.sources["linked"]["accepted"] == 1
    assert "all" not in manifest.sources
    assert_sums(manifest)


def test_a_name_is_utf8_whatever_the_locale_writes_names_in(small_tree, tmp_path):
    (small_tree / "real" / "real_a" / os.fsdecode("café 写.png".encode())).write_bytes(encode(noise(77)))
    program = (
        "import sys; from pathlib import Path; from components.dataset.parameters import PreparationParameters;"
        "from components.dataset.prepare import prepare; assert sys.getfilesystemencoding() == 'ascii';"
        f"prepare(Path(sys.argv[1]), Path(sys.argv[2]), PreparationParameters(size={SIDE}))"
    )
    ascii_names = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run(
        [sys.executable, "-c", program, str(small_tree), str(tmp_path / "there")],
        check=True,
        env={**os.environ, **ascii_names, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    there = Manifest.load(tmp_path / "there" / "span-1")
    assert there.rejected == []
    assert there.digest == prepare(small_tree, tmp_path / "here", PreparationParameters(size=SIDE)).digest


def test_a_name_that_is_not_utf8_is_rejected(small_tree, tmp_path):
    (small_tree / "real" / "real_a" / os.fsdecode(b"caf\xe9.png")).write_bytes(PNG)
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert [(item.path, item.reason) for item in manifest.rejected] == [("real/real_a/caf\\xe9.png", "name")]


def test_an_accepted_format_under_another_name_is_used_and_counted(small_tree, tmp_path):
    (small_tree / "fake" / "gan_a" / "really_jpeg.png").write_bytes(JPEG)
    (small_tree / "fake" / "gan_a" / "webp_image.WEBP").write_bytes(WEBP)
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.totals["mislabelled"] == 1
    assert manifest.sources["gan_a"]["mislabelled"] == 1
    assert manifest.formats["gan_a"] == {"JPEG": 1, "PNG": 10, "WEBP": 1}
    assert not manifest.rejected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("L", lambda pixels: np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))),
        ("P", lambda pixels: np.asarray(Image.fromarray(pixels).convert("P").convert("RGB"))),
        ("1", lambda pixels: np.asarray(Image.fromarray(pixels).convert("1").convert("RGB"))),
        ("RGBA", lambda pixels: pixels),
    ],
)
def test_grey_palette_and_opaque_alpha_become_rgb(mode, expected):
    pixels = noise(11)
    image = decode_image(save(Image.fromarray(pixels).convert(mode), "PNG"), 10**6)
    np.testing.assert_array_equal(image.pixels, expected(pixels))
    assert image.plain == (mode == "L")


def test_cmyk_jpeg_becomes_rgb():
    flat = Image.new("RGB", (SIDE, SIDE), (200, 100, 50))
    image = decode_image(save(flat.convert("CMYK"), "JPEG", quality=95), 10**6)
    assert np.abs(image.pixels.astype(int) - (200, 100, 50)).max() <= 6  # JPEG's own loss
    assert not image.plain


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    pixels = noise(12, 40, 33)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(save(Image.fromarray(pixels), "PNG", exif=exif), 10**6)
    # What each value means for the stored rows and columns, by the EXIF standard.
    upright = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
        5: pixels.transpose(1, 0, 2), 6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(pixels),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(image.pixels, upright)
    assert image.plain == (orientation == 1)


def test_damaged_exif_does_not_cost_the_image():
    data = save(rgb(seed=13), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode_image(data, 10**6).pixels.shape == (SIDE, SIDE, 3)


def test_decoders_warnings_stay_inside(small_tree, tmp_path):
    (small_tree / "fake" / "gan_a" / "bomb.png").write_bytes(png_of(12_000, 9_000, 8, 2, b""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.rejected_by_reason == {"too_many_pixels": 1}


def test_whatever_a_decoder_raises_is_a_rejection(small_tree, tmp_path, monkeypatch):
    def explode(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_end", explode)
    monkeypatch.setattr("components.dataset.images._decode_bare_png", lambda *_: None)
    (small_tree / "real" / "real_a" / "photo.jpg").write_bytes(JPEG)
    (small_tree / "fake" / "gan_a" / "image.jpg").write_bytes(save(rgb(seed=14), "JPEG"))
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.rejected_by_reason == {"undecodable": 30}
    assert manifest.totals["accepted"] == 2


@pytest.mark.parametrize("data", [PNG, JPEG], ids=["png", "jpeg"])
def test_what_stays_of_a_shortened_file_is_never_stored_unless_tensorflow_decodes_it(data):
    import tensorflow as tf

    for length in [*range(1, len(data), 37), *range(len(data) - 20, len(data) + 1)]:
        try:
            image = decode_image(data[:length], 10**6)
        except ImageRejectedError:
            continue
        assert tf.io.decode_image(data[:length], channels=3).shape == image.pixels.shape
    assert image.plain  # the whole file


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"quality": 95, "subsampling": "4:4:4"}, {"restart_marker_blocks": 1}]
)
def test_jpegs_of_all_kinds_are_whole_whatever_is_appended_or_embedded(options):
    data = save(rgb(64), "JPEG", exif=b"Exif\x00\x00" + JPEG, **options)
    for appended in (b"", bytes(100), b"\xff\xda and a film", JPEG):
        assert decode_image(data + appended, 10**6).plain
    with pytest.raises(ImageRejectedError, match="truncated JPEG"):
        decode_image(data[:-2], 10**6)


def test_a_phones_jpeg_with_previews_is_one_picture():
    data = save(rgb(64), "MPO", save_all=True, append_images=[rgb(64, seed=6)])
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    decoded = decode_image(data, 10**6)
    assert decoded.format == "JPEG"
    np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_a_pointer_to_a_file_that_was_not_fetched_is_named():
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    with pytest.raises(ImageRejectedError, match="Git LFS") as rejected:
        decode_image(pointer, 10_000)
    assert rejected.value.reason == "wrong_type"
