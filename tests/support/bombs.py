"""Images that ask for much memory, and how much a graph takes to refuse them, in a process of its own."""

import ctypes
import io
import re
import struct
import zlib
from pathlib import Path

from PIL import Image

from tests.support.images import encode, noise

MEBIBYTE = 2**20
SIDE = 10_400  # 108 megapixels
BEYOND = 40_000
LEGAL = "a legal PNG of 64 megapixels"
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def one_colour_png(width: int, height: int) -> bytes:
    """A valid RGB PNG of one colour, made row by row."""
    compressor = zlib.compressobj(9)
    row = b"\0" + b"\x20\x40\x60" * width
    rows = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def claiming_png(width: int, height: int) -> bytes:
    image = encode(noise(1))
    header = struct.pack(">II", width, height) + image[24:29]
    return image[:8] + chunk(b"IHDR", header) + image[33:]


def claiming_jpeg(width: int, height: int, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(1)).save(stream, "JPEG", **options)
    image = stream.getvalue()
    frame = image.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    return image[: frame + 5] + struct.pack(">HH", height, width) + image[frame + 9 :]


def claiming_bmp(width: int, height: int) -> bytes:
    image = encode(noise(1), "BMP")
    return image[:18] + struct.pack("<ii", width, height) + image[26:]


def claiming_webp(width: int, height: int) -> bytes:
    """The extended form, which alone has room for such a size."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size


SIZES = {
    "a valid PNG of 108 megapixels": (one_colour_png, SIDE),
    "a PNG's header": (claiming_png, BEYOND),
    "a JPEG's header": (claiming_jpeg, BEYOND),
    "a progressive JPEG's header": (lambda *size: claiming_jpeg(*size, progressive=True), BEYOND),
    "a BMP's header": (claiming_bmp, BEYOND),
    "a BMP's header from top to bottom": (lambda width, height: claiming_bmp(width, -height), BEYOND),
    "a WebP's header": (claiming_webp, BEYOND),
}


TOO_LONG = {"PNG": encode(noise(1)), "JPEG": encode(noise(1), "JPEG"), "text": b"no image "}


def measure(folder: str) -> dict[str, tuple[int, str]]:
    """Asks an exported graph for each image, among two good ones: {kind: (growth of resident memory, message)}.

    Meant for a fresh process: memory that was once freed is used again, and then nothing seems to grow.

    Raises:
        OSError: if the kernel does not let a process forget its peak of memory.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    good = [encode(noise(2)), encode(noise(3), "JPEG")]
    images = {kind: make(side, side) for kind, (make, side) in SIZES.items()}
    images |= {f"33 MiB, {kind}": start.ljust(33 * MEBIBYTE, b"\0") for kind, start in TOO_LONG.items()}
    images[LEGAL] = one_colour_png(8_000, 8_000)
    found = {}
    # The first is asked before, so that what TensorFlow allocates once is not counted.
    for kind, image in [("", good[0]), ("", b""), *images.items()]:
        given, message = tf.constant([good[0], image, good[1]]), ""
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5")  # the peak so far is forgotten
        before = _resident("VmRSS")
        try:
            loaded.signatures["serving_default"](image_bytes=given)
        except tf.errors.InvalidArgumentError as error:
            message = error.message
        found[kind] = (_resident("VmHWM") - before, message)
    return found


def _resident(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", STATUS.read_text())
    if found is None:
        raise OSError(f"{STATUS}: holds no {name}")
    return int(found[1]) * 1024
