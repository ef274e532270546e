"""Small synthesis networks that differ in how they upsample, as the generators of real GANs do.

Each is a convolutional network with fixed weights, drawn from its own name, so that a generator is the same one in
every data set. It takes a latent (the coarse bands of a scene, and noise) to an image: twice "upsample by two,
convolve 3x3, add noise, leaky ReLU", then a 1x1 convolution to RGB. Nothing is learned here, and nothing is drawn at
the finest scale but what upsampling, convolution and noise make of the coarser ones. That is the trace a GAN leaves
too: upsampling mirrors low frequencies into the high ones and shapes them by its kernel, differently for each method
(Odena, Dumoulin & Olah 2016; Frank et al. 2020, section 4).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from components.dataset.seeds import stream
from components.sample.scenes import render_scene

_CHANNELS = 8  # three carry the scene's colours, the others carry detail
_LEAK = 0.2  # slope of the leaky ReLU below zero, as in StyleGAN
_SPREAD = 0.01  # standard deviation of the upsamplers' weights around the interpolation they stand for
_BILINEAR = (0.25, 0.75, 0.75, 0.25)
_BINOMIAL = np.outer((1, 2, 1), (1, 2, 1)) / 16
_GAMMA = 1 / 2.2  # the networks work on display values, as GANs do

Upsampler = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Stage:
    """One stage of a generator: its upsampler, its 3x3 convolution, and how strongly noise enters each channel."""

    upsample: Upsampler
    kernel: np.ndarray  # float32 (out, in, 3, 3)
    noise_gains: np.ndarray  # float32 (channels,)


@dataclass(frozen=True)
class Generator:
    """A generator with its weights: a stage from a quarter to half the resolution, one from half to full."""

    stages: tuple[Stage, Stage]
    to_rgb: np.ndarray  # float32 (3, channels)


@dataclass(frozen=True)
class Recipe:
    """What a generator is made of.

    Attributes:
        upsampler: builds the upsampler of one stage from the generator's stream of weights.
        focus: what the convolution after it does to the finest detail: -1 smooths as a binomial filter, 0 leaves it,
            positive values sharpen. Trained networks balance their upsampler in this way; these are set by hand so that
            no generator's pictures are much sharper or softer than the cameras'.
    """

    upsampler: Callable[[np.random.Generator], Upsampler]
    focus: float


def build_generator(name: str) -> Generator:
    """Builds a generator; the same name always gives the same weights.

    Args:
        name: one of GENERATORS.

    Raises:
        ValueError: if there is no such generator.
    """
    if name not in GENERATORS:
        raise ValueError(f"generators: no generator is called {name!r}. Known: {', '.join(GENERATORS)}.")
    weights = stream("generator weights", name)
    recipe = GENERATORS[name]
    to_rgb = np.concatenate([np.eye(3), weights.normal(0, 0.15, (3, _CHANNELS - 3))], axis=1).astype(np.float32)
    return Generator((_build_stage(recipe, weights, 0.6), _build_stage(recipe, weights, 0.2)), to_rgb)


def synthesise(generator: Generator, random: np.random.Generator, size: int) -> np.ndarray:
    """Draws a latent and synthesises its image.

    Args:
        generator: from build_generator.
        random: where latent and per-stage noise are drawn from.
        size: side of the image in pixels, a multiple of 4.

    Returns:
        uint8 array of shape (size, size, 3), 0..255.
    """
    scene = (render_scene(random, size) ** np.float32(_GAMMA)).transpose(2, 0, 1)
    half = _halve(scene)
    quarter = _halve(half)
    # The band between quarter and half resolution: what a network's middle layers draw into the coarse picture.
    band = half - _interpolate(_interpolate(quarter, _BILINEAR, 1), _BILINEAR, 2)
    strength = np.float32(np.exp(random.uniform(np.log(0.008), np.log(0.03))))
    detail = 4 * strength * random.standard_normal((_CHANNELS - 3, *quarter.shape[1:]), np.float32)

    features = _run_stage(generator.stages[0], np.concatenate([quarter, detail]), strength, random)
    features[:3] += band
    features = _run_stage(generator.stages[1], features, strength, random)
    image = np.tensordot(generator.to_rgb, features, axes=1).transpose(1, 2, 0)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def convolve3x3(features: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolves feature maps, borders repeated.

    Args:
        features: float32 (channels in, height, width).
        kernel: float32 (channels out, channels in, 3, 3), applied as cross-correlation, as in deep learning.

    Returns:
        float32 (channels out, height, width).
    """
    channels, height, width = features.shape
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    columns = np.stack(windows, axis=1).reshape(channels * 9, height * width)
    return (kernel.reshape(len(kernel), channels * 9) @ columns).reshape(len(kernel), height, width)


def _build_stage(recipe: Recipe, weights: np.random.Generator, noise: float) -> Stage:
    """Draws the weights of one stage; `noise` is how strongly its noise enters the colour channels."""
    upsample = recipe.upsampler(weights)
    kernel = weights.normal(0, 0.03, (_CHANNELS, _CHANNELS, 3, 3))
    kernel -= kernel.mean(axis=(2, 3), keepdims=True)  # a mean would tint the picture: brightness must tell nothing
    own = -recipe.focus * _BINOMIAL
    own[1, 1] += 1 + recipe.focus
    kernel[np.arange(_CHANNELS), np.arange(_CHANNELS)] += own
    noise_gains = np.concatenate([np.full(3, noise), weights.uniform(1, 2, _CHANNELS - 3)])
    return Stage(upsample, kernel.astype(np.float32), noise_gains.astype(np.float32))


