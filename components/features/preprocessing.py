"""The preprocessing function of Transform: the one way from encoded bytes to model inputs.

All representations are always computed from the same decoded window; a model takes the one it is configured for and
the graph optimiser drops the others. The DCT statistics are the only thing that is precomputed: one full pass of a Beam
analyzer over the training split, per coefficient.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.examples import names
from components.features import dct, image, moments, residual
from components.features.parameters import DEFAULT_COLOURS, Colour, Representation

PIXEL: Representation = "pixel"  # float32 (batch, size, size, 3 or 1), -1..1
DCT: Representation = "dct"  # float32 (batch, size, size, 1 or 3), standardised log-spectrum
RESIDUAL: Representation = (
    "residual"  # float32 (batch, size, size, 6 or 2), second differences in units of 16 grey levels
)


def preprocessing_fn(inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Computes the transformed features of a batch.

    Args:
        inputs: raw features; only `image_bytes`, string of shape (batch, 1) or (batch,), is read.
        custom_config: "size", the window in pixels, and "colours", representation -> "rgb" or "grey" (left out: the
            default of each); also carries a digest of this code, which only keys TFX's cache.

    Returns:
        {"pixel": float32 (batch, size, size, channels), "dct": float32 (batch, size, size, channels), "residual":
        float32 (batch, size, size, 2 * channels)}; 3 channels for "rgb", 1 for "grey".
    """
    colours = {**DEFAULT_COLOURS, **custom_config.get("colours", {})}
    # SchemaGen infers a shape of (1,) for the bytes feature; the served graph has (batch,): both become a vector.
    encoded = tf.reshape(inputs[names.IMAGE_BYTES], [-1])
    windows = _decoding()(encoded, int(custom_config["size"]))
    # One row a batch, of what is added up over all batches.
    sums = tft.sum(_summing()(windows, colours[DCT])[tf.newaxis], reduce_instance_dims=False)
    mean, variance = moments.mean_and_variance(sums, tft.sum(tf.shape(encoded, tf.int64)))
    spectrum = dct.log_spectrum(image.channels(windows, colours[DCT]))
    return {
        PIXEL: features_without_statistics(windows, PIXEL, colours[PIXEL]),
        DCT: dct.normalise(spectrum, mean, variance),
        RESIDUAL: features_without_statistics(windows, RESIDUAL, colours[RESIDUAL]),
    }


def features_without_statistics(windows: tf.Tensor, representation: Representation, colour: Colour) -> tf.Tensor:
    """Computes a representation that needs no statistics of the training split, and so no exported graph.

    Args:
        windows: uint8 (batch, height, width, 3), RGB; of any size.
        representation: "pixel" or "residual".
        colour: "rgb" or "grey".

    Returns:
        float32 (batch, height, width, channels), as in `preprocessing_fn`.

    Raises:
        ValueError: if the representation needs statistics.
    """
    if representation not in (PIXEL, RESIDUAL):
        raise ValueError(f"representation: must be one of {PIXEL}, {RESIDUAL}, got '{representation}'.")
    values = image.channels(windows, colour)
    return image.pixels(values) if representation == PIXEL else residual.residuals(values)


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
