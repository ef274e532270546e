"""Heatmaps as pictures: where in the image (or in its spectrum) the evidence lies.

A map holds what each place contributes to a logit. Only what speaks *for* the class is shown: the map is cut off at
zero from below and divided by its own maximum, so that colours say where, and the caption says how much. A map without
any positive value stays in the lowest colour.
"""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from serving.predict import Row
from serving.view import ModelView

_COLOURS = "turbo"
_OPACITY = 0.5
_PANEL = 256  # pixels: longer side of one panel
_CAPTION = 18  # pixels above each panel
_GAP = 6
_FONT_SIZE = 12
_LONGEST_STEM = 100


def heatmap_overlay(image_bytes: bytes, heatmap: np.ndarray) -> bytes:
    """Lays a heatmap over an image.

    Args:
        image_bytes: the encoded image; the map is taken to cover all of it.
        heatmap: shape (height, width), any range, not necessarily of the image's size: it is brought to it bilinearly.

    Returns:
        a PNG of the image's size: half image, half map in the colours of "turbo" (blue: none, red: strongest).

    Raises:
        ValueError: if the image cannot be decoded, or the map is not a two-dimensional array of finite numbers.
    """
    return _png(_blend(_decode(image_bytes), heatmap))


def write_heatmaps(row: Row, out_dir: Path, view: ModelView | None = None) -> Path:
    """Writes one PNG for an image: itself, the detection map, and the map of each source, side by side with captions.

    Args:
        row: a row of `predict_files` that was asked with the signature `explain`.
        out_dir: directory to write to; made if it does not exist.
        view: what the models see of the image, which the maps are laid over; None takes the whole image, which is
            right for images of the models' own size and pixel input only.

    Returns:
        the file that was written: the image's stem and a digest of its path, so that files of equal names in different
        folders do not overwrite each other, and the same file gets the same name again.

    Raises:
        ValueError: if the row has no heatmaps, or the image can no longer be decoded.
        OSError: if the image cannot be read or the picture not be written.
    """
    if row.answer is None or row.answer.heatmaps is None:
        why = f"it has an error ({row.error})" if row.answer is None else "it was not asked with the signature explain"
        raise ValueError(f"{row.path}: has no heatmaps: {why}.")
    try:
        image = _decode(row.path.read_bytes())
        seen = _fit(view.of(image) if view else image)
        maps = row.answer.heatmaps
        panels = [
            (f"{row.answer.verdict}", _fit(image)),
            (f"fake {row.answer.fake_probability:.3f}", _blend(seen, maps.detection)),
        ]
        for source, heatmap in maps.sources.items():
            panels.append((f"{source} {row.source_probabilities[source]:.3f}", _blend(seen, heatmap)))
    except ValueError as error:
        raise ValueError(f"{row.path}: {error}") from error
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / picture_name(row.path)
    target.write_bytes(_png(_side_by_side(panels)))
    return target


def picture_name(path: Path) -> str:
    """Returns the file name of an image's picture: "<stem>-<first 10 hex digits of the path's SHA-256>.png"."""
    digest = hashlib.sha256(str(path).encode("utf-8", errors="surrogateescape")).hexdigest()[:10]
    return f"{path.stem[:_LONGEST_STEM]}-{digest}.png"


def _decode(image_bytes: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            return image.convert("RGB")
    # Pillow's plug-ins raise what their formats come to, and a picture is not worth ending a run for.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be decoded: {error}") from error


def _blend(image: Image.Image, heatmap: np.ndarray) -> Image.Image:
    import matplotlib as mpl

    heatmap = np.asarray(heatmap, np.float32)
    if heatmap.ndim != 2 or not heatmap.size or not np.isfinite(heatmap).all():
        raise ValueError(f"heatmap: must be finite numbers of shape (height, width), got shape {heatmap.shape}.")
    positive = np.maximum(heatmap, 0.0)
    peak = float(positive.max())
    if peak > 0.0:
        positive = positive / peak
    upsampled = Image.fromarray(positive).resize(image.size, Image.Resampling.BILINEAR)
    colours = mpl.colormaps[_COLOURS](np.asarray(upsampled), bytes=True)[..., :3]
    return Image.blend(image, Image.fromarray(np.ascontiguousarray(colours)), _OPACITY)


def _fit(image: Image.Image) -> Image.Image:
    """Scales an image for display, so that its longer side is a panel's."""
    scale = _PANEL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Pixels stay squares when enlarged: smooth interpolation would invent what is not in a small image.
    method = Image.Resampling.NEAREST if scale > 1.0 else Image.Resampling.LANCZOS
    return image.resize((width, height), method)


def _side_by_side(panels: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    font = ImageFont.load_default(_FONT_SIZE)
    width = len(panels) * (_PANEL + _GAP) - _GAP
    canvas = Image.new("RGB", (width, _CAPTION + max(panel.height for _, panel in panels)), "white")
    draw = ImageDraw.Draw(canvas)
    for position, (caption, panel) in enumerate(panels):
        left = position * (_PANEL + _GAP)
        draw.text((left + 2, 2), _shortened(caption, font), fill="black", font=font)
        canvas.paste(panel, (left, _CAPTION))
    return canvas


def _shortened(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Takes characters out of a caption's middle until it fits its panel: its end is the probability."""
    text, kept = caption, len(caption)
    while font.getlength(text) > _PANEL - 4 and kept > 2:
        kept -= 1
        head = kept // 2
        text = f"{caption[:head]}...{caption[len(caption) - (kept - head) :]}"
    return text


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
