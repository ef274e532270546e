"""The preprocessing function of Transform: the one way from encoded bytes to model inputs.

Both representations are always computed from the same decoded window; a model takes the one it is configured for and
the graph optimiser drops the other. The DCT statistics are the only thing that is precomputed: full-pass Beam
analyzers over the training split, per coefficient.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.features import dct, image, names

PIXEL = "pixel"  # float32 (batch, size, size, 3), -1..1
DCT = "dct"  # float32 (batch, size, size, 1), standardised log-spectrum


def preprocessing_fn(inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Computes the transformed features of a batch.

    Args:
        inputs: raw features; only `image_bytes`, string of shape (batch, 1) or (batch,), is read.
        custom_config: {"size": window in pixels}; also carries a digest of this code, which only keys TFX's cache.

    Returns:
        {"pixel": float32 (batch, size, size, 3), "dct": float32 (batch, size, size, 1)}.
    """
    # SchemaGen infers a shape of (1,) for the bytes feature; the served graph has (batch,): both become a vector.
    encoded = tf.reshape(inputs[names.IMAGE_BYTES], [-1])
    windows = image.decode_windows(encoded, int(custom_config["size"]))
    spectrum = dct.log_spectrum(image.grey(windows))
    mean = tft.mean(spectrum, reduce_instance_dims=False)
    variance = tft.var(spectrum, reduce_instance_dims=False)
    return {PIXEL: image.pixels(windows), DCT: dct.normalise(spectrum, mean, variance)}
