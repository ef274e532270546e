"""A preprocessing graph with made-up statistics, in place of the one that Transform exports."""

import numpy as np
import tensorflow as tf

from components.features import dct, image, residual
from tests.support.images import SIZE


class FixedTransform(tf.Module):
    """Encoded images (batch,) -> {"pixel", "dct", "residual"}, as `components.features.transform` promises."""

    def __init__(self, size: int = SIZE) -> None:
        super().__init__(name="transform")
        self._size = size
        rng = np.random.default_rng(size)
        self._mean = tf.constant(rng.uniform(3.0, 5.0, (size, size, 1)), tf.float32)
        self._variance = tf.constant(rng.uniform(1.0, 2.0, (size, size, 1)), tf.float32)

    def __call__(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        windows = image.decode_windows(image_bytes, self._size)
        spectrum = dct.log_spectrum(image.grey(windows))
        return {
            "pixel": image.pixels(windows),
            "dct": dct.normalise(spectrum, self._mean, self._variance),
            "residual": residual.residuals(image.channels(windows, "rgb")),
        }
