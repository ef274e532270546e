"""Procedural scenes: what stands in front of the camera, or in the generator's latent space.

Not photographs. A scene is a "dead leaves" picture (Lee, Mumford & Huang 2001): opaque shapes whose radii follow a
power law, each hiding what lies behind it, on a background with a gradient. Edges at all scales and occlusion give it
the 1/f amplitude spectrum of natural images; every shape carries shading and a 1/f texture of its own strength.
Cameras and generators draw from this one family, so that content alone cannot tell real from fake.
"""

import numpy as np

_SHAPES_PER_SCENE = 90
_SMALLEST_RADIUS = 0.015  # as a fraction of the scene's side
_LARGEST_RADIUS = 0.45
_LARGEST_RATIO = 2.5  # of a shape's axes


def render_scene(random: np.random.Generator, size: int) -> np.ndarray:
    """Renders one scene.

    Args:
        random: where shapes, colours and textures are drawn from.
        size: side in pixels, at least 8.

    Returns:
        float32 array of shape (size, size, 3): linear light, 0.01..1.

    Source: Lee, Mumford & Huang 2001, "Occlusion models for natural images" (radii with density proportional to r^-3).
    """
    texture = _pink_noise(random, size)
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    illumination = 1 + random.uniform(-0.5, 0.5) * axis[:, None] + random.uniform(-0.5, 0.5) * axis[None, :]
    palette = _palette(random)

    scene = np.empty((size, size, 3), np.float32)
    scene[:] = palette[0] * (1 + random.uniform(0.05, 0.3) * texture[..., None])
    radii = _power_law_radii(random, _SHAPES_PER_SCENE) * size
    # Painted in random order, the last on top: what a dead-leaves process seen from above looks like.
    for radius in radii:
        _paint_shape(random, scene, texture, palette, float(radius))
    scene *= illumination[..., None].astype(np.float32)
    return np.clip(scene * random.uniform(0.6, 1.1), 0.01, 1).astype(np.float32)


def _power_law_radii(random: np.random.Generator, count: int) -> np.ndarray:
    """Draws radii with density r^-3 between the two bounds, by inverting the cumulative distribution."""
    low, high = _SMALLEST_RADIUS**-2, _LARGEST_RADIUS**-2
    radii = (low + random.random(count) * (high - low)) ** -0.5
    # A few large shapes for certain, else a scene of only small ones looks like confetti.
    radii[: count // 8] = random.uniform(0.1, _LARGEST_RADIUS, count // 8)
    return radii


def _palette(random: np.random.Generator) -> np.ndarray:
    """Draws 12 colours around one hue: float32 (12, 3), linear light. Saturation is moderate, as outdoors."""
    base = random.uniform(0.1, 0.5, 3)
    lightness = random.uniform(0.05, 0.9, (12, 1))
    return (lightness * (0.6 + base + random.normal(0, 0.12, (12, 3)))).clip(0.02, 1).astype(np.float32)


def _paint_shape(
    random: np.random.Generator, scene: np.ndarray, texture: np.ndarray, palette: np.ndarray, radius: float
) -> None:
    """Paints one ellipse or rectangle with a hard edge, shading and texture over the scene, in place."""
    size = scene.shape[0]
    centre_y, centre_x = random.uniform(-0.1, 1.1, 2) * size
    ratio = random.uniform(1, _LARGEST_RATIO)
    angle = random.uniform(0, np.pi)
    colour = palette[random.integers(len(palette))]
    shading, grain = random.uniform(-0.25, 0.25), random.uniform(0.02, 0.35)
    rectangle = random.random() < 0.4

    reach = radius * np.sqrt(2) + 1
    top, bottom = max(0, int(centre_y - reach)), min(size, int(centre_y + reach) + 1)
    left, right = max(0, int(centre_x - reach)), min(size, int(centre_x + reach) + 1)
    if top >= bottom or left >= right:
        return
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre_y)
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(centre_x)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = (cosine * x + sine * y) / np.float32(radius)
    across = (cosine * y - sine * x) / np.float32(radius / ratio)
    mask = (np.maximum(np.abs(along), np.abs(across)) <= 1) if rectangle else (along**2 + across**2 <= 1)
    light = 1 + np.float32(shading) * along + np.float32(grain) * texture[top:bottom, left:right]
    scene[top:bottom, left:right][mask] = light[mask][:, None] * colour


def _pink_noise(random: np.random.Generator, size: int) -> np.ndarray:
    """Returns a 1/f field: float32 (size, size), mean 0, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(random.standard_normal((size, size), np.float32)) / frequency
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (size, size))
    return (field / field.std()).astype(np.float32)
