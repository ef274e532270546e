"""A simulated camera: optics, colour filter array, sensor noise, demosaicing, tone curve.

The pictures are synthetic and stand for camera images in the demonstration and the tests only: they carry the traces
that a camera leaves (a point-spread function, the correlations of demosaicing, noise that grows with light), which is
what a detector looks at, and none of a real camera's quirks. Numbers measured on them say that the machinery works, not
how well it does on photographs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from components.sample.scenes import render_scene

_OVERSAMPLING = 2  # the scene is finer than the sensor: edges fall between pixels
_BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_BILINEAR_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4


@dataclass(frozen=True)
class Camera:
    """What makes one camera differ from another.

    Attributes:
        blur: standard deviation of the lens's point-spread function, in sensor pixels.
        bayer: colours of the filter array's 2x2 cell, row by row, e.g. "RGGB".
        full_well: electrons at full light and base sensitivity; shot noise is the square root of the count.
        read_noise: standard deviation of the read-out, in electrons.
        sharpening: strength of the unsharp mask after demosaicing; 0 is none.
    """

    blur: float
    bayer: str
    full_well: float
    read_noise: float
    sharpening: float


CAMERAS: Mapping[str, Camera] = MappingProxyType(
    {
        "real_camera1": Camera(blur=0.55, bayer="RGGB", full_well=7000, read_noise=6, sharpening=0.5),
        "real_camera2": Camera(blur=0.85, bayer="GBRG", full_well=4000, read_noise=9, sharpening=1.2),
    }
)


def photograph(camera: Camera, random: np.random.Generator, size: int) -> np.ndarray:
    """Renders a scene and takes its picture.

    Args:
        camera: which camera.
        random: where scene, exposure and noise are drawn from.
        size: side of the picture in pixels, even.

    Returns:
        uint8 array of shape (size, size, 3): sRGB, 0..255.
    """
    scene = render_scene(random, size * _OVERSAMPLING)
    light = _downsample(ndimage.gaussian_filter(scene, (camera.blur * _OVERSAMPLING,) * 2 + (0,)), _OVERSAMPLING)
    # Sensitivity (ISO) differs from picture to picture: 1 to 6 times the base, i.e. fewer electrons for the same light.
    electrons = camera.full_well / np.exp(random.uniform(0, np.log(6)))
    mosaic = _expose(light, camera, electrons, random)
    picture = _demosaic(mosaic, camera.bayer)
    if camera.sharpening:
        picture += camera.sharpening * (picture - ndimage.gaussian_filter(picture, (1, 1, 0)))
    return to_srgb_bytes(picture)


def to_srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """Applies the sRGB tone curve and rounds to bytes.

    Args:
        linear: float array of any shape, linear light; values outside 0..1 are clipped.

    Returns:
        uint8 array of the same shape, 0..255.

    Source: IEC 61966-2-1.
    """
    clipped = np.clip(linear, 0, 1)
    encoded = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def _downsample(image: np.ndarray, factor: int) -> np.ndarray:
    """Averages blocks of factor x factor pixels: (h, w, c) to (h / factor, w / factor, c)."""
    height, width, channels = image.shape
    return image.reshape(height // factor, factor, width // factor, factor, channels).mean(axis=(1, 3))


def _expose(light: np.ndarray, camera: Camera, electrons: float, random: np.random.Generator) -> np.ndarray:
    """Exposes a sensor behind its colour filters.

    Args:
        light: float32 array of shape (size, size, 3), 0..1.

    Returns:
        float32 array of shape (size, size): one colour a pixel, about 0..1, with shot and read noise.
    """
    mosaic = np.empty(light.shape[:2], np.float32)
    for (row, column), channel in _bayer_sites(camera.bayer):
        mosaic[row::2, column::2] = light[row::2, column::2, channel]
    counted = mosaic * electrons
    # Above some tens of electrons a Poisson count is as good as normal, and a normal draw is much cheaper.
    noise = random.standard_normal(mosaic.shape, np.float32) * np.sqrt(counted + camera.read_noise**2)
    return ((counted + noise) / electrons).astype(np.float32)


def _demosaic(mosaic: np.ndarray, bayer: str) -> np.ndarray:
    """Interpolates the missing two colours of each pixel bilinearly: (size, size) to (size, size, 3)."""
    picture = np.zeros((*mosaic.shape, 3), np.float32)
    for (row, column), channel in _bayer_sites(bayer):
        picture[row::2, column::2, channel] = mosaic[row::2, column::2]
    for channel, kernel in enumerate((_BILINEAR_RED_BLUE, _BILINEAR_GREEN, _BILINEAR_RED_BLUE)):
        # "mirror" keeps the phase of the mosaic at the border, "reflect" would not.
        picture[..., channel] = ndimage.convolve(picture[..., channel], kernel, mode="mirror")
    return picture


def _bayer_sites(bayer: str) -> list[tuple[tuple[int, int], int]]:
    """Returns ((row, column), channel) of the four sites of a 2x2 cell such as "RGGB"."""
    return [(divmod(position, 2), "RGB".index(colour)) for position, colour in enumerate(bayer)]
