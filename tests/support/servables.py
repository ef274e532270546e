"""Servables of the real architecture with random weights, whose probabilities spread over 0..1."""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.features.parameters import InputParameters, Representation
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.models.secondary import build_secondary
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from tests.support.images import SIZE, encode
from tests.support.transforms import FixedTransform

HEADS = ("progan_a", "sngan_b", "stylegan_c", "mmdgan_d")


def textured_images(count: int, seed: int = 0) -> list[bytes]:
    """PNG and JPEG files that differ in colour, grain and size: each looks otherwise to a model."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        height, width = SIZE + rng.integers(0, 9, 2)
        ramp = np.linspace(0, 255, height)[:, None, None] * rng.uniform(0, 1, 3)
        grain = rng.normal(0, rng.uniform(1, 80), (height, width, 3))
        image = np.clip(ramp + rng.uniform(-80, 80) + grain, 0, 255).astype(np.uint8)
        images.append(encode(image, ("PNG", "JPEG")[number % 2]))
    return images


def export_random(path: Path, representation: Representation, images: list[bytes]) -> None:
    """Writes a servable with four heads. Over `images`, each model's logits have mean 0 and deviation 2."""
    inputs = InputParameters(representation=representation, size=SIZE)
    pooled, layers, transform = representation == "pixel", LayerParameters(), FixedTransform()
    primary = build_primary(inputs.shape, pooled, layers, seed=1)
    heads = {
        name: build_secondary((SIZE // 4, SIZE // 4, 16), pooled, layers, seed=seed)
        for seed, name in enumerate(HEADS, start=2)
    }
    features = transform(tf.constant(images))[representation]
    middle = keras.Model(primary.inputs, primary.get_layer("dRelu_04").output)(features)
    for model, given in ((primary, features), *((head, middle) for head in heads.values())):
        _spread(model, given)
    export_servable(
        path, AttributionModule(transform, inputs, primary, heads, OperatingPoints(0.5, dict.fromkeys(heads, 0.5)))
    )


def _spread(model: keras.Model, features: tf.Tensor) -> None:
    """Scales the last layer."""
    decision = model.layers[-1]
    probabilities = model(features).numpy()[:, 0].astype(np.float64)
    logits = np.log(probabilities) - np.log1p(-probabilities) - float(decision.bias.numpy()[0])
    scale = 2.0 / float(logits.std())
    if not math.isfinite(scale):
        raise ValueError("all images look the same to the model: its logits do not differ.")
    decision.kernel.assign(decision.kernel * scale)
    decision.bias.assign([-scale * float(logits.mean())])
