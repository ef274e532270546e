"""Log-spectra of the 8 x 8 blocks of a JPEG, at two scales, as Keras layers without trainable weights.

JPEG divides an image into blocks of 8 x 8 pixels and quantises the cosine transform of each block. In the same
transform, on the same grid, that quantisation is a matter of single channels, and upsampling layers of a generator show
beside it instead of below it. Colour is stored, and often generated, at half the resolution, so that the same transform
is also taken of the image averaged over 2 x 2 pixels.

    full resolution   stride 8: place (i, j) is the block of rows 8 i to 8 i + 7
    half resolution   stride 4, padded by 2: place (i, j) covers rows 8 i - 4 to 8 i + 11 of the full resolution

Both have the same number of places, and places of the same index have the same centre.

Source: ITU-T T.81 (JPEG), A.3.3, for the transform; T.871 (JFIF), section 7, for the colour transform.
"""

import keras
import numpy as np
import tensorflow as tf

from components.features.residual import LUMA_AND_COLOUR_DIFFERENCES
from serving.dct import dct_matrix

SIDE = 8  # of a JPEG's blocks, in pixels
CHANNELS = 3 * 2 * SIDE * SIDE  # of Y, Cb and Cr, at two scales
_HALF_GREYS = 127.5  # pixels -1..1 are 0..255 again
_SMALLEST = 0.3  # added to a magnitude before its logarithm
_SMALLEST_MEAN = 0.1  # added to the mean of a magnitude
_ZERO = 1.0  # magnitudes below count as zeroed by quantisation, the less the nearer they are to it
_ZERO_WEIGHT = 3.0  # brings the share of small magnitudes to the range of the logarithms

_registered = keras.saving.register_keras_serializable(package="generator_attribution")


@_registered
class BlockSpectra(keras.layers.Layer):
    """Magnitudes of the DCT coefficients of 8 x 8 blocks of Y, Cb and Cr, at full and half resolution.

    Colour transform and cosines are weights that are never trained.

    Input shape:
        float32 (batch, height, width, 3), RGB scaled to -1..1; height and width divisible by 8.

    Output shape:
        float32 (batch, height / 8, width / 8, 384), 0..2040: first full resolution, then half; in each first Y, then
        Cb, then Cr; in each coefficient (u, v) at index 8 u + v, in units of grey levels, orthonormal.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Sets the fixed weights.

        Raises:
            ValueError: if the inputs do not have three channels.
        """
        if input_shape[-1] != 3:
            raise ValueError(f"inputs: must have 3 channels, RGB, got shape {input_shape}.")
        basis = dct_matrix(SIDE)
        self._mixing = self._fixed("mixing", np.array(LUMA_AND_COLOUR_DIFFERENCES).T)
        cosines = np.einsum("ux,vy->xyuv", basis, basis).reshape(SIDE, SIDE, 1, SIDE * SIDE)
        self._cosines = self._fixed("cosines", cosines)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the magnitudes."""
        values = (inputs + 1.0) * _HALF_GREYS
        rows = tf.linalg.matmul(tf.reshape(values, (-1, 3)), tf.convert_to_tensor(self._mixing))
        planes = tf.reshape(rows, tf.shape(values))
        halved = tf.nn.avg_pool2d(planes, 2, 2, "VALID")
        padded = tf.pad(halved, [[0, 0], [2, 2], [2, 2], [0, 0]], "REFLECT")
        return tf.abs(tf.concat([*self._coefficients(planes, SIDE), *self._coefficients(padded, SIDE // 2)], axis=-1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        batch, height, width, _ = input_shape
        return (batch, height and height // SIDE, width and width // SIDE, CHANNELS)

    def _coefficients(self, planes: tf.Tensor, stride: int) -> list[tf.Tensor]:
        # Each plane by itself: a convolution of few channels, all of which are read.
        cosines = tf.convert_to_tensor(self._cosines)
        return [tf.nn.conv2d(planes[..., index : index + 1], cosines, stride, "VALID") for index in range(3)]

    def _fixed(self, name: str, values: np.ndarray) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=values.shape,
            trainable=False,
            initializer=lambda shape, dtype: tf.reshape(tf.constant(values, dtype), shape),
        )


@_registered
class LogMagnitude(keras.layers.Layer):
    """Natural logarithm of magnitudes + 0.3: below that, coefficients are rounding of the pixels to whole grey levels.

    Input and output shape:
        Any; magnitudes of 0 and more in, at least -1.2 out.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the logarithms."""
        return tf.math.log(inputs + tf.cast(_SMALLEST, inputs.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        return input_shape


@_registered
class SpectrumSummary(keras.layers.Layer):
    """Three figures of each coefficient over all blocks of an image: how an image was saved, whatever it shows.

    The mean of the logarithm, the logarithm of the mean magnitude (+ 0.1), and three times the mean of min(magnitude,
    1), which falls with every coefficient that quantisation set to zero. No gradient flows back.

    Input shape:
        float32 (batch, height, width, channels), magnitudes.

    Output shape:
        float32 (batch, 3 * channels).
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the figures."""
        logarithms = tf.math.log(inputs + _SMALLEST)
        small = tf.minimum(inputs, _ZERO)
        means, magnitudes, zeros = (tf.reduce_mean(one, (1, 2)) for one in (logarithms, inputs, small))
        logarithm = tf.math.log(magnitudes + _SMALLEST_MEAN)
        return tf.stop_gradient(tf.concat([means, logarithm, _ZERO_WEIGHT * zeros], axis=-1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        channels = input_shape[-1]
        return (input_shape[0], channels and 3 * channels)
