"""A view on a network that trains the same weights with less work: the same function up to rounding.

A model holds plain Keras layers, so that what is saved and served needs nothing of ours. A training step goes through a
view instead, which shares every weight and differs in three places:

    batch normalisation   one fused operation forwards and one backwards; Keras spells the moments out, and its dozen
                          passes over each feature map are a quarter of a step on a CPU
    strided convolutions  of few channels: the gradient with respect to their input as an ordinary convolution (below)
    precision             optionally, convolutions and activations compute in 16 bits. Weights, their gradients, batch
                          normalisation, the average over places and the decision stay in float32
"""

import keras
import tensorflow as tf

from components.models.any_size import averages_over_places, input_of_any_size
from components.models.parameters import Precision
from components.models.whitening import WhitenedProjection

# Below a vector register of float32 values, kernels of strided convolutions leave most of it empty.
_FEW_CHANNELS = 8
_IN_PRECISION = (
    keras.layers.Conv2D,
    keras.layers.ReLU,
    keras.layers.Add,
    keras.layers.AveragePooling2D,
    keras.layers.MaxPooling2D,
)


def training_view(model: keras.Model, precision: Precision = "float32") -> keras.Model:
    """Returns a view on a model for training steps; it shares all weights, and moves the moving statistics.

    Call it with `training=True` only. Where the model averages over places, inputs may be of another height and
    width than the model's: what is asked of whole images is learnt from windows. Layers whose batch normalisation
    is synchronised over devices stay as they are.

    Args:
        model: of this package's layers; its input and output stay float32.
        precision: in which convolutions and activations compute; weights are float32 in any case.

    Returns:
        A model of the same input and output.

    Source:
        Micikevicius et al., "Mixed Precision Training", ICLR 2018 (arXiv 1710.03740).
    """
    mixed = None if precision == "float32" else keras.DTypePolicy(f"mixed_{precision}")

    def counterpart(layer: keras.layers.Layer) -> keras.layers.Layer:
        # Nobody asks for the gradient with respect to the model's own input.
        inner = layer.input is not model.input
        if isinstance(layer, keras.layers.BatchNormalization) and _fusible(layer):
            return _FusedBatchNormalization(layer)
        if isinstance(layer, keras.layers.Conv2D) and inner and _halves_few_channels(layer):
            return _StridedConvolution(layer, dtype=mixed)
        if mixed and isinstance(layer, WhitenedProjection):
            # Of one row an image there is nothing to gain.
            if len(layer.input.shape) == 2:
                return layer
            return _ProjectionInPrecision(layer, dtype=mixed)
        return _InPrecision(layer, dtype=mixed) if mixed and isinstance(layer, _IN_PRECISION) else layer

    inputs = input_of_any_size(model) if averages_over_places(model) else None
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=counterpart)


class _View(keras.layers.Layer):
    """A layer that computes what another one computes, with that one's weights.

    Args:
        layer: the other one, built.
        **options: of the view, e.g. `dtype`.
    """

    def __init__(self, layer: keras.layers.Layer, **options: object) -> None:
        super().__init__(name=f"{layer.name}_view", **options)
        self._layer = layer
        self.built = True

    def compute_output_spec(
        self, inputs: keras.KerasTensor | list[keras.KerasTensor], **_: object
    ) -> keras.KerasTensor:
        """Returns shape and type of the output."""
        shape = [each.shape for each in inputs] if isinstance(inputs, list) else inputs.shape
        return keras.KerasTensor(self._layer.compute_output_shape(shape), self.compute_dtype)


class _InPrecision(_View):
    """Computes in the precision of the view: Keras casts inputs, and weights when they are read."""

    def call(self, inputs: tf.Tensor | list[tf.Tensor], **_: object) -> tf.Tensor:
        """Returns the layer's output."""
        return self._layer.call(inputs)


