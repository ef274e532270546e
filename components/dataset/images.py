"""Checking and decoding one image file. Whatever is wrong with it becomes a reason; nothing here ends the run."""

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from components.dataset.compression import NOT_JPEG, describe_compression
from components.dataset.crop import crop_pixels
from components.dataset.graph_decoder import GraphRefusedError, decode_as_graph
from components.dataset.integrity import check_jpeg, check_png_rows, essential_jpeg, essential_kinds, essential_png
from components.dataset.parameters import PreparationParameters
from components.dataset.tree import Candidate, Reason, Rejection, Source, file_of
from serving.decoding import upright
from serving.images import format_of

FORMATS = ("PNG", "JPEG", "WEBP")
_EXTENSION_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_OTHER_FORMATS = (  # only to say what a file is; none of them is read
    (b"GIF8", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"<svg", "SVG"),
    (b"<!DO", "HTML"),
    (b"<htm", "HTML"),
    (b"version https://git-lfs", "a pointer to a file in Git LFS (`git lfs pull` fetches it)"),
)
_ESSENTIAL = {"PNG": essential_png, "JPEG": essential_jpeg}
_BARE_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_BARE_PNG_KINDS = {b"IHDR", b"IDAT", b"IEND"}
_BARE_PNG_MODES = {b"\0": "L", b"\2": "RGB"}  # by colour type
_READABLE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class ImageRejectedError(Exception):
    """An image cannot be used.

    Attributes:
        reason: code.
        detail: sentence.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class CheckedImage:
    """An image that can be used, without its pixels.

    Attributes:
        path: relative to the tree.
        source: where it comes from.
        format: PNG, JPEG or WEBP, by content.
        mislabelled: its extension promised another of the three.
        height, width: of the whole image, upright, in pixels.
        file_bytes: size of the file.
        file_sha256: of the file, hexadecimal.
        content_sha256: of the pixels that are kept (after cropping, before any perturbation), hexadecimal.
        verbatim: the file's own bytes can be stored: PNG or JPEG, 8 bits, RGB or grey, upright, of the size already,
            and the served graph's decoder takes them.
        graph_refusal: why the served graph's decoder does not take a file that is fit for storing otherwise; such an
            image is stored again, as PNG. "" for all others.
        colour_mode: Pillow's name of the file's mode: L, RGB, P and so on.
        compression: of a JPEG its quality and chroma subsampling (see compression.py), else NOT_JPEG.
    """

    path: str
    source: Source
    format: str
    mislabelled: bool
    height: int
    width: int
    file_bytes: int
    file_sha256: str
    content_sha256: str
    verbatim: bool
    graph_refusal: str = ""
    colour_mode: str = "RGB"
    compression: str = NOT_JPEG


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: uint8 array of shape (height, width, 3), upright.
        format: PNG, JPEG or WEBP.
        plain: PNG or JPEG, 8 bits, RGB or grey, opaque, upright: any decoder sees these pixels.
        colour_mode, compression: of the file, as in CheckedImage.
    """

    pixels: np.ndarray
    format: str
    plain: bool
    colour_mode: str
    compression: str


def check_image(root: Path, parameters: PreparationParameters, candidate: Candidate) -> CheckedImage | Rejection:
    """Reads, decodes and crops one image, and says what it is or why it cannot be used.

    Args:
        root: the image tree.
        parameters: size, crop and limits.
        candidate: the file.
    """
    try:
        data = read_file(file_of(root, candidate.path), parameters.max_image_bytes)
        bare = _decode_bare_png(data, parameters)
        image = bare or decode_image(data, parameters.max_image_pixels)
        height, width = image.pixels.shape[:2]
        size = parameters.size
        if min(height, width) < size:
            raise ImageRejectedError(
                Reason.TOO_SMALL, f"is {width} x {height} px, smaller than {size} x {size}: images are never enlarged"
            )
        fits = image.plain and (height, width) == (size, size)
        # What is encoded again in any case needs no question.
        refusal = _graph_refusal(data, image) if fits and not bare and parameters.recompress is None else ""
        return CheckedImage(
            path=candidate.path,
            source=candidate.source,
            format=image.format,
            mislabelled=_EXTENSION_FORMATS.get(Path(candidate.path).suffix.lower(), image.format) != image.format,
            height=height,
            width=width,
            file_bytes=len(data),
            file_sha256=hashlib.sha256(data).hexdigest(),
            content_sha256=hash_pixels(crop_pixels(image.pixels, size, parameters.crop)),
            verbatim=fits and not refusal,
            graph_refusal=refusal,
            colour_mode=image.colour_mode,
            compression=image.compression,
        )
    except ImageRejectedError as rejected:
        return Rejection(candidate.path, rejected.reason, rejected.detail, candidate.source)