def _run_stage(stage: Stage, features: np.ndarray, strength: np.float32, random: np.random.Generator) -> np.ndarray:
    """Upsamples, convolves, adds noise, rectifies: float32 (channels, h, w) to (channels, 2 * h, 2 * w)."""
    features = convolve3x3(stage.upsample(features), stage.kernel)
    features += strength * stage.noise_gains[:, None, None] * random.standard_normal(features.shape, np.float32)
    return np.where(features > 0, features, np.float32(_LEAK) * features)


def _halve(features: np.ndarray) -> np.ndarray:
    """Averages 2x2 blocks: (channels, h, w) to (channels, h / 2, w / 2)."""
    channels, height, width = features.shape
    return features.reshape(channels, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _nearest(weights: np.random.Generator) -> Upsampler:
    """Each value four times."""
    del weights

    def upsample(features: np.ndarray) -> np.ndarray:
        return features.repeat(2, axis=1).repeat(2, axis=2)

    return upsample


def _bilinear(weights: np.random.Generator) -> Upsampler:
    """Linear interpolation at half-pixel centres."""
    del weights
    return lambda features: _interpolate(_interpolate(features, _BILINEAR, 1), _BILINEAR, 2)


def _bicubic(weights: np.random.Generator) -> Upsampler:
    """Catmull-Rom interpolation at half-pixel centres (Keys 1981, a = -1/2)."""
    del weights
    # The kernel at distances 7/4, 5/4, 3/4 and 1/4, left to right for both output phases.
    taps = (-3 / 128, -9 / 128, 29 / 128, 111 / 128, 111 / 128, 29 / 128, -9 / 128, -3 / 128)
    return lambda features: _interpolate(_interpolate(features, taps, 1), taps, 2)


def _transposed(weights: np.random.Generator) -> Upsampler:
    """Transposed convolution, 4x4, stride 2: four 2x2 kernels, one for each place in the 2x2 cell."""
    taps = np.asarray(_BILINEAR)
    kernel = weights.normal(0, _SPREAD, (_CHANNELS, _CHANNELS, 4, 4)) / np.sqrt(_CHANNELS)
    kernel[np.arange(_CHANNELS), np.arange(_CHANNELS)] += np.outer(taps, taps)
    return lambda features: transposed_convolution(features, kernel.astype(np.float32))


def _subpixel(weights: np.random.Generator) -> Upsampler:
    """Sub-pixel convolution (Shi et al. 2016): a 3x3 convolution to four times the channels, then a shuffle."""
    kernel = weights.normal(0, _SPREAD, (_CHANNELS, 4, _CHANNELS, 3, 3)) / np.sqrt(_CHANNELS)
    for place in range(4):  # each place in the 2x2 cell leans towards the neighbours on its side
        taps = [np.array((0.15, 0.85, 0)) if side == 0 else np.array((0, 0.85, 0.15)) for side in divmod(place, 2)]
        kernel[np.arange(_CHANNELS), place, np.arange(_CHANNELS)] += np.outer(*taps)
    flat = kernel.reshape(4 * _CHANNELS, _CHANNELS, 3, 3).astype(np.float32)

    def upsample(features: np.ndarray) -> np.ndarray:
        channels, height, width = features.shape
        phases = convolve3x3(features, flat).reshape(channels, 2, 2, height, width)
        return phases.transpose(0, 3, 1, 4, 2).reshape(channels, 2 * height, 2 * width)

    return upsample


def transposed_convolution(features: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Transposed convolution with stride 2 and 4x4 kernels.

    Args:
        features: float32 (channels in, height, width).
        kernel: float32 (channels out, channels in, 4, 4).

    Returns:
        float32 (channels out, 2 * height, 2 * width): the full result without its outermost rows and columns, i.e.
        padding "same". Input borders are repeated, so that the frame does not darken.
    """
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)), mode="edge")
    channels, height, width = padded.shape
    full = np.zeros((len(kernel), 2 * height + 2, 2 * width + 2), np.float32)
    columns = padded.reshape(channels, -1)
    for y in range(4):
        for x in range(4):
            part = (kernel[:, :, y, x] @ columns).reshape(-1, height, width)
            full[:, y : y + 2 * height : 2, x : x + 2 * width : 2] += part
    return full[:, 3:-3, 3:-3]


def _interpolate(features: np.ndarray, taps: tuple[float, ...], axis: int) -> np.ndarray:
    """Doubles one axis by a symmetric interpolation kernel at half-pixel centres, borders repeated.

    Args:
        features: float32 (channels, height, width).
        taps: kernel at the output's spacing, an even number; even and odd positions make the two phases.
        axis: 1 or 2.
    """
    reach = len(taps) // 4
    length = features.shape[axis]
    widths = [(0, 0)] * 3
    widths[axis] = (reach, reach)
    padded = np.moveaxis(np.pad(features, widths, mode="edge"), axis, 0)
    # Phase 0 lies a quarter pixel before the input's sample, phase 1 a quarter after: one is the other's mirror.
    before = taps[::2]
    phases = [
        sum(np.float32(tap) * padded[shift + offset : shift + offset + length] for shift, tap in enumerate(row))
        for offset, row in ((0, before), (1, before[::-1]))
    ]
    doubled = np.stack(phases, axis=1).reshape(2 * length, *padded.shape[1:])
    return np.moveaxis(doubled, 0, axis)


GENERATORS: Mapping[str, Recipe] = MappingProxyType(
    {
        "nearest_demo": Recipe(_nearest, focus=-0.5),
        "transposed_demo": Recipe(_transposed, focus=0.5),
        "bilinear_demo": Recipe(_bilinear, focus=1.2),
        "subpixel_demo": Recipe(_subpixel, focus=0.2),
        "bicubic_demo": Recipe(_bicubic, focus=0.4),
    }
)
DEFAULT_GENERATORS = ("nearest_demo", "transposed_demo", "bilinear_demo", "subpixel_demo")