class _ProjectionInPrecision(_View):
    """Subtracts the mean and multiplies basis and kernel in float32, and projects in the precision of the view."""

    def __init__(self, layer: WhitenedProjection, dtype: keras.DTypePolicy) -> None:
        super().__init__(layer, dtype="float32", autocast=False)
        self._computed_in = dtype.compute_dtype

    def compute_output_spec(self, inputs: keras.KerasTensor, **_: object) -> keras.KerasTensor:
        """Returns shape and type of the output."""
        return keras.KerasTensor(self._layer.compute_output_shape(inputs.shape), self._computed_in)

    def call(self, inputs: tf.Tensor, **_: object) -> tf.Tensor:
        """Returns the layer's output."""
        return self._layer.project(inputs, self._computed_in)


class _FusedBatchNormalization(_View):
    """Batch normalisation over the last axis of (batch, height, width, channels), in one operation.

    Inputs and outputs may be of 16 bits; scale, offset and statistics are float32.
    """

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        super().__init__(layer, dtype="float32", autocast=False)

    def call(self, inputs: tf.Tensor, **_: object) -> tf.Tensor:
        """Normalises by the batch's own statistics, and moves the moving ones."""
        layer = self._layer
        outputs, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(layer.gamma),
            offset=tf.convert_to_tensor(layer.beta),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=layer.epsilon,
            is_training=True,
        )
        # The operation returns the sample variance; Keras keeps that of the population.
        places = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance = unbiased * (places - 1.0) / places
        for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + new * (1.0 - layer.momentum))
        return outputs


class _StridedConvolution(_View):
    """A convolution of 4 x 4 places and stride 2, whose input gradient needs no strided kernel."""

    def call(self, inputs: tf.Tensor, **_: object) -> tf.Tensor:
        """Returns the layer's output."""
        convolved = _halve(inputs, tf.convert_to_tensor(self._layer.kernel))
        return tf.nn.bias_add(convolved, tf.convert_to_tensor(self._layer.bias))


@tf.custom_gradient
def _halve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Convolves with a kernel (4, 4, few, filters), stride 2, padded by one on each side.

    In the gradient with respect to the input, each place of the output reaches two by two blocks of two by two places:
    it is a plain 2 x 2 convolution that gives four times the channels, and the channels of a block are its places.
    Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016 (arXiv 1609.07009).
    """

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=inputs,
            filter_sizes=tf.shape(kernel),
            out_backprop=upstream,
            strides=[1, 2, 2, 1],
            padding="SAME",
        )
        channels, filters = kernel.shape[2:]
        blocks = tf.reshape(kernel, (2, 2, 2, 2, channels, filters))  # block row, row in it, block column, column in it
        blocks = tf.reshape(tf.transpose(blocks, (0, 2, 1, 3, 4, 5)), (2, 2, 4 * channels, filters))
        flipped = tf.transpose(tf.reverse(blocks, [0, 1]), (0, 1, 3, 2))
        spread = tf.nn.conv2d(upstream, flipped, 1, [[0, 0], [1, 1], [1, 1], [0, 0]])
        height, width = spread.shape[1:3]
        rows = tf.reshape(spread, (-1, height, width, 2, 2 * channels))
        padded = tf.reshape(tf.transpose(rows, (0, 1, 3, 2, 4)), (-1, 2 * height, 2 * width, channels))
        return padded[:, 1:-1, 1:-1], of_kernel

    return tf.nn.conv2d(inputs, kernel, 2, "SAME"), gradients


def _fusible(layer: keras.layers.BatchNormalization) -> bool:
    shape = layer.input.shape
    return len(shape) == 4 and layer.axis in (-1, 3) and layer.trainable and not layer.synchronized


def _halves_few_channels(layer: keras.layers.Conv2D) -> bool:
    height, width, channels = layer.input.shape[1:]
    geometry = (layer.kernel_size, tuple(layer.strides), layer.padding)
    return geometry == ((4, 4), (2, 2), "same") and channels < _FEW_CHANNELS and not (height % 2 or width % 2)
