"""Heatmaps as pictures: where in the image (or in its spectrum) the evidence lies.

A map holds what each place contributes to a logit. How its values become colours is a choice:

    relative   max(0, map) / max(map): the map's own greatest value has the strongest colour. The colours say where, the
               caption says how much. A map without any positive value stays in the lowest colour.
    absolute   min(max(0, map), 1): from 1 on, all have the strongest colour; maps of different images can be compared.
    reference  as the published pictures: the colours of "jet"; for pixels the values as in absolute, resized before
               they are cut off, for spectra as in relative. There the published program divides by the greatest value
               of the whole batch, so that a picture depends on its neighbours; here it never does.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from serving import atomic
from serving.client.predict import Row
from serving.client.view import ModelView
from serving.decoding import decode
from serving.names import printable

Scale = Literal["relative", "absolute", "reference"]

_COLOURS: dict[Scale, str] = {"relative": "turbo", "absolute": "turbo", "reference": "jet"}
_OPACITY = 0.5
_PANEL = 256  # pixels: longer side of one panel
_CAPTION = 18  # pixels above each panel
_GAP = 6
_FONT_SIZE = 12
_LONGEST_STEM = 100  # bytes: a name may have 255 of them
_MODEL_KEY = "Source"  # of the PNG specification's keywords, the one for the device used to create the image


@dataclass(frozen=True)
class PictureStyle:
    """How pictures are drawn and named.

    Attributes:
        scale: how a map's values become colours.
        captions: write verdict and probabilities above the panels.
        source_tags: name a picture "<folder>_<stem>.png" after the folder of its image, instead of by a digest.
        model: the model that is asked, written into each picture, so that another model's are not overwritten.
    """

    scale: Scale = "relative"
    captions: bool = True
    source_tags: bool = False
    model: str = ""


def write_heatmaps(row: Row, out_dir: Path, view: ModelView | None = None, style: PictureStyle | None = None) -> Path:
    """Write one PNG for an image: itself, the detection map, and the map of each source, side by side with captions.

    The image is drawn as the servable sees it: a photograph stands upright, as its maps do.

    Args:
        row: Row of `predict_files`, requested with the signature `explain`.
        out_dir: Directory to write to; made if it does not exist.
        view: The part of the image that the models see, which the maps are laid over; None takes the whole image, which
            is right for servables that judge whole images, and for images of the models' own size and pixel input.
        style: How the picture is drawn and named.

    Returns:
        The file that was written, named by `picture_name`.

    Raises:
        ValueError: if the row has no heatmaps, or the image can no longer be decoded.
        OSError: if the image cannot be read or the picture not be written.
    """
    style = style or PictureStyle()
    if row.answer is None or row.answer.heatmaps is None:
        why = f"it has an error ({row.error})" if row.answer is None else "it was not asked with the signature explain"
        raise ValueError(f"{row.path}: has no heatmaps: {why}.")
    spectral = view is not None and view.is_spectral
    try:
        image = decode(row.path.read_bytes() if row.content is None else row.content)
        seen = _fit(view.of(image) if view else image)
        maps = row.answer.heatmaps
        panels = [
            (f"{row.answer.verdict}", _fit(image)),
            (f"fake {row.answer.fake_probability:.3f}", overlay(seen, maps.detection, style.scale, spectral)),
        ]
        for source, heatmap in maps.sources.items():
            caption = f"{source} {row.source_probabilities[source]:.3f}"
            panels.append((caption, overlay(seen, heatmap, style.scale, spectral)))
    except ValueError as error:
        raise ValueError(f"{row.path}: {error}") from error
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / picture_name(row.path, style)
    with atomic.replace_file(target) as temporary:
        temporary.write_bytes(_png(_side_by_side(panels, style.captions), style.model))
    return target


def picture_name(path: Path, style: PictureStyle | None = None) -> str:
    """Returns the file name of an image's picture.

    By default "<stem>-<first 10 hex digits of the path's SHA-256>.png", so that files of equal names in different
    folders do not overwrite each other, and the same file gets the same name again. With source tags
    "<folder>_<stem>.png", which several files may share: see `check_names`.
    """
    stem = _cut(path.stem)
    if style is not None and style.source_tags:
        return f"{_cut(path.absolute().parent.name)}_{stem}.png"
    digest = hashlib.sha256(str(path).encode("utf-8", errors="surrogateescape")).hexdigest()[:10]
    return f"{stem}-{digest}.png"


def check_earlier(paths: Iterable[Path], out_dir: Path, style: PictureStyle) -> None:
    """Checks that no picture of another model would be overwritten.

    Raises:
        ValueError: if one would be.
    """
    for path in paths:
        earlier = out_dir / picture_name(path, style)
        if earlier.is_file() and (model := _model_of(earlier)) != style.model:
            drawn = f"drawn of {model}" if model else "not drawn by this version of the program"
            raise ValueError(
                f"heatmaps: {printable(earlier)} is {drawn}, and would be overwritten by a picture of {style.model}. "
                "Choose a directory for each model, or remove the earlier pictures."
            )


def _model_of(picture: Path) -> str:
    """Return the model that a picture was drawn of; "" if it does not say."""
    try:
        with Image.open(picture) as opened:
            return str(opened.info.get(_MODEL_KEY, ""))
    except (OSError, ValueError, SyntaxError):
        return ""


def _cut(name: str) -> str:
    """Return the start of a name, at most `_LONGEST_STEM` bytes of whole characters."""
    cut = name[:_LONGEST_STEM]
    while len(os.fsencode(cut)) > _LONGEST_STEM:
        cut = cut[:-1]
    return cut


def check_names(paths: Iterable[Path], style: PictureStyle) -> None:
    """Checks that every image gets a picture of its own.

    Raises:
        ValueError: if two would overwrite each other.
    """
    taken: dict[str, Path] = {}
    for path in paths:
        name = picture_name(path, style)
        if name in taken:
            raise ValueError(
                f"{path}: its picture would be {name}, as that of {taken[name]}. Leave out `sourcetags`, or ask "
                "for them apart."
            )
        taken[name] = path


def overlay(image: Image.Image, heatmap: np.ndarray, scale: Scale = "relative", spectral: bool = False) -> Image.Image:
    """Lay a heatmap over an image.

    Args:
        image: The RGB image that the map covers.
        heatmap: Map of shape (height, width), any range and any size; it is brought to the image's size bilinearly.
        scale: How the map's values become colours.
        spectral: Whether the image shows a spectrum; makes a difference to the scale "reference" alone.

    Returns:
        An image of the same size: half image, half map in colours (blue: none, red: strongest).

    Raises:
        ValueError: if the map is not a two-dimensional array of finite numbers.
    """
    import matplotlib as mpl

    heatmap = np.asarray(heatmap, np.float32)
    if heatmap.ndim != 2 or not heatmap.size or not np.isfinite(heatmap).all():
        raise ValueError(f"heatmap: must be finite numbers of shape (height, width), got shape {heatmap.shape}.")
    own_peak = scale == "relative" or (scale == "reference" and spectral)
    values = relative_values(heatmap) if own_peak else heatmap
    upsampled = np.asarray(Image.fromarray(values).resize(image.size, Image.Resampling.BILINEAR))
    # Bytes, not fractions: a colour map takes 255 for its last entry, and the published program cuts decimals off.
    levels = np.clip(255.0 * upsampled, 0.0, 255.0).astype(np.uint8)
    colours = mpl.colormaps[_COLOURS[scale]](levels, bytes=True)[..., :3]
    return Image.blend(image, Image.fromarray(np.ascontiguousarray(colours)), _OPACITY)


def relative_values(heatmap: np.ndarray) -> np.ndarray:
    """Returns max(0, map) / max(map), 0..1; all zero where nothing is positive.

    Args:
        heatmap: float32, shape (height, width).
    """
    positive = np.maximum(heatmap, np.float32(0.0))
    peak = positive.max()
    return positive / peak if peak > 0.0 else positive


def _fit(image: Image.Image) -> Image.Image:
    """Scales an image for display, so that its longer side is a panel's."""
    scale = _PANEL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Pixels stay squares when enlarged: smooth interpolation would invent what is not in a small image.
    method = Image.Resampling.NEAREST if scale > 1.0 else Image.Resampling.LANCZOS
    return image.resize((width, height), method)


def _side_by_side(panels: Sequence[tuple[str, Image.Image]], captions: bool) -> Image.Image:
    font = ImageFont.load_default(_FONT_SIZE)
    width, top = len(panels) * (_PANEL + _GAP) - _GAP, _CAPTION if captions else 0
    canvas = Image.new("RGB", (width, top + max(panel.height for _, panel in panels)), "white")
    draw = ImageDraw.Draw(canvas)
    for position, (caption, panel) in enumerate(panels):
        left = position * (_PANEL + _GAP)
        if captions:
            draw.text((left + 2, 2), _shortened(caption, font), fill="black", font=font)
        canvas.paste(panel, (left, top))
    return canvas


def _shortened(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Takes characters out of a caption's middle until it fits its panel: its end is the probability."""
    text, kept = caption, len(caption)
    while font.getlength(text) > _PANEL - 4 and kept > 2:
        kept -= 1
        head = kept // 2
        text = f"{caption[:head]}...{caption[len(caption) - (kept - head) :]}"
    return text


def _png(image: Image.Image, model: str) -> bytes:
    stream, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    if model:
        texts.add_itxt(_MODEL_KEY, model)
    image.save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()