def read_file(path: Path, limit: int) -> bytes:
    """Reads a file of 1 to `limit` bytes.

    Raises:
        ImageRejectedError: if it is empty, larger (it is not read then), or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise ImageRejectedError(Reason.TOO_MANY_BYTES, f"has {size:,} bytes; at most {limit:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise ImageRejectedError(Reason.UNREADABLE, f"cannot be read: {error.strerror}") from error
    if not data:
        raise ImageRejectedError(Reason.EMPTY, "is empty (0 bytes)")
    return data


def decode_image(data: bytes, pixel_limit: int) -> DecodedImage:
    """Decodes a PNG, JPEG or WebP image, whatever its file was called.

    Grey, palette and CMYK images become RGB; opaque alpha is dropped; the EXIF orientation is applied (a quarter turn
    or a mirroring keeps the pixel grid). Colour profiles are not applied: models look at the stored values. 16-bit and
    transparent images are rejected, as what 8-bit RGB they should become is the owner's decision.

    Args:
        data: the file's bytes.
        pixel_limit: images of more pixels are rejected from their header.

    Raises:
        ImageRejectedError: for every other image.
    """
    image_format = sniff_format(data)
    if image_format not in FORMATS:
        raise ImageRejectedError(Reason.WRONG_TYPE, f"its content is {image_format}, not PNG, JPEG or WebP")
    with _decoder_errors():
        essential = _ESSENTIAL[image_format](data) if image_format in _ESSENTIAL else data
    with _decoder_errors(), Image.open(io.BytesIO(essential), formats=FORMATS) as image:
        _check_header(image, data, image_format, pixel_limit)
        if image_format == "JPEG":
            check_jpeg(data)
        image.load()
        # Pillow leaves rows black that are missing, so only a black end (or a scattered one) can be a missing one.
        if image_format == "PNG" and (image.info.get("interlace") or not np.any(image.getpixel((-1, -1)))):
            check_png_rows(data)
        orientation = _orientation(image)
        plain = (
            image_format in ("PNG", "JPEG")
            and image.mode in ("RGB", "L")
            and orientation == 1
            and (image_format != "PNG" or _png_bit_depth(data) == 8)
        )
        if image.has_transparency_data:
            plain = False
            if np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise ImageRejectedError(
                    Reason.TRANSPARENT, "has transparent pixels: lay it on a background of your choice"
                )
        pixels = np.asarray(upright(image, orientation))
        return DecodedImage(pixels, image_format, plain, image.mode, describe_compression(image))


def _decode_bare_png(data: bytes, parameters: PreparationParameters) -> DecodedImage | None:
    """Decode a PNG of the dataset's size that holds nothing but a header and RGB or grey pixels of 8 bits.

    Nothing in such a file turns or hides pixels, and PNG is lossless. So the graph's decoder, which has to be asked
    anyway, gives the pixels as well.

    Returns:
        The image; None for any other file, and for one that the graph's decoder does not take.
    """
    side = struct.pack(">I", parameters.size)
    is_asked = parameters.recompress is None and parameters.size**2 <= parameters.max_image_pixels
    if not is_asked or data[:25] != _BARE_PNG_START + side + side + b"\x08" or data[25:26] not in _BARE_PNG_MODES:
        return None
    try:
        if not essential_kinds(data) <= _BARE_PNG_KINDS:
            return None
        pixels = decode_as_graph(data, is_jpeg=False)
    except (ValueError, GraphRefusedError):
        return None
    return DecodedImage(pixels, "PNG", True, _BARE_PNG_MODES[data[25:26]], NOT_JPEG)


def _graph_refusal(data: bytes, image: DecodedImage) -> str:
    """Return why the served graph's decoder does not take an image, "" if it does."""
    try:
        shape = decode_as_graph(data, image.format == "JPEG").shape
    except GraphRefusedError as error:
        return str(error)
    return "" if shape == image.pixels.shape else f"is decoded as {shape}, not {image.pixels.shape}"


def hash_pixels(pixels: np.ndarray) -> str:
    """Returns the SHA-256 of shape and values, hexadecimal: equal for equal pictures in whatever format."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def hash_file(root: Path, parameters: PreparationParameters, candidate: Candidate) -> str:
    """Returns the SHA-256 of a file, or the reason why it is not read."""
    try:
        return hashlib.sha256(read_file(file_of(root, candidate.path), parameters.max_image_bytes)).hexdigest()
    except ImageRejectedError as rejected:
        return rejected.reason


def sniff_format(data: bytes) -> str:
    """Names the format of a file by its first bytes; "unknown" if they say nothing."""
    known = format_of(data)
    if known is not None:
        return known
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "HEIC"
    if data[4:12] == b"ftypavif":
        return "AVIF"
    return next((name for start, name in _OTHER_FORMATS if data.startswith(start)), "unknown")


def _check_header(image: Image.Image, data: bytes, image_format: str, pixel_limit: int) -> None:
    """Rejects by what the header says, before anything is decoded."""
    width, height = image.size
    if width * height > pixel_limit:
        raise ImageRejectedError(
            Reason.TOO_MANY_PIXELS, f"is {width} x {height} px; at most {pixel_limit:,} pixels are decoded"
        )
    # "MPO": a phone's JPEG with previews behind it; its first picture is the photograph.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise ImageRejectedError(Reason.ANIMATED, "holds several pictures: extract the one that counts")
    if image_format == "PNG" and _png_bit_depth(data) == 16:
        raise ImageRejectedError(Reason.SIXTEEN_BIT, "has 16 bits a channel: convert it to 8 bits first")
    if image.mode not in _READABLE_MODES:
        raise ImageRejectedError(Reason.UNDECODABLE, f"has colour mode {image.mode}, which has no defined way to RGB")


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Turns whatever a decoder raises into a rejection, and keeps its warnings to itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageRejectedError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRejectedError(Reason.TOO_MANY_PIXELS, "has more pixels than can be decoded safely") from error
    except UnidentifiedImageError as error:  # its own message names an object in memory
        raise ImageRejectedError(Reason.UNDECODABLE, "cannot be decoded: its header is damaged") from error
    # Anything: on hostile bytes Pillow raises OSError, SyntaxError, ValueError, struct.error, MemoryError and others.
    except Exception as error:
        raise ImageRejectedError(Reason.UNDECODABLE, f"cannot be decoded: {error or type(error).__name__}") from error


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 (upright) if there is none or it makes no sense."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # Damaged metadata does not make a picture unusable, and fails in as many ways as damaged pictures do.
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _png_bit_depth(data: bytes) -> int:
    """Returns the bits a channel of a PNG: byte 24 of the file, in the header chunk, which always comes first."""
    return data[24] if len(data) > 24 else 0
