"""The preprocessing function of Transform: the one way from encoded bytes to model inputs.

Both representations are always computed from the same decoded window; a model takes the one it is configured for and
the graph optimiser drops the other. The DCT statistics are the only thing that is precomputed: one full pass of a Beam
analyzer over the training split, per coefficient.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.features import dct, image, moments, names
from components.features.parameters import PUBLISHED_COLOURS

PIXEL = "pixel"  # float32 (batch, size, size, 3 or 1), -1..1
DCT = "dct"  # float32 (batch, size, size, 1 or 3), standardised log-spectrum


def preprocessing_fn(inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Computes the transformed features of a batch.

    Args:
        inputs: raw features; only `image_bytes`, string of shape (batch, 1) or (batch,), is read.
        custom_config: "size", the window in pixels, and "colours", representation -> "rgb" or "grey" (left out: as
            published); also carries a digest of this code, which only keys TFX's cache.

    Returns:
        {"pixel": float32 (batch, size, size, channels), "dct": float32 (batch, size, size, channels)}; 3 channels for
        "rgb", 1 for "grey".
    """
    colours = {**PUBLISHED_COLOURS, **custom_config.get("colours", {})}
    # SchemaGen infers a shape of (1,) for the bytes feature; the served graph has (batch,): both become a vector.
    encoded = tf.reshape(inputs[names.IMAGE_BYTES], [-1])
    windows = _decoding()(encoded, int(custom_config["size"]))
    # One row a batch, of what is added up over all batches.
    sums = tft.sum(_summing()(windows, colours[DCT])[tf.newaxis], reduce_instance_dims=False)
    mean, variance = moments.mean_and_variance(sums, tft.sum(tf.shape(encoded, tf.int64)))
    spectrum = dct.log_spectrum(image.channels(windows, colours[DCT]))
    return {PIXEL: image.pixels(image.channels(windows, colours[PIXEL])), DCT: dct.normalise(spectrum, mean, variance)}


@cache
def _decoding() -> Callable[..., tf.Tensor]:
    """Returns the graph of decoding, the same one for a whole process.

    Transform calls preprocessing_fn half a dozen times, to see what it reads, analyses and returns. Most
    of a call is building this graph and that of the sums: as functions they are built in the first one alone. They are
    not names of the module, because Beam pickles what preprocessing_fn names, and a graph cannot be pickled.
    """
    return tf.function(image.decode_windows)


@cache
def _summing() -> Callable[..., tf.Tensor]:
    """Returns the graph of the sums, the same one for a whole process."""
    return tf.function(moments.batch_sums)
