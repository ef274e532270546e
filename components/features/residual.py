"""High-pass residuals of an image: what is left once each pixel is predicted from its two neighbours.

Faces fill the low frequencies; what upsampling layers of a generator leave behind fills the high ones. The second
difference along rows and along columns removes the former, so that a few dozen images are enough to learn the latter:

    along rows        r[h, w] = (x[h, w - 1] - 2 x[h, w] + x[h, w + 1]) / 2        along columns likewise

Luma and the two colour differences are taken apart first: cameras, and JPEG, know colour at a lower resolution than
brightness, generators make all three at once.

Source: Fridrich & Kodovsky 2012, "Rich Models for Steganalysis of Digital Images", for second-order residuals; the
colour transform is that of JFIF (ITU-T T.871, section 7).
"""

import numpy as np
import tensorflow as tf

# Residuals of photographs spread by a few grey levels; in units of this many they are of the size that layers expect.
SCALE = 16.0

LUMA_AND_COLOUR_DIFFERENCES = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def residuals(values: tf.Tensor) -> tf.Tensor:
    """Computes the residuals of a batch; at the borders the image is mirrored, without its outermost row repeated.

    Args:
        values: float32 (batch, height, width, 3), RGB 0..255; or (batch, height, width, 1), luma 0..255; at least two
            pixels high and wide.

    Returns:
        float32 (batch, height, width, 6): residuals along rows of luma, Cb and Cr, then along columns; of luma alone
        (batch, height, width, 2). In units of 16 grey levels, so within -16..16.

    Raises:
        ValueError: if there are neither three channels nor one.
    """
    channels = values.shape[-1]
    if channels not in (1, 3):
        raise ValueError(f"values: must have 3 channels, RGB, or 1, luma, got shape {values.shape}.")
    mixing = np.array(LUMA_AND_COLOUR_DIFFERENCES if channels == 3 else ((1.0,),), np.float32).T / SCALE
    planes = tf.tensordot(values, tf.constant(mixing), axes=1)
    # In slices, not as a convolution: of an empty batch that gives a wrong shape, and tf.pad an error.
    left = tf.concat([planes[:, :, 1:2], planes[:, :, :-1]], axis=2)
    right = tf.concat([planes[:, :, 1:], planes[:, :, -2:-1]], axis=2)
    above = tf.concat([planes[:, 1:2], planes[:, :-1]], axis=1)
    below = tf.concat([planes[:, 1:], planes[:, -2:-1]], axis=1)
    return tf.concat([0.5 * (left + right) - planes, 0.5 * (above + below) - planes], axis=-1)
